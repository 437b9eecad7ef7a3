"""The overloads with `out` in functional graphs, as torch.compile makes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._torch_compat import set_functional_rule

_OPERATORS = (
    "npu_fused_infer_attention_score",
    "npu_fused_infer_attention_score_v2",
    "npu_fusion_attention_v3",
    "npu_fusion_attention_grad_v3",
)


def _check(overload: torch._ops.OpOverload, index: int, tensor: Tensor, result: Tensor) -> None:
    """torch.compile has run the shape function with `out` before; other ways to a functional graph have not."""
    got, expected = ((tuple(t.shape), t.dtype) for t in (tensor, result))
    if got != expected:
        raise RuntimeError(f"{overload.name()}: out[{index}] has the wrong shape or dtype, got {got}; "
                           f"expected {expected}")


def _make_functional(functional: torch._ops.OpOverload, overload: torch._ops.OpOverload) -> None:
    """A functional graph has the call that returns new tensors; their values become those of `out`."""

    def rule(context: Any, *args: Any, out: list[Tensor], workspace: Tensor | None = None, **kwargs: Any) -> tuple:
        args, kwargs = context.unwrap_tensors((args, kwargs))
        with context.redispatch_to_next():
            results = functional(*args, **kwargs)
        # A result that was not asked for has no elements, whatever tensor is given for it.
        written = [(i, t, result) for i, (t, result) in enumerate(zip(out, results, strict=True)) if result.numel()]
        for i, tensor, result in written:
            _check(overload, i, tensor, result)
        for _, tensor, result in written:
            context.replace(tensor, result)
            context.commit_update(tensor)
            context.sync(tensor)
        return tuple(out)

    set_functional_rule(overload, rule)


def register() -> None:
    """Gives each overload with `out` its functional form."""
    for name in _OPERATORS:
        packet = getattr(torch.ops.npufa, name)
        _make_functional(packet.default, packet.out)
