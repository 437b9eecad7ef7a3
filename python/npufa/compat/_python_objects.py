"""The Python objects that torch's modes see for an operator.

The dispatcher looks an operator's Python object up by name when a mode (fake tensors, tracing) first meets the
operator, and keeps it for ever. Were that to happen while names are routed, modes would see npufa's object for
torch_npu's operator even after the routes are gone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


class _Met(Exception):
    pass


class _Meeting(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise _Met


def _placeholder(argument: torch.Argument) -> Any:
    values = {"Tensor": torch.empty(0, device="meta"), "int": 0, "float": 0.0, "bool": False, "str": ""}
    return values.get(str(argument.type), [])


def fix(overload: OpOverload) -> None:
    """Makes the dispatcher look the Python object of `overload` up now; the operator itself is not executed."""
    required = [a for a in overload._schema.arguments if not a.has_default_value()]
    positional = [_placeholder(a) for a in required if not a.kwarg_only]
    with _Meeting():
        try:
            overload(*positional, **{a.name: _placeholder(a) for a in required if a.kwarg_only})
        except _Met:
            return
    raise RuntimeError(f"npufa.compat: {overload} does not reach a mode of torch; expected torch {torch.__version__} "
                       "to dispatch it to Python")
