"""Merging attentions that one query computed over disjoint sets of keys."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._operator import operator

__all__ = [
    "npu_attention_update",
    "npu_ring_attention_update",
]


@operator
def npu_attention_update(
    lse: Sequence[Tensor], local_out: Sequence[Tensor], update_type: int
) -> tuple[Tensor, Tensor]:
    """Merges partial attentions by their log-sum-exp: out = sum_i local_out[i] * exp(lse[i] - log sum_j exp(lse[j])).

    A row without keys in a part (lse +inf as npufa's operators return it, or -inf) gets nothing from that part; a row
    without keys in all of them is 0 and has the log-sum-exp +inf. Arithmetic is float32.

    Args:
        lse: 1 to 128 tensors (M,) float32.
        local_out: as many tensors (M, D) float16, bfloat16 or float32; M are tokens times heads.
        update_type: 0: the output; 1: the log-sum-exp, too.

    Returns:
        out (M, D) in the dtype of local_out, and for update_type 1 the merged log-sum-exp (M,) float32, else a tensor
        without elements.

    Raises:
        RuntimeError, ValueError: an illegal argument, which the message names; also a backward pass, for which
            `npufa.merge.merge_lse` is.

    Source: SPEC section 9b; torch_npu page `npu_attention_update`.
    """
    ...


@operator
def npu_ring_attention_update(
    prev_attn_out: Tensor,
    prev_softmax_max: Tensor,
    prev_softmax_sum: Tensor,
    cur_attn_out: Tensor,
    cur_softmax_max: Tensor,
    cur_softmax_sum: Tensor,
    *,
    actual_seq_qlen: Tensor | None = None,
    input_layout: str = "SBH",
    input_softmax_layout: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    """Updates the attention over the keys seen so far by that over the keys of this step of the ring.

    Rows without keys in one of the two keep the other's result, where the formula of the vendor's page gives 0 / 0 once
    the exponential underflows. Arithmetic is float32.

    Args:
        prev_attn_out, cur_attn_out: float16, bfloat16 or float32, SBH (S, B, N*Dv) or TND (T, N, Dv).
        prev_softmax_max, prev_softmax_sum, cur_softmax_max, cur_softmax_sum: float32 (B, N, S, 8), TND (T, N, 8), as
            `npu_fusion_attention` returns them.
        actual_seq_qlen: int64 on the device, cumulative lengths of the packed sequences with or without the leading 0;
            TND needs it.
        input_layout: "SBH" or "TND".
        input_softmax_layout: of packed statistics: "" and "SBH" heads first within a sequence, as
            `npu_fusion_attention` returns them by default; "TND" tokens first. Not read for SBH.

    Returns:
        attn_out, softmax_max, softmax_sum in shape, dtype and order of the inputs.

    Raises:
        RuntimeError, ValueError: an illegal argument, or (CPU) lengths that are not cumulative; the message names the
            argument. Also a backward pass, for which `npufa.merge.merge_statistics` is.

    Source: SPEC section 9b; torch_npu page `npu_ring_attention_update`.
    """
    ...
