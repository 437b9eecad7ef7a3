"""What a call of distributed attention means: settled between the ranks before any tensor travels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ..long_context._arguments import as_under_autocast, check, default_scale, from_bnsd, sequence_lengths, to_bnsd
from ..long_context._blocks import Visibility
from ._communication import agree
from ._sharding import check_sharding, ranges_of_all


class Rules(NamedTuple):
    """Arguments of an attention call beyond its tensors, the same on all ranks."""

    sharding: str
    input_layout: str
    scale: float | None
    sparse_mode: int
    pre_tokens: int
    next_tokens: int
    sink_tokens: int
    actual_seq_qlen: Sequence[int] | None
    actual_seq_kvlen: Sequence[int] | None


class Call(NamedTuple):
    """A call that all ranks agreed on.

    Attributes:
        query, key, value: this rank's shards as views (B, N, local Sq, D); packed ones have B 1.
        query_ranges, key_ranges: per rank, the positions of its shard within all tokens.
        query_lengths, key_lengths: of the packed sequences, one if the batch is not packed.
        visibilities: which keys the rows of each sequence see.
        scale: factor of the scores.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    query_ranges: list[list[range]]
    key_ranges: list[list[range]]
    query_lengths: list[int]
    key_lengths: list[int]
    visibilities: list[Visibility]
    scale: float

    def result(self, output: Tensor, softmax_lse: Tensor, input_layout: str) -> tuple[Tensor, Tensor]:
        """Returns both as an operator of this layout does."""
        packed = input_layout == "TND"
        return from_bnsd(output, input_layout), from_bnsd(softmax_lse, "TND") if packed else softmax_lse


def settle(
    name: str, query: Tensor, key: Tensor, value: Tensor, group: dist.ProcessGroup | None, rules: Rules
) -> Call:
    """Checks a call on every rank and between them; raises on all ranks, or returns on all."""
    def facts() -> dict[str, Any]:
        for argument, tensor in (("query", query), ("key", key), ("value", value)):
            if type(tensor) not in (Tensor, torch.nn.Parameter):
                raise TypeError(f"npufa.{name}: {argument} is not a plain tensor, got {type(tensor).__name__}; "
                                "expected a Tensor (of a DTensor: to_local())")
            if tensor.device != query.device:
                raise ValueError(f"npufa.{name}: {argument} is on another device than query, got {tensor.device}; "
                                 f"expected {query.device}")
        check(name, query, key, value, rules.input_layout)
        check_sharding(name, rules.sharding)
        Visibility.from_arguments(name, 0, 0, *rules[3:7])
        shapes = [[*to_bnsd(t, rules.input_layout).shape] for t in (query, key, value)]
        (batch, heads, rows, head_dim), (_, kv_heads, keys, _), (*_, value_head_dim) = shapes
        return {
            "batch": batch, "query's number of heads": heads, "key's number of heads": kv_heads,
            "query's head size": head_dim, "value's head size": value_head_dim, "query's dtype": str(query.dtype),
            "whether a gradient is needed": torch.is_grad_enabled() and any(
                t.requires_grad for t in (query, key, value)),
            "autocast": _autocast_dtype(query),
            **{argument: [*x] if isinstance(x, Sequence) and not isinstance(x, str) else x
               for argument, x in rules._asdict().items()},
            "query tokens": rows, "key tokens": keys,
        }

    answers = agree(name, group, facts, ["query tokens", "key tokens"])
    rows, keys = ([answer[f"{tensor} tokens"] for answer in answers] for tensor in ("query", "key"))
    query_ranges, key_ranges = (ranges_of_all(name, lengths, rules.sharding) for lengths in (rows, keys))
    if rules.input_layout == "TND":
        query_lengths = sequence_lengths(name, "actual_seq_qlen", rules.actual_seq_qlen, sum(rows))[:-1]
        key_lengths = sequence_lengths(name, "actual_seq_kvlen", rules.actual_seq_kvlen, sum(keys))[:-1]
        if len(query_lengths) != len(key_lengths):
            raise ValueError(f"npufa.{name}: actual_seq_kvlen differs from actual_seq_qlen in length, got "
                             f"{len(key_lengths)}; expected {len(query_lengths)}")
    else:
        query_lengths, key_lengths = [sum(rows)], [sum(keys)]
    visibilities = [Visibility.from_arguments(name, *lengths, *rules[3:7])
                    for lengths in zip(query_lengths, key_lengths)]
    scale = default_scale(query, rules.scale)
    query, key, value = (to_bnsd(t, rules.input_layout) for t in as_under_autocast(query, key, value))
    return Call(query, key, value, query_ranges, key_ranges, query_lengths, key_lengths, visibilities, scale)


def _autocast_dtype(query: Tensor) -> str:
    device_type = query.device.type
    return str(torch.get_autocast_dtype(device_type)) if torch.is_autocast_enabled(device_type) else "off"
