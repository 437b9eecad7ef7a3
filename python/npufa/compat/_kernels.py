"""Kernels of `npu::X` that call `npufa::X`, for holders of the operator objects of torch_npu."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch._ops import OpOverload

from .._torch_compat import destroy, replace_kernel
from . import _python_objects

# Every key at which npufa has kernels; the Autograd alias does not replace torch_npu's own at AutogradPrivateUse1.
_KEYS = ("CPU", "Meta", "PrivateUse1", "Autograd", "AutogradPrivateUse1")


def _forwarder(target: OpOverload) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return target(*args, **kwargs)

    return forward


def _overloads(name: str) -> Iterator[tuple[OpOverload, OpOverload]]:
    theirs, ours = getattr(torch.ops.npu, name), getattr(torch.ops.npufa, name)
    for overload in theirs.overloads():
        if overload in ours.overloads():
            yield getattr(theirs, overload), getattr(ours, overload)


def override(names: Iterable[str]) -> torch.library.Library:
    """Overrides the kernels of `npu::name`, all overloads, with calls of `npufa::name`.

    Returns:
        What holds the kernels in place; `restore` takes it.
    """
    library = torch.library.Library("npu", "IMPL")
    for theirs, ours in (pair for name in names for pair in _overloads(name)):
        _python_objects.fix(theirs)
        for key in _KEYS:
            replace_kernel(library, theirs.name(), _forwarder(ours), key)
    return library


def restore(library: torch.library.Library) -> None:
    """Takes the kernels away; the ones from before are in force again."""
    destroy(library)
