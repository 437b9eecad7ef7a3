"""Which keys a block of query rows sees, and the operators' calls for one block.

Tensors are query (B, N, rows, D), key (B, Nkv, keys, D) and value (B, Nkv, keys, Dv), strided as they come; rows and
keys are ranges of positions in the whole sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..integrations._rules import FULL, UNBOUNDED, Band
from ..merge import STATISTIC_WIDTHS, merge_statistics
from ..ops import npu_fusion_attention, npu_fusion_attention_grad

SPARSE_MODES = (0, 2, 3, 4)


class Visibility(NamedTuple):
    """Row i sees the keys of the band, and of the first `sink_tokens` keys those that the band's upper limit allows."""

    band: Band = FULL
    sink_tokens: int = 0

    @classmethod
    def from_arguments(
        cls, name: str, query_tokens: int, kv_tokens: int, sparse_mode: int, pre_tokens: int, next_tokens: int,
        sink_tokens: int
    ) -> Visibility:
        """Returns the rule of SPEC section 4 for one sequence; the messages name `name`."""
        if sparse_mode not in SPARSE_MODES:
            raise ValueError(f"npufa.{name}: sparse_mode is not supported, got {sparse_mode}; expected one of "
                             f"{SPARSE_MODES}")
        if sink_tokens < 0:
            raise ValueError(f"npufa.{name}: sink_tokens is negative, got {sink_tokens}; expected at least 0")
        if sink_tokens and sparse_mode != 4:
            raise ValueError(f"npufa.{name}: sink_tokens has no band to add to, got {sink_tokens} with sparse_mode "
                             f"{sparse_mode}; expected sparse_mode 4")
        shift = kv_tokens - query_tokens
        if sparse_mode == 2:
            return cls(Band(upper=0))
        if sparse_mode == 3:
            return cls(Band(upper=shift))
        if sparse_mode == 4:
            lower = None if pre_tokens >= UNBOUNDED else shift - pre_tokens
            return cls(Band(lower, None if next_tokens >= UNBOUNDED else shift + next_tokens), sink_tokens)
        return cls()

    def blocks(self, rows: range, keys: range, limit: int | None = None) -> Iterator[tuple[range, Band]]:
        """Yields the keys some row sees, in disjoint blocks of at most `limit`, each with its band.

        The band counts rows and keys from the first of the block; it is FULL where every row sees every key.
        """
        lower, upper = self.band
        yield from _blocks(self.band, rows, keys, limit)
        if lower is not None and self.sink_tokens:
            outside = Band(None, lower - 1 if upper is None else min(lower - 1, upper))
            yield from _blocks(outside, rows, range(keys.start, min(keys.stop, self.sink_tokens)), limit)


def _blocks(band: Band, rows: range, keys: range, limit: int | None) -> Iterator[tuple[range, Band]]:
    begin, end = keys.start, keys.stop
    if band.lower is not None:
        begin = max(begin, rows.start + band.lower)
    if band.upper is not None:
        end = min(end, rows.stop + band.upper)
    if not rows or begin >= end:
        return
    for start in range(begin, end, limit or end - begin):
        part = range(start, min(start + limit, end) if limit else end)
        yield part, _relative(band, rows, part)


def _relative(band: Band, rows: range, keys: range) -> Band:
    shift = rows.start - keys.start
    lower = None if band.lower is None or band.lower + shift + len(rows) <= 1 else band.lower + shift
    upper = None if band.upper is None or band.upper + shift >= len(keys) - 1 else band.upper + shift
    return Band(lower, upper)


class Partial(NamedTuple):
    """Attention over the keys seen so far: output (B, N, rows, Dv), statistics (B, N, rows, 1) float32."""

    output: Tensor
    softmax_max: Tensor
    softmax_sum: Tensor

    @classmethod
    def without_keys(cls, query: Tensor, value_head_dim: int) -> Partial:
        """Returns the attention of these rows over no key."""
        shape = query.shape[:-1]
        return cls(*(query.new_zeros(*shape, width, dtype=torch.float32) for width in (value_head_dim, 1, 1)))

    @classmethod
    def of_block(cls, query: Tensor, key: Tensor, value: Tensor, band: Band, scale: float) -> Partial:
        """Returns the attention over the keys of one block, by the operator."""
        mode, before, after = band.sparse_mode(key.shape[2] - query.shape[2])
        output, softmax_max, softmax_sum, *_ = npu_fusion_attention(
            query, key, value, query.shape[1], "BNSD", scale=scale, sparse_mode=mode, pre_tockens=before,
            next_tockens=after)
        return cls(output, softmax_max[..., :1], softmax_sum[..., :1])

    def add(self, query: Tensor, key: Tensor, value: Tensor, band: Band, scale: float) -> Partial:
        """Returns the attention with the keys of one more block; its output is float32, so that many round once."""
        block = Partial.of_block(query, key, value, band, scale)
        return Partial(*merge_statistics(self.output.float(), *self[1:], *block))


def gradient(
    query: Tensor, key: Tensor, value: Tensor, dy: Tensor, whole: tuple[Tensor, Tensor, Tensor], band: Band,
    scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what one block contributes to dq, dk and dv.

    With output and statistics of the attention over all keys (`whole`) the operator's probabilities are those of the
    whole softmax restricted to the block, so that contributions sum to the exact gradient.
    """
    output, softmax_max, softmax_sum = whole
    statistics = [t.expand(*t.shape[:-1], STATISTIC_WIDTHS[-1]).contiguous() for t in (softmax_max, softmax_sum)]
    mode, before, after = band.sparse_mode(key.shape[2] - query.shape[2])
    dq, dk, dv, *_ = npu_fusion_attention_grad(
        query, key, value, dy, query.shape[1], "BNSD", softmax_max=statistics[0], softmax_sum=statistics[1],
        attention_in=output, scale_value=scale, sparse_mode=mode, pre_tockens=before, next_tockens=after)
    return dq, dk, dv
