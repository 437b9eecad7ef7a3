"""Rotary position embedding as flash_attn applies it (`flash_attn.layers.rotary`)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _check


def apply_rotary_emb(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    interleaved: bool = False,
    inplace: bool = False,
    seqlen_offsets: int | Tensor = 0,
    cu_seqlens: Tensor | None = None,
    max_seqlen: int | None = None,
) -> Tensor:
    """Rotates the first R elements of each head by the angle of its position.

    Args:
        x: (B, S, N, D), or packed (T, N, D) with `cu_seqlens`.
        cos, sin: (positions, R / 2).
        interleaved: rotate elements 2i and 2i + 1; otherwise i and i + R / 2.
        inplace: write the result to x as well.
        seqlen_offsets: position of the first token, one number or (B,).
        cu_seqlens: int32 (B + 1,), cumulative lengths with a leading zero.
        max_seqlen: not read.

    Returns:
        Shape and dtype of x. Differentiable in x, cos and sin.

    Raises:
        TypeError, ValueError: an illegal argument; the message names it.
    """
    name = "apply_rotary_emb"
    shape = ("B", "S", "N", "D") if cu_seqlens is None else ("T", "N", "D")
    _check.tensor(name, "x", x, shape, _check.DTYPES, x.device)
    check(name, "cos", "sin", x, cos, sin)
    if cu_seqlens is None:
        positions = torch.arange(x.shape[1], device=x.device)
        first = seqlen_offsets[:, None] if isinstance(seqlen_offsets, Tensor) else seqlen_offsets
        positions = positions + first
    else:
        _check.cumulative(name, "cu_seqlens", cu_seqlens, x.shape[0], x.device)
        sequence, positions = sequences(cu_seqlens, x.shape[0])
        positions = positions + (seqlen_offsets[sequence] if isinstance(seqlen_offsets, Tensor) else seqlen_offsets)
        positions = positions.clamp(max=len(cos) - 1)  # tokens beyond the last sequence have no position
    _check.lengths(name, "seqlen_offsets", positions, 0, len(cos) - 1)
    rotated = rotate(x, cos, sin, positions, interleaved)
    return x.copy_(rotated) if inplace else rotated


def apply_rotary_emb_qkv_(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    cos_k: Tensor | None = None,
    sin_k: Tensor | None = None,
    interleaved: bool = False,
    seqlen_offsets: int | Tensor = 0,
    num_heads_q: int | None = None,
) -> Tensor:
    """:func:`apply_rotary_emb` of the queries and keys in `qkv`, in place.

    Args:
        qkv: (B, S, 3, N, D), or (B, S, N + 2 * Nkv, D) with `num_heads_q` N.
        cos_k, sin_k: tables of the keys, by default those of the queries.
    """
    name = "apply_rotary_emb_qkv_"
    if num_heads_q is None:
        _check.tensor(name, "qkv", qkv, ("B", "S", 3, "N", "D"), _check.DTYPES, qkv.device)
        q, k = qkv[:, :, 0], qkv[:, :, 1]
    else:
        _check.tensor(name, "qkv", qkv, ("B", "S", "N + 2 * Nkv", "D"), _check.DTYPES, qkv.device)
        n, others, _ = _check.packed_heads(name, qkv.shape[2], num_heads_q)
        q, k = qkv[:, :, :n], qkv[:, :, n:n + others]
    apply_rotary_emb(q, cos, sin, interleaved, True, seqlen_offsets)
    apply_rotary_emb(k, cos if cos_k is None else cos_k, sin if sin_k is None else sin_k, interleaved, True,
                     seqlen_offsets)
    return qkv


def apply_rotary_emb_kv_(
    kv: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False, seqlen_offsets: int | Tensor = 0
) -> Tensor:
    """:func:`apply_rotary_emb` of the keys in `kv` (B, S, 2, Nkv, D), in place."""
    _check.tensor("apply_rotary_emb_kv_", "kv", kv, ("B", "S", 2, "Nkv", "D"), _check.DTYPES, kv.device)
    apply_rotary_emb(kv[:, :, 0], cos, sin, interleaved, True, seqlen_offsets)
    return kv


def check(name: str, cos_name: str, sin_name: str, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> None:
    """Checks the tables of angles for heads like those of x."""
    _check.tensor(name, cos_name, cos, ["positions", "R / 2"], _check.DTYPES, x.device)
    _check.tensor(name, sin_name, sin, [*cos.shape], _check.DTYPES, x.device)  # type: ignore[union-attr]
    width = 2 * cos.shape[1]  # type: ignore[union-attr]
    if width > x.shape[-1]:
        _check.fail(name, cos_name, "rotates more than a head has", width, f"at most {x.shape[-1]} elements")


def sequences(cu_seqlens: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """Returns sequence and offset in it of each token; those behind the last sequence count to that one."""
    token = torch.arange(tokens, device=cu_seqlens.device)
    cu = cu_seqlens.long()
    sequence = torch.searchsorted(cu[1:], token, right=True).clamp(max=max(len(cu) - 2, 0))
    return sequence, token - cu[sequence]


def rotate(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, interleaved: bool) -> Tensor:
    """Rotates (..., N, D) by the positions (...), or a shape that broadcasts to it."""
    cos, sin = (table[positions].unsqueeze(-2).float() for table in (cos, sin))
    width = 2 * cos.shape[-1]
    part, rest = x[..., :width].float(), x[..., width:]
    first, second = (part[..., ::2], part[..., 1::2]) if interleaved else part.chunk(2, -1)
    turned = (first * cos - second * sin, first * sin + second * cos)
    joined = torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)
    return torch.cat([joined.to(x.dtype), rest], -1)
