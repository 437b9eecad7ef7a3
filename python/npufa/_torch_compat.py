"""What differs in Python between the versions of torch that npufa is built for: the only module that looks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch._ops import OpOverload

try:
    from torch.compiler import is_compiling
except ImportError:  # before 2.2, where npufa leaves out what torch.compile needs

    def is_compiling() -> bool:
        return False


try:
    from torch._subclasses.fake_impls import register_op_impl
except ImportError:  # before 2.3
    register_op_impl = None  # type: ignore[assignment]

_RELEASE = tuple(map(int, torch.__version__.split(".")[:2]))
_CAN_OVERRIDE = "allow_override" in inspect.signature(torch.library.Library.impl).parameters  # from 2.9 on


def set_functional_rule(overload: OpOverload, rule: Callable[..., Any]) -> None:
    """What functional graphs have in place of the overload; torch before 2.4 does not ask."""
    if hasattr(overload, "py_functionalize_impl"):
        overload.py_functionalize_impl(rule)


def set_fake_rule(overload: OpOverload, rule: Callable[..., Any]) -> None:
    """A shape function that sees the mode of the fake tensors; torch before 2.3 does not ask."""
    if register_op_impl is not None:
        register_op_impl(overload)(rule)


def let_go_unused(overload: OpOverload) -> None:
    """Removes random calls whose results nobody uses from graphs, as torch does by itself from 2.10 on.

    Before, a backward graph has the forward call once more, for nothing, and the generator goes on twice.
    """
    if _RELEASE < (2, 10):
        overload._nondeterministic_seeded = False


def count_numbers_as_nothing(inductor_graph: ModuleType) -> None:
    """Lets Inductor compile calls whose numbers are results of the graph: until 2.10 it fails where it counts the bytes
    of such a graph, which its metrics alone ask for."""
    if _RELEASE >= (2, 10):
        return
    lowering = inductor_graph.GraphLowering
    count = lowering.count_bytes

    @functools.wraps(count)
    def count_bytes(self: Any) -> tuple[int, list[Any], list[Any]]:
        try:
            return count(self)
        except AssertionError:
            return 0, [], []

    lowering.count_bytes = count_bytes


def replace_kernel(library: torch.library.Library, name: str, kernel: Callable[..., Any], key: str) -> None:
    """Registers the kernel, although another library may have registered one of Python for this key."""
    if _CAN_OVERRIDE:
        library.impl(name, kernel, key, allow_override=True)
        return
    torch.library._impls.discard(f"{library.ns}/{name.split('::')[-1]}/{key}")
    library.impl(name, kernel, key)


def destroy(library: torch.library.Library) -> None:
    """Takes the library's kernels away; the ones from before are in force again."""
    if hasattr(library, "_destroy"):
        library._destroy()
    else:
        torch.library._impls.difference_update(library._op_impls)
        library.m = None
