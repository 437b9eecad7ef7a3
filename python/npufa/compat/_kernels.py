"""Kernels of `npu::X` and `atb::X` that call `npufa::X`, for holders of the operator objects of torch_npu."""

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


def _overloads(namespace: str, name: str) -> Iterator[tuple[OpOverload, OpOverload]]:
    theirs, ours = getattr(getattr(torch.ops, namespace), name), getattr(torch.ops.npufa, name)
    for overload in theirs.overloads():
        if overload in ours.overloads():
            yield getattr(theirs, overload), getattr(ours, overload)


def override(names: Iterable[tuple[str, str]]) -> dict[str, torch.library.Library]:
    """Overrides the kernels of `namespace::name`, all overloads, with calls of `npufa::name`.

    Returns:
        What holds the kernels in place; `restore` takes it.
    """
    libraries: dict[str, torch.library.Library] = {}
    for namespace, name in names:
        if namespace not in libraries:
            libraries[namespace] = torch.library.Library(namespace, "IMPL")
        for theirs, ours in _overloads(namespace, name):
            _python_objects.fix(theirs)
            for key in _KEYS:
                replace_kernel(libraries[namespace], theirs.name(), _forwarder(ours), key)
    return libraries


def restore(libraries: dict[str, torch.library.Library]) -> None:
    """Takes the kernels away; the ones from before are in force again."""
    for library in libraries.values():
        destroy(library)
