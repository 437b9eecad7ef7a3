"""Layouts of caches, and which of their elements share a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LAYOUTS = ("BNSD", "BSND", "BSH", "TND")


def heads_first(tensor: Tensor, input_layout: str, num_heads: int) -> Tensor:
    """Returns a view (B, N, S, D) of a tensor in `input_layout`; TND has B = 1."""
    if input_layout == "BNSD":
        return tensor
    if input_layout == "BSND":
        return tensor.transpose(1, 2)
    if input_layout == "TND":
        return tensor.transpose(0, 1).unsqueeze(0)
    return tensor.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def in_layout(tensor: Tensor, input_layout: str) -> Tensor:
    """The inverse of :func:`heads_first`, contiguous."""
    if input_layout == "BNSD":
        return tensor.contiguous()
    if input_layout == "BSND":
        return tensor.transpose(1, 2).contiguous()
    if input_layout == "TND":
        return tensor.squeeze(0).transpose(0, 1).contiguous()
    return tensor.transpose(1, 2).flatten(-2)


@dataclass(frozen=True)
class Granularity:
    """Which elements of a (B, N, S, D) tensor share a scale.

    Attributes:
        name: as `QuantConfig.granularity` spells it.
        shared: the dimensions along which the scale is the same.
        mode: `key_antiquant_mode` of the operators.
        paged_mode: the same with scales that lie in blocks as the tokens do.
    """

    name: str
    shared: tuple[int, ...]
    mode: int
    paged_mode: int

    @property
    def per_token(self) -> bool:
        """The scales belong to tokens: they are computed from these, and cannot be calibrated."""
        return 2 not in self.shared

    @property
    def own(self) -> tuple[int, ...]:
        """The dimensions along which scales differ."""
        return tuple(dim for dim in range(4) if dim not in self.shared)

    def groups(self, tensor: Tensor) -> Tensor:
        """Returns the elements (B, N, S, D) as (groups, elements of a group)."""
        grouped = tensor.permute(*self.own, *self.shared)
        count = math.prod(grouped.shape[: len(self.own)])
        return grouped.reshape(count, tensor.numel() // count if count else 0)

    def scale_shape(self, shape: torch.Size) -> tuple[int, ...]:
        """Shape that the operators want of the scales for a (B, N, S, D) tensor; one element is (1,)."""
        return tuple(shape[dim] for dim in self.own) or (1,)

    def spread(self, scale: Tensor) -> Tensor:
        """Returns a scale tensor of :meth:`scale_shape` as one that broadcasts with (B, N, S, D)."""
        sizes = [1, 1, 1, 1]
        for dim, size in zip(self.own, scale.shape):
            sizes[dim] = size
        return scale.view(sizes)


GRANULARITIES = {
    one.name: one
    for one in (
        Granularity("tensor", (0, 1, 2, 3), 0, 0),
        Granularity("channel", (0, 2), 0, 0),
        Granularity("token", (1, 3), 1, 4),
        Granularity("head", (0, 2, 3), 2, 2),
        Granularity("token_head", (3,), 3, 5),
    )
}
