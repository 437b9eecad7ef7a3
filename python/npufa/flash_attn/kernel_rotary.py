"""Rotary embedding under the name of flash_attn's kernel, which vLLM imports (`flash_attn.ops.triton.rotary`)."""

from __future__ import annotations

from torch import Tensor

from . import rotary


def apply_rotary(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    seqlen_offsets: int | Tensor = 0,
    cu_seqlens: Tensor | None = None,
    max_seqlen: int | None = None,
    interleaved: bool = False,
    inplace: bool = False,
    conjugate: bool = False,
) -> Tensor:
    """:func:`npufa.flash_attn.rotary.apply_rotary_emb`; with `conjugate` it turns back."""
    return rotary.apply_rotary_emb(x, cos, -sin if conjugate else sin, interleaved, inplace, seqlen_offsets,
                                   cu_seqlens, max_seqlen)
