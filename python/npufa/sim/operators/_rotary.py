"""Rotary position embedding of ATB, in place."""

from __future__ import annotations

import torch
from torch import Tensor

from ._table import operator


def _turn(x: Tensor, head_size: int, cos: Tensor, sin: Tensor, is_neox_style: bool) -> None:
    """Turns the first dimensions of every head, as many as the cache has: halves, or neighbours, by each angle."""
    heads = x.view(len(cos), -1, head_size)[..., :2 * cos.shape[-1]]
    wide = heads.float()
    left, right = wide.chunk(2, -1) if is_neox_style else (wide[..., ::2], wide[..., 1::2])
    turned = left * cos - right * sin, right * cos + left * sin
    heads.copy_(torch.cat(turned, -1) if is_neox_style else torch.stack(turned, -1).flatten(-2))


@operator("test_atb_rope.py", "atb")
def _npu_rotary_embedding(
    positions: Tensor, query: Tensor, key: Tensor, head_size: int, cos_sin_cache: Tensor, is_neox_style: bool
) -> None:
    cos, sin = cos_sin_cache[positions.flatten().long()].float().unsqueeze(1).chunk(2, -1)
    for x in (query, key):
        _turn(x, head_size, cos, sin, is_neox_style)
