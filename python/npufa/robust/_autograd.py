"""The training operators with a backward pass that degrades as the forward pass does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._call import Call, Level

_INPUTS = ("query", "key", "value", "pse", "query_rope", "key_rope", "sink")


def needs_gradient(call: Call) -> bool:
    """True when the backward pass is to be ours; with a dropout mask it is the operator's own."""
    if not call.is_training or call.is_gradient or not torch.is_grad_enabled():
        return False
    if call["dropout_mask"] is not None and call["keep_prob"] < 1:
        return False
    return any(call[name] is not None and call[name].requires_grad for name in _INPUTS)


class Differentiable(torch.autograd.Function):
    """A forward operator whose gradient is the gradient operator, both by the same `compute`."""

    @staticmethod
    def run(compute: Level, call: Call) -> tuple[Any, ...]:
        """Returns the results of the forward operator."""
        results: tuple[Any, ...] = Differentiable.apply(compute, call, *(call[name] for name in _INPUTS))
        return results

    @staticmethod
    def forward(ctx: Any, compute: Level, call: Call, *inputs: Tensor | None) -> tuple[Any, ...]:
        given = {name: t for name, t in zip(_INPUTS, inputs, strict=True) if t is not None}
        results = compute(call.replace(**given))
        tensors = [result for result in results if isinstance(result, Tensor)]
        ctx.mark_non_differentiable(*tensors[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *results[:3], *(r for r in results[4:] if isinstance(r, Tensor)))
        ctx.compute, ctx.numbers = compute, [r for r in results[4:] if not isinstance(r, Tensor)]
        # The saved tensors are not kept twice; autograd checks the saved ones for changes in place.
        ctx.call = call.replace(**dict.fromkeys(given))
        return results

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *_: Any) -> tuple[Any, ...]:
        if dy is None:
            return (None,) * (len(_INPUTS) + 2)
        inputs, results = ctx.saved_tensors[:len(_INPUTS)], ctx.saved_tensors[len(_INPUTS):]
        call = _gradient_call(ctx.call, dict(zip(_INPUTS, inputs, strict=True)), results, ctx.numbers, dy)
        with torch.autocast(call.query.device.type, enabled=False):
            found = dict(zip(_gradients_of(call), ctx.compute(call), strict=True))
        return (None, None, *(found.get(name) if given is not None else None
                              for name, given in zip(_INPUTS, inputs, strict=True)))


def _gradients_of(call: Call) -> tuple[str, ...]:
    return ("query", "key", "value", "pse", *(("query_rope", "key_rope") if call.operator.endswith("_v2") else ()),
            "sink")


def _gradient_call(call: Call, inputs: dict[str, Tensor | None], results: tuple[Tensor, ...], numbers: list[int],
                   dy: Tensor) -> Call:
    """The call of the gradient operator, which spells the scale `scale_value`."""
    operator = call.operator.replace("npu_fusion_attention", "npu_fusion_attention_grad")
    arguments = {**call.arguments, **{name: t for name, t in inputs.items() if name in call.arguments}}
    arguments["scale_value"] = arguments.pop("scale")
    arguments.pop("dropout_mask", None)
    output, maximum, total, *seeds = results
    named = dict(zip(("seed", "offset", "numels"), [*seeds, *numbers], strict=False))
    arguments |= {"dy": dy.contiguous(), "attention_in": output, "softmax_max": maximum, "softmax_sum": total, **named}
    return Call.bind(operator, (), arguments)
