"""How the heads of a paged cache are stored."""

from __future__ import annotations

from torch import Tensor

from ._call import Call


def head_axis(call: Call, cache: Tensor) -> int:
    """The axis of a block cache that holds the heads (with the channels, when it has three axes)."""
    if cache.dim() == 3:
        return 2
    if call.layout == "BNSD" or cache.dim() == 5:
        return 1
    if call.layout == "BSND":
        return 2
    return 2 if cache.shape[1] == call["block_size"] and cache.shape[2] == call.kv_heads else 1
