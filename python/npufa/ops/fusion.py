"""Attention for training: forward operators and their gradients, in three versions of one function.

The forward operators are differentiable: `loss.backward()` calls the gradient operators.

Letters: B batch, N query heads (`head_num`), Nkv key/value heads, Sq and Skv sequence lengths, D head size, Dv <= D
the head size of value, T tokens of a packed batch.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._operator import operator

__all__ = [
    "npu_fusion_attention",
    "npu_fusion_attention_grad",
    "npu_fusion_attention_grad_v2",
    "npu_fusion_attention_grad_v3",
    "npu_fusion_attention_v2",
    "npu_fusion_attention_v3",
]


@operator
def npu_fusion_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    softmax_layout: str = "",
    sink: Tensor | None = None,
    dropout_mask: Tensor | None = None,
    seed: int = 0,
    offset: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """Attention for training: `dropout(softmax(scale * (query @ key^T + pse))) @ value`.

    Args:
        query: float16, bfloat16 or float32 in `input_layout`: BSH (B, Sq, N*D), SBH (Sq, B, N*D), BSND (B, Sq, N, D),
            BNSD (B, N, Sq, D) or TND (T, N, D).
        key, value: dtype of `query`, the same layout with Skv and Nkv.
        head_num: N.
        input_layout: see `query`.
        pse: dtype of `query` or float32, added to the scores: (B or 1, N, Sq or 1, Skv), or (B or 1, N, 1024, Skv)
            with the last 1024 rows of an ALiBi bias.
        padding_mask: reserved, must be None.
        atten_mask: bool or uint8, 1 = masked out (the opposite of scaled_dot_product_attention); (Sq, Skv),
            (B, Sq, Skv) or (B, N, Sq, Skv), any axis but the last may be 1; TND (longest Sq, longest Skv). For
            `sparse_mode` 2, 3, 4, 7, 8 None or the compressed 2048 x 2048 triangle, whose content is not read.
        scale: factor of the scores, usually 1 / sqrt(D).
        keep_prob: probability in (0, 1] that dropout keeps an element; kept ones are divided by it.
        pre_tockens, next_tockens: width of the band before and after the diagonal, in tokens; read by `sparse_mode` 0
            with a mask, 4, 7 and 8. Negative values shift the band.
        inner_precise: 0 accuracy, 1 speed; both accumulate in float32 here.
        prefix: for `sparse_mode` 5 and 6, keys of each sequence that every query sees, B values.
        actual_seq_qlen, actual_seq_kvlen: TND, cumulative lengths: 2, 3, 4 tokens are [2, 5, 9]. Plain lengths
            that sum to T are taken too, with a warning, where they cannot be cumulative; lists with both readings
            raise.
        sparse_mode: 0 and 1 mask or none, 2 causal from the upper left, 3 causal from the lower right, 4 band,
            5 and 6 causal with prefix, 7 and 8 a packed batch that was split inside its last or first sequence.
        gen_mask_parallel, sync: when the device generates the dropout mask; without effect on results.
        softmax_layout: "" or "TND", order of packed statistics.
        sink: float32 (N,), one logit per head that takes part in the softmax without a value.
        dropout_mask: uint8 bits, least significant first, 1 = kept, of the flattened (B, N, Sq, Skv); drawn from
            (seed, offset) when None.
        seed, offset: of the Philox generator; seed 0 draws them from torch's generator of the device.

    Returns:
        attention: layout and dtype of `query`, with Dv; rows without any key are 0.
        softmax_max, softmax_sum: float32 (B, N, Sq, 8), each value eight times; TND (T, N, 8), heads first within a
            sequence unless `softmax_layout` is "TND".
        softmax_out: empty.
        seed, offset, numels: of the dropout mask, for the gradient. In a traced graph a drawn seed and its offset are
            symbols; meta tensors draw none and give 0.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 2 to 5 and 8; torch_npu page `npu_fusion_attention`.
    """
    ...


@operator
def npu_fusion_attention_grad(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dy: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    softmax_max: Tensor | None = None,
    softmax_sum: Tensor | None = None,
    softmax_in: Tensor | None = None,
    attention_in: Tensor | None = None,
    scale_value: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    seed: int = 0,
    offset: int = 0,
    numels: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    softmax_layout: str = "",
    sink: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradient of :func:`npu_fusion_attention`, whose arguments it takes unchanged (`scale` as `scale_value`).

    Args:
        dy: gradient of the attention output, its shape and dtype.
        softmax_max, softmax_sum, attention_in: outputs of the forward call.
        softmax_in: reserved; the empty fourth output or None.
        seed, offset, numels: outputs of the forward call.

    Returns:
        dq, dk, dv, dpse, dsink: each with shape and dtype of its input (broadcast dimensions of `pse` summed), an
        empty tensor where the input is absent. Rows without any key contribute 0.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 3 to 5, 8 and 11; torch_npu page `npu_fusion_attention`.
    """
    ...


@operator
def npu_fusion_attention_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 2147483647,
    inner_precise: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    pse_type: int = 1,
    q_start_idx: Sequence[int] | None = None,
    kv_start_idx: Sequence[int] | None = None,
    softmax_layout: str = "",
    sink: Tensor | None = None,
    dropout_mask: Tensor | None = None,
    seed: int = 0,
    offset: int = 0,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """:func:`npu_fusion_attention` with a rotary part of the head and a choice of position biases.

    Everything not listed is as there; `pre_tokens`, `next_tokens` are its `pre_tockens`, `next_tockens`.

    Args:
        query_rope, key_rope: (…, N, D') and (…, Nkv, D') in the layout of `query` and `key`, usually D' = 64; add
            `query_rope @ key_rope^T` to `query @ key^T`. Both or neither.
        pse_type: 0 `scale * scores + pse`; 1 `scale * (scores + pse)`; 2 ALiBi, `scale * scores - slope * |j - i|` with
            the N float32 slopes in `pse`; 3 the same with the square root of the distance.
        q_start_idx, kv_start_idx: one value each, position of the first query and key row for `pse_type` 2 and 3.
        softcap: c > 0 caps the scores: `c * tanh(x / c)` of the scaled scores x, before `pse` and masks. 0.0 is off.

    Returns:
        As :func:`npu_fusion_attention`.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 2 to 5 and 8; torch_npu page `npu_fusion_attention_v2`.
    """
    ...


@operator
def npu_fusion_attention_grad_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dy: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    softmax_max: Tensor | None = None,
    softmax_sum: Tensor | None = None,
    softmax_in: Tensor | None = None,
    attention_in: Tensor | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    scale_value: float = 1.0,
    keep_prob: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 2147483647,
    inner_precise: int = 0,
    seed: int = 0,
    offset: int = 0,
    numels: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    pse_type: int = 1,
    q_start_idx: Sequence[int] | None = None,
    kv_start_idx: Sequence[int] | None = None,
    softmax_layout: str = "",
    sink: Tensor | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradient of :func:`npu_fusion_attention_v2`; arguments as there and in :func:`npu_fusion_attention_grad`.

    Returns:
        dq, dk, dv, dpse, dq_rope, dk_rope, dsink: each with shape and dtype of its input, an empty tensor where the
        input is absent. For `pse_type` 2 and 3 dpse is the gradient of the slopes, float32 (N,).

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 3 to 5, 8 and 11; torch_npu page `npu_fusion_attention_v2`.
    """
    ...


@operator
def npu_fusion_attention_v3(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_num: int,
    input_layout: str,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Tensor | None = None,
    actual_seq_kvlen: Tensor | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    softmax_layout: str = "",
    sink: Tensor | None = None,
    *,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """:func:`npu_fusion_attention` in a form that a graph can capture: everything returned is a tensor.

    Args:
        actual_seq_qlen, actual_seq_kvlen: int64 or int32 tensors of cumulative lengths. Those on an NPU are read by the
            kernel, so that a captured call follows new values; a running sum beyond T counts as T, one below its
            predecessor as no tokens. With `keep_prob` < 1, or a `pse` of 1024 rows, they are copied to the host.
        softcap: as :func:`npu_fusion_attention_v2`.

    Returns:
        attention, softmax_max, softmax_sum, softmax_out as :func:`npu_fusion_attention`, then seed and offset as
        int64 tensors of one element.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 2 to 5 and 8; torch_npu page `npu_fusion_attention_v3`.
    """
    ...


@operator
def npu_fusion_attention_grad_v3(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dy: Tensor,
    head_num: int,
    input_layout: str,
    *,
    pse: Tensor | None = None,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    softmax_max: Tensor | None = None,
    softmax_sum: Tensor | None = None,
    softmax_in: Tensor | None = None,
    attention_in: Tensor | None = None,
    scale_value: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2147483647,
    next_tockens: int = 2147483647,
    inner_precise: int = 0,
    seed: Tensor | None = None,
    offset: Tensor | None = None,
    prefix: Sequence[int] | None = None,
    actual_seq_qlen: Tensor | None = None,
    actual_seq_kvlen: Tensor | None = None,
    sparse_mode: int = 0,
    gen_mask_parallel: bool = True,
    sync: bool = False,
    softmax_layout: str = "",
    sink: Tensor | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradient of :func:`npu_fusion_attention_v3`; arguments as there and in :func:`npu_fusion_attention_grad`.

    Args:
        seed, offset: the int64 tensors of the forward call; needed when `keep_prob` < 1.

    Returns:
        dq, dk, dv, dpse, dsink, as :func:`npu_fusion_attention_grad`.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 3 to 5, 8 and 11; torch_npu page `npu_fusion_attention_v3`.
    """
    ...
