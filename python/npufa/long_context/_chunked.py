"""Attention in blocks of query rows and keys, with its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..merge import statistics_to_lse
from ._blocks import Partial, Visibility, gradient


class Plan(NamedTuple):
    """How one attention is computed.

    Attributes:
        visibility: which keys a row sees.
        scale: factor of the scores.
        tokens: the most query rows, and the most keys, of one operator call; None for all of them.
        device: where the operators compute; the tensors may be elsewhere.
    """

    visibility: Visibility
    scale: float
    tokens: int | None
    device: torch.device


def chunked_attention(query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """Returns output (B, N, Sq, Dv), which is differentiable, and log-sum-exp (B, N, Sq, 1), both on query's device.

    query (B, N, Sq, D), key (B, Nkv, Skv, D), value (B, Nkv, Skv, Dv), each on a device of its own.
    """
    output, softmax_lse = _ChunkedAttention.apply(query, key, value, plan)
    return output, softmax_lse


def _rows(tokens: int, plan: Plan) -> list[range]:
    step = plan.tokens or max(tokens, 1)
    return [range(start, min(start + step, tokens)) for start in range(0, tokens, step)]


def _part(tensor: Tensor, tokens: range, plan: Plan) -> Tensor:
    return tensor[:, :, tokens.start:tokens.stop].to(plan.device)


class _ChunkedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        # empty_like keeps the order of the axes in memory, so that BSND needs no copy of the output.
        output = torch.empty_like(query) if query.shape[-1] == value.shape[-1] else query.new_empty(
            *query.shape[:-1], value.shape[-1])
        softmax_max, softmax_sum = (query.new_empty(*query.shape[:-1], 1, dtype=torch.float32) for _ in range(2))
        for rows in _rows(query.shape[2], plan):
            q = _part(query, rows, plan)
            state = None
            for keys, band in plan.visibility.blocks(rows, range(key.shape[2]), plan.tokens):
                block = (q, _part(key, keys, plan), _part(value, keys, plan), band, plan.scale)
                state = Partial.of_block(*block) if state is None else state.add(*block)
            state = state or Partial.without_keys(q, value.shape[-1])
            for whole, part in zip((output, softmax_max, softmax_sum), state):
                whole[:, :, rows.start:rows.stop] = part
        softmax_lse = statistics_to_lse(softmax_max, softmax_sum)
        ctx.save_for_backward(query, key, value, output, softmax_max, softmax_sum)
        ctx.plan = plan
        ctx.mark_non_differentiable(softmax_lse)
        return output, softmax_lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, softmax_max, softmax_sum = ctx.saved_tensors
        plan: Plan = ctx.plan
        dq = torch.empty_like(query)
        dk, dv = (torch.zeros_like(t, dtype=torch.float32) for t in (key, value))
        for rows in _rows(query.shape[2], plan):
            q, dy_rows, out, *statistics = (_part(t, rows, plan) for t in (query, dy, output, softmax_max, softmax_sum))
            dq_rows = torch.zeros_like(q, dtype=torch.float32)
            for keys, band in plan.visibility.blocks(rows, range(key.shape[2]), plan.tokens):
                parts = gradient(q, _part(key, keys, plan), _part(value, keys, plan), dy_rows,
                                 (out, statistics[0], statistics[1]), band, plan.scale)
                dq_rows += parts[0]
                for whole_gradient, part in zip((dk, dv), parts[1:]):
                    whole_gradient[:, :, keys.start:keys.stop] += part.to(whole_gradient.device)
            dq[:, :, rows.start:rows.stop] = dq_rows
        return dq, dk.to(key.dtype), dv.to(value.dtype), None
