"""Attention over sequences that are spread over processes, by torch.distributed (HCCL on Atlas, Gloo on a CPU).

Each rank of a group holds a shard of query, key and value. Ring attention moves keys and values, the all-to-all form
(Ulysses) moves everything to where a rank has all tokens of some heads. Nothing is approximated, and both have the
gradient of one process.
"""

from __future__ import annotations

from ._ring import ring_attention
from ._sharding import shard_positions, shard_ranges, shard_sequence, unshard_sequence
from ._ulysses import ulysses_attention

__all__ = [
    "ring_attention",
    "shard_positions",
    "shard_ranges",
    "shard_sequence",
    "ulysses_attention",
    "unshard_sequence",
]
