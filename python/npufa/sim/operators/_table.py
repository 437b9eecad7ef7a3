"""The table of operators, and their kernels for simulated devices."""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ..._torch_compat import replace_kernel

Compute = TypeVar("Compute", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of torch_npu: its name with namespace, what computes it, and the page in op-plugin it follows."""

    name: str
    compute: Callable[..., Any]
    page: str

    @property
    def short_name(self) -> str:
        return self.name.partition("::")[2]


TABLE: dict[str, Operator] = {}
calls: collections.Counter[str] = collections.Counter()  # since the process began, by name


def operator(page: str, namespace: str = "npu") -> Callable[[Compute], Compute]:
    """Enters the function below into the table, under its own name."""

    def enter(compute: Compute) -> Compute:
        name = f"{namespace}::{compute.__name__}"
        TABLE[name] = Operator(name, compute, page)
        return compute

    return enter


def reject(operator_name: str, argument: str, got: Any, expected: str) -> ValueError:
    """The error for what the operator of CANN takes and this one does not."""
    return ValueError(f"npu::{operator_name}: {argument} is not supported by the simulator, got {got}; "
                      f"expected {expected}")


def _kernel(entry: Operator) -> Callable[..., Any]:
    known = inspect.signature(entry.compute).parameters

    # torch leaves out arguments that have their defaults.
    @functools.wraps(entry.compute)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():
            if name not in known:
                raise ValueError(f"{entry.name}: {name} is not supported by the simulator, got "
                                 f"{type(value).__name__}; expected the default")
        calls[entry.short_name] += 1
        return entry.compute(*args, **kwargs)

    return kernel


@functools.cache
def register() -> list[torch.library.Library]:
    """Puts the kernels in the place of torch_npu's, for as long as the process lives."""
    libraries = {name: torch.library.Library(name, "IMPL") for name in ("npu", "atb")}
    for entry in TABLE.values():
        namespace = entry.name.partition("::")[0]
        packet = getattr(getattr(torch.ops, namespace), entry.short_name, None)
        for overload in packet.overloads() if packet is not None else ():
            name = getattr(packet, overload).name()
            replace_kernel(libraries[namespace], name, _kernel(entry), "PrivateUse1")
    return list(libraries.values())
