"""Rotary position embedding (Su et al., RoFormer, arXiv 2104.09864)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def angles(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Returns cosines and sines (..., head_dim / 2) float32 of integral positions (...)."""
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    turns = positions.to(torch.float32)[..., None] * theta**-exponents
    return turns.cos(), turns.sin()


def rotate(tensor: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """Rotates heads (B, S, N, D) by angles (B or 1, S, D / 2).

    Pairs are the elements i and i + D / 2, and with `interleaved` 2i and 2i + 1, as DeepSeek's checkpoints have them.
    The rotated pairs are in halves in both cases.
    """
    values = tensor.to(torch.float32)
    first, second = (values[..., 0::2], values[..., 1::2]) if interleaved else values.chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(tensor.dtype)


def positions_of(tokens: int, start: int, lengths: Sequence[int] | Tensor | None, device: torch.device) -> Tensor:
    """Returns positions (1, tokens): from `start` on, or within packed sequences with these cumulative lengths."""
    positions = torch.arange(start, start + tokens, device=device)
    if lengths is not None:
        ends = torch.as_tensor(lengths, device=device)
        sequence = torch.searchsorted(ends, positions, right=True)
        starts = torch.cat([ends.new_zeros(1), ends])
        positions = positions - starts[sequence]
    return positions[None]
