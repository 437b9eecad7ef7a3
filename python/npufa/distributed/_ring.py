"""Ring attention: keys and values go round, queries stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..integrations._rules import UNBOUNDED, Band
from ..long_context._blocks import Partial, Visibility, gradient
from ..merge import statistics_to_lse
from ._call import Rules, settle
from ._communication import Ring, Transfer
from ._sharding import Piece, pieces


def ring_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    group: dist.ProcessGroup | None = None,
    sharding: str = "zigzag",
    input_layout: str = "BNSD",
    scale: float | None = None,
    sparse_mode: int = 0,
    pre_tokens: int = UNBOUNDED,
    next_tokens: int = UNBOUNDED,
    sink_tokens: int = 0,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of sequences that are spread over the ranks of a group; result and gradient are those of one process.

    Each rank attends with its queries to one shard of keys and values after another, while the next one travels, and
    merges by the statistics of the softmax. Blocks that no row sees are not computed. In the gradient, the gradients of
    key and value travel, in float32, with the shards they belong to. Beside its own, a rank holds two shards of keys
    and values at a time (in the gradient three more in float32), whatever the size of the group. Each piece of a packed
    sequence in a shard is an operator call of its own.

    All ranks of the group must call, and run backward through the output, in the same order.

    Args:
        query: this rank's shard, float16, bfloat16 or float32, BNSD (B, N, Sq, D), BSND (B, Sq, N, D) or TND (T, N, D).
        key, value: this rank's shard, dtype and layout of `query`, with Nkv, a divisor of N; value may have Dv <= D.
            Lengths of shards may differ between ranks, be 0, and differ between query and key.
        group: the default group if None.
        sharding: which tokens the shards hold: "zigzag" those of :func:`shard_sequence`, the same work for all ranks
            under a causal mask; "contiguous" rank after rank, of any lengths. Packed batches are cut as one sequence of
            all their tokens.
        scale: factor of the scores, by default 1 / sqrt(D).
        sparse_mode: 0 no mask, 2 causal from the upper left, 3 causal from the lower right, 4 band, by positions in
            the whole sequence.
        pre_tokens, next_tokens: for `sparse_mode` 4, keys seen before and after the diagonal from the lower right.
        sink_tokens: for `sparse_mode` 4, the first keys of the sequence that rows see even before the band.
        actual_seq_qlen, actual_seq_kvlen: for TND, cumulative lengths of all ranks' tokens together; 2, 3, 4 tokens
            are [2, 5, 9].

    Returns:
        output: this rank's shard, layout, dtype and device of `query`, with Dv; rows without any key are 0.
        softmax_lse: float32, (B, N, Sq, 1), TND (T, N, 1), +inf for rows without any key; not differentiable.

    Raises:
        TypeError, ValueError: an illegal argument, or ranks that disagree; on all ranks, before tensors travel.
        RuntimeError: no process group.

    Source: Liu et al., Ring Attention, arXiv 2310.01889; SPEC sections 2 to 4; torch_npu `npu_ring_attention_update`.
    """
    rules = Rules(sharding, input_layout, scale, sparse_mode, pre_tokens, next_tokens, sink_tokens, actual_seq_qlen,
                  actual_seq_kvlen)
    call = settle("ring_attention", query, key, value, group, rules)
    ring = Ring("ring_attention", group)
    plan = _Plan(
        ring, pieces(call.query_ranges[ring.rank], call.query_lengths),
        [_by_sequence(pieces(ranges, call.key_lengths)) for ranges in call.key_ranges],
        [sum(map(len, ranges)) for ranges in call.key_ranges], call.visibilities, call.scale)
    output, softmax_lse = _RingAttention.apply(call.query, call.key, call.value, plan)
    return call.result(output, softmax_lse, input_layout)


class _Block(NamedTuple):
    """One operator call: a piece of the query by its number, rows and keys as they stand in their shards."""

    number: int
    rows: slice
    keys: slice
    band: Band


class _Plan(NamedTuple):
    ring: Ring
    query_pieces: list[Piece]
    key_pieces: list[dict[int, list[Piece]]]
    key_tokens: list[int]
    visibilities: list[Visibility]
    scale: float

    def blocks(self, owner: int) -> Iterator[_Block]:
        """Yields the calls between the own queries and the keys of `owner`."""
        for number, query in enumerate(self.query_pieces):
            rows = _slice(query, query.tokens)
            for key in self.key_pieces[owner].get(query.sequence, []):
                for keys, band in self.visibilities[query.sequence].blocks(query.tokens, key.tokens):
                    yield _Block(number, rows, _slice(key, keys), band)

    def shapes(self, owner: int, *like: Tensor) -> list[list[int]]:
        """Returns the shapes of the tensors of `owner` that correspond to own ones (B, N, S, D)."""
        return [[*t.shape[:2], self.key_tokens[owner], t.shape[3]] for t in like]


def _by_sequence(parts: list[Piece]) -> dict[int, list[Piece]]:
    found: dict[int, list[Piece]] = {}
    for part in parts:
        found.setdefault(part.sequence, []).append(part)
    return found


def _slice(piece: Piece, tokens: range) -> slice:
    start = piece.start + tokens.start - piece.tokens.start
    return slice(start, start + len(tokens))


class _RingAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan) -> tuple[Tensor, Tensor]:
        ring, value_head_dim = plan.ring, value.shape[-1]
        rows = [_slice(piece, piece.tokens) for piece in plan.query_pieces]
        states: list[Partial | None] = [None] * len(rows)
        key_value = [key, value]
        for step in range(ring.size):
            owner = (ring.rank - step) % ring.size
            last = step + 1 == ring.size
            transfer = None if last else ring.pass_on(key_value, plan.shapes((owner - 1) % ring.size, key, value))
            for number, part, keys, band in plan.blocks(owner):
                k, v = (t[:, :, keys] for t in key_value)
                state = states[number]
                add = Partial.of_block if state is None else state.add
                states[number] = add(query[:, :, part], k, v, band, plan.scale)
            if transfer is not None:
                key_value = transfer.wait()
        output = query.new_zeros(*query.shape[:-1], value_head_dim)
        softmax_max, softmax_sum = (query.new_zeros(*query.shape[:-1], 1, dtype=torch.float32) for _ in range(2))
        for part, state in zip(rows, states):
            if state is not None:
                for whole, piece in zip((output, softmax_max, softmax_sum), state):
                    whole[:, :, part] = piece
        softmax_lse = statistics_to_lse(softmax_max, softmax_sum)
        ctx.save_for_backward(query, key, value, output, softmax_max, softmax_sum)
        ctx.plan = plan
        ctx.mark_non_differentiable(softmax_lse)
        return output, softmax_lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlse: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *whole = ctx.saved_tensors
        plan: _Plan = ctx.plan
        ring = plan.ring
        dq = torch.zeros_like(query, dtype=torch.float32)
        key_value = [key, value]
        gradients: Transfer | None = None
        for step in range(ring.size):
            owner = (ring.rank - step) % ring.size
            previous = plan.shapes((owner - 1) % ring.size, key, value)
            transfer = None if step + 1 == ring.size else ring.pass_on(key_value, previous)
            totals = [torch.zeros_like(t, dtype=torch.float32) for t in key_value]
            for _, rows, keys, band in plan.blocks(owner):
                q, dy_rows, output, *statistics = (t[:, :, rows] for t in (query, dy, *whole))
                k, v = (t[:, :, keys] for t in key_value)
                parts = gradient(q, k, v, dy_rows, (output, statistics[0], statistics[1]), band, plan.scale)
                dq[:, :, rows] += parts[0]
                for total, part in zip(totals, parts[1:]):
                    total[:, :, keys] += part
            if gradients is not None:
                totals = [total + earlier for total, earlier in zip(totals, gradients.wait())]
            gradients = ring.pass_on(totals, previous)
            if transfer is not None:
                key_value = transfer.wait()
        assert gradients is not None
        dk, dv = gradients.wait()
        return dq.to(query.dtype), dk.to(key.dtype), dv.to(value.dtype), None
