"""Which tokens of a sequence a rank holds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ._communication import agree, all_gather, group_size_and_rank

SHARDINGS = ("zigzag", "contiguous")


def shard_ranges(tokens: int, world_size: int, rank: int, sharding: str = "zigzag") -> list[range]:
    """Returns the positions that `rank` holds, in the order in which its shard stores them.

    Args:
        tokens: length of the whole sequence, not necessarily a multiple of anything.
        world_size, rank: of the group that shares the sequence.
        sharding: "contiguous": one range each. "zigzag": of 2 * world_size ranges, those number `rank` from the start
            and from the end, which gives all ranks the same work under a causal mask. Lengths of ranks differ by at
            most one.

    Raises:
        ValueError: an unknown sharding, a negative length or a rank outside of the group.

    Source: Brandon et al., Striped Attention, arXiv 2311.09431, for the imbalance; the zig-zag order is that of
    Llama 3's context parallelism, arXiv 2407.21783 section 3.3.2.
    """
    check_sharding("shard_ranges", sharding)
    if tokens < 0:
        raise ValueError(f"npufa.shard_ranges: tokens is negative, got {tokens}; expected at least 0")
    if not 0 <= rank < world_size:
        raise ValueError(f"npufa.shard_ranges: rank is not in the group, got {rank}; expected 0 to {world_size - 1}")
    parts = 2 * world_size if sharding == "zigzag" else world_size
    length, longer = divmod(tokens, parts)
    bounds = [*itertools.accumulate((length + (part < longer) for part in range(parts)), initial=0)]
    own = (rank, parts - 1 - rank) if sharding == "zigzag" else (rank,)
    return [range(bounds[part], bounds[part + 1]) for part in own]


def shard_positions(
    tokens: int,
    *,
    group: dist.ProcessGroup | None = None,
    sharding: str = "zigzag",
    device: torch.device | str | None = None,
) -> Tensor:
    """Returns the positions that this rank holds, int64 (local tokens,): e.g. those of a rotary embedding."""
    world_size, rank = group_size_and_rank("shard_positions", group)
    positions = [*itertools.chain(*shard_ranges(tokens, world_size, rank, sharding))]
    return torch.tensor(positions, dtype=torch.int64, device=device)


def shard_sequence(
    tensor: Tensor, dim: int, *, group: dist.ProcessGroup | None = None, sharding: str = "zigzag"
) -> Tensor:
    """Returns this rank's shard along `dim` of a tensor that every rank has; differentiable, contiguous."""
    world_size, rank = group_size_and_rank("shard_sequence", group)
    ranges = shard_ranges(tensor.shape[dim], world_size, rank, sharding)
    return torch.cat([tensor.narrow(dim, part.start, len(part)) for part in ranges], dim)


def unshard_sequence(
    tensor: Tensor, dim: int, *, group: dist.ProcessGroup | None = None, sharding: str = "zigzag"
) -> Tensor:
    """Returns the whole sequence, on every rank, from the shards of all of them.

    Args:
        tensor: this rank's shard; other ranks' may have another length along `dim`, arbitrary ones when `sharding` is
            "contiguous".

    Raises:
        ValueError: a tensor that requires a gradient (what it is depends on whether ranks add the same loss up or one
            each; pass `tensor.detach()`, or compute the loss of each shard where it is), or shards whose shapes,
            dtypes or lengths do not belong together; on all ranks.
    """
    name = "unshard_sequence"
    def facts() -> dict[str, Any]:
        check_sharding(name, sharding)
        if tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"npufa.{name}: tensor requires a gradient, which is not defined here, got "
                             "requires_grad=True; expected tensor.detach()")
        if not -tensor.dim() <= dim < tensor.dim():
            raise ValueError(f"npufa.{name}: dim is out of range, got {dim}; expected an axis of {[*tensor.shape]}")
        shape = [*tensor.shape]
        length = shape.pop(dim)
        return {"sharding": sharding, "dim": dim % tensor.dim(), "shape beyond dim": shape, "dtype": str(tensor.dtype),
                "length": length}

    lengths = [answer["length"] for answer in agree(name, group, facts, ["length"])]
    ranges = ranges_of_all(name, lengths, sharding)
    shards = all_gather(tensor, dim, lengths, group)
    if sharding == "contiguous":
        return torch.cat(shards, dim)
    parts = [(part.start, tokens) for own, shard in zip(ranges, shards)
             for part, tokens in zip(own, shard.split([len(part) for part in own], dim))]
    return torch.cat([tokens for _, tokens in sorted(parts, key=lambda part: part[0])], dim)


def ranges_of_all(name: str, lengths: Sequence[int], sharding: str) -> list[list[range]]:
    """Returns the positions of every rank's shard, from the lengths of the shards of all ranks."""
    if sharding == "contiguous":
        return [[range(end - length, end)] for length, end in zip(lengths, itertools.accumulate(lengths))]
    tokens = sum(lengths)
    ranges = [shard_ranges(tokens, len(lengths), rank, sharding) for rank in range(len(lengths))]
    expected = [sum(map(len, own)) for own in ranges]
    if [*lengths] != expected:
        raise ValueError(f"npufa.{name}: shards do not have the lengths of sharding 'zigzag', got {[*lengths]} tokens "
                         f"on the ranks; expected {expected} (shard_sequence makes them; 'contiguous' takes any)")
    return ranges


def check_sharding(name: str, sharding: str) -> None:
    """Raises for an unknown sharding; the message names `name`."""
    if sharding not in SHARDINGS:
        raise ValueError(f"npufa.{name}: sharding is unknown, got {sharding!r}; expected one of {SHARDINGS}")


class Piece(NamedTuple):
    """Consecutive tokens of one sequence in a shard.

    Attributes:
        sequence: which one of a packed batch.
        tokens: positions within the sequence.
        start: where the first one is in the shard.
    """

    sequence: int
    tokens: range
    start: int


def pieces(ranges: Sequence[range], lengths: Sequence[int]) -> list[Piece]:
    """Cuts the ranges of a shard at the ends of the packed sequences; tokens beyond the last one are in no piece."""
    found = []
    start = 0
    ends = [*itertools.accumulate(lengths)]
    for part in ranges:
        for sequence, (length, end) in enumerate(zip(lengths, ends)):
            first, last = max(part.start, end - length), min(part.stop, end)
            if first < last:
                begin = end - length
                found.append(Piece(sequence, range(first - begin, last - begin), start + first - part.start))
        start += len(part)
    return found
