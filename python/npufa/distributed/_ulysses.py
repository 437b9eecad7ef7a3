"""Attention by all-to-all: from shards of the sequence to shards of the heads and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ..integrations._rules import UNBOUNDED
from ..long_context import long_context_attention
from ._call import Call, Rules, settle
from ._communication import all_to_all, group_size_and_rank
from ._sharding import shard_ranges


def ulysses_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    group: dist.ProcessGroup | None = None,
    sharding: str = "contiguous",
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

    Each rank gets the whole sequence of some heads, attends, and sends the rows of the output back to where they
    belong. Heads need not divide evenly: ranks get numbers that differ by at most one, and a rank beyond the last head
    gets none. Heads of key and value go to every rank with a query head of theirs, so that there may be fewer than
    ranks.

    Arguments, results and errors are those of :func:`ring_attention`; `sharding` "zigzag" is the ring's order, which
    brings no gain here.

    Source: Jacobs et al., DeepSpeed Ulysses, arXiv 2309.14509; SPEC sections 2 to 4.
    """
    name = "ulysses_attention"
    rules = Rules(sharding, input_layout, scale, sparse_mode, pre_tokens, next_tokens, sink_tokens, actual_seq_qlen,
                  actual_seq_kvlen)
    call = settle(name, query, key, value, group, rules)
    size, rank = group_size_and_rank(name, group)
    heads = _Heads.split(call.query.shape[1], call.key.shape[1], size)
    own = heads[rank]
    q, k, v = _to_heads(call, heads, rank, group)
    if own.spread is not None:
        k, v = k[:, own.spread], v[:, own.spread]
    if own.query:
        packed = input_layout == "TND"
        output, softmax_lse = long_context_attention(
            *(_packed(t) if packed else t for t in (q, k, v)),
            input_layout="TND" if packed else "BNSD", scale=call.scale, sparse_mode=sparse_mode, pre_tokens=pre_tokens,
            next_tokens=next_tokens, sink_tokens=sink_tokens, actual_seq_qlen=actual_seq_qlen,
            actual_seq_kvlen=actual_seq_kvlen)
        if packed:
            output, softmax_lse = (t.transpose(0, 1).unsqueeze(0) for t in (output, softmax_lse))
    else:
        output, softmax_lse = q[..., :v.shape[-1]], q.new_empty(*q.shape[:-1], 1, dtype=torch.float32)
    numbers = [len(h.query) for h in heads]
    output, softmax_lse = (_to_tokens(t, numbers, call, rank, group) for t in (output, softmax_lse.detach()))
    return call.result(output, softmax_lse, input_layout)


class _Heads:
    """Heads of one rank: those of query, those of key that these need.

    The operators want as many query heads for each head of key. Where there are not, `spread` has the number, among
    those of key, of the one that each query head gets a copy of.
    """

    def __init__(self, query: range, group_size: int):
        self.query = query
        of_query = [head // group_size for head in query]
        self.key = range(of_query[0], of_query[-1] + 1) if of_query else range(0)
        even = len({of_query.count(head) for head in self.key}) <= 1
        self.spread = None if even else [head - self.key.start for head in of_query]

    @classmethod
    def split(cls, heads: int, kv_heads: int, size: int) -> list[_Heads]:
        return [cls(shard_ranges(heads, size, rank, "contiguous")[0], heads // kv_heads) for rank in range(size)]


def _to_heads(
    call: Call, heads: list[_Heads], rank: int, group: dist.ProcessGroup | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns query, key and value of all tokens, in order, and of this rank's heads."""
    pieces = []
    for peer in heads:
        parts = [t[:, part.start:part.stop] for t, part in
                 ((call.query, peer.query), (call.key, peer.key), (call.value, peer.key))]
        pieces.append(torch.cat([part.flatten() for part in parts]))
    own = heads[rank]
    ranges = (call.query_ranges, call.key_ranges, call.key_ranges)
    shapes = [[(t.shape[0], len(number), sum(map(len, tokens)), t.shape[3])
               for t, number, tokens in zip((call.query, call.key, call.value), (own.query, own.key, own.key), of_rank)]
              for of_rank in zip(*ranges)]
    received = all_to_all(pieces, [sum(map(math.prod, of_rank)) for of_rank in shapes], group)
    shards = [[part.view(shape) for part, shape in zip(piece.split([*map(math.prod, of_rank)]), of_rank)]
              for piece, of_rank in zip(received, shapes)]
    query, key, value = (_in_order(torch.cat(parts, 2), tokens) for parts, tokens in zip(zip(*shards), ranges))
    return query, key, value


def _to_tokens(
    tensor: Tensor, numbers: Sequence[int], call: Call, rank: int, group: dist.ProcessGroup | None
) -> Tensor:
    """Returns all heads of this rank's tokens, from these heads of all tokens; `numbers` has each rank's of heads."""
    pieces = [torch.cat([tensor[:, :, part.start:part.stop] for part in own], 2).flatten() for own in call.query_ranges]
    tokens, (batch, _, _, width) = call.query.shape[2], tensor.shape
    received = all_to_all(pieces, [batch * number * tokens * width for number in numbers], group)
    return torch.cat([part.view(batch, number, tokens, width) for part, number in zip(received, numbers)], 1)


def _in_order(shards: Tensor, ranges: Sequence[Sequence[range]]) -> Tensor:
    """Sorts the tokens of all shards, one after another along axis 2, by position."""
    parts = [part for own in ranges for part in own]
    starts = itertools.accumulate(map(len, parts), initial=0)
    order = sorted(zip(parts, starts), key=lambda pair: pair[0].start)
    if [*order] == [*zip(parts, itertools.accumulate(map(len, parts), initial=0))]:
        return shards
    return torch.cat([shards[:, :, start:start + len(part)] for part, start in order], 2)


def _packed(tensor: Tensor) -> Tensor:
    """(1, N, T, D) as (T, N, D)."""
    return tensor.squeeze(0).transpose(0, 1)
