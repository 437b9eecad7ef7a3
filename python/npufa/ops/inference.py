"""Attention for inference: prefill, decode, and the operator that covers both.

Letters: B batch, N query heads (`num_heads`), Nkv key/value heads, Sq and Skv sequence lengths, D head size, Dv <= D
the head size of value, T tokens of a packed batch.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._operator import alias, direct, operator, torch_ops

__all__ = [
    "npu_fused_infer_attention_score",
    "npu_fused_infer_attention_score_v2",
    "npu_incre_flash_attention",
    "npu_prompt_flash_attention",
]


@operator
def npu_prompt_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | Tensor | None = None,
    deq_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    deq_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    num_heads: int = 1,
    scale_value: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 0,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    actual_seq_lengths_kv: Sequence[int] | Tensor | None = None,
    sparse_mode: int = 0,
) -> Tensor:
    """Attention of whole prompts (prefill): `softmax(scale_value * query @ key^T + pse_shift) @ value`.

    Args:
        query: float16, bfloat16, float32 or int8 in `input_layout`: BSH (B, Sq, N*D), BSND (B, Sq, N, D),
            BNSD or BNSD_BSND (B, N, Sq, D).
        key, value: dtype of `query`, the same layout with Skv and Nkv.
        padding_mask: reserved, must be None.
        atten_mask: bool, int8 or uint8, 1 = masked out (the opposite of scaled_dot_product_attention); (Sq, Skv),
            (B, Sq, Skv) or (B, N, Sq, Skv), any axis but the last may be 1, the last two may be longer. For
            `sparse_mode` 2 to 4 None or the compressed 2048 x 2048 triangle, whose content is not read.
        pse_shift: float type of `query` (float16 for int8); (B or 1, N, Sq or 1, Skv), or the last 1024 rows of an
            ALiBi bias.
        actual_seq_lengths, actual_seq_lengths_kv: tokens of each sequence that count, B values or one for all;
            default Sq and Skv. Output rows beyond are 0. Numbers, or int64 or int32 tensors (overload
            `tensor_lengths`): those on an NPU are read by the kernel, so that a captured call follows new values;
            values out of range count as the nearest legal ones then.
        deq_scale1, quant_scale1, deq_scale2: one element each, all three with int8 inputs and only then;
            float32, or its bits in an int64 or uint64.
        quant_scale2, quant_offset2: float32 (or bfloat16 with bfloat16 inputs), one element or N*D of them;
            the scale makes the output int8.
        num_heads: N.
        scale_value: factor of the scores, usually 1 / sqrt(D).
        pre_tokens, next_tokens: width of the band before and after the diagonal, in tokens; read by `sparse_mode` 0
            with a mask, and 4. Negative values shift the band.
        input_layout: see `query`; BNSD_BSND reads BNSD and returns BSND.
        num_key_value_heads: Nkv, a divisor of N; 0 means N.
        sparse_mode: 0 and 1 mask or none, 2 causal from the upper left, 3 causal from the lower right, 4 band.

    Returns:
        Layout and shape of `query` with Dv (BSND for BNSD_BSND), dtype of `query`; float16 for int8 inputs;
        int8 with `quant_scale2`. Rows without any key are 0.

    Raises:
        RuntimeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: SPEC sections 2 to 7; torch_npu page `npu_prompt_flash_attention`.
    """
    ...


@operator
def npu_incre_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    padding_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    pse_shift: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    block_table: Tensor | None = None,
    dequant_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    dequant_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    kv_padding_size: Tensor | None = None,
    num_heads: int = 1,
    scale_value: float = 1.0,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    block_size: int = 0,
    inner_precise: int = 1,
) -> Tensor:
    """Attention of one new token per sequence against its key/value cache (decode).

    Args:
        query: float16, bfloat16, float32 or int8 with Sq = 1: BSH (B, 1, N*D), BSND (B, 1, N, D) or BNSD (B, N, 1, D).
        key, value: the same layout with Skv and Nkv, in the dtype of `query` or, with `antiquant_scale`, int8, float8
            or int4 (eight to an int32). With `block_table` the paged cache: (blocks, block_size, Nkv*D),
            (blocks, block_size, Nkv, D) or (blocks, Nkv, block_size, D).
        padding_mask: reserved, must be None.
        atten_mask: bool, int8 or uint8, 1 = masked out; (B, Skv) or broadcastable, (B, 1, Skv), (B, 1, 1, Skv).
        pse_shift: float type of `query`; (B or 1, N, 1, Skv).
        actual_seq_lengths: tokens of each sequence in the cache, B values or one for all; default Skv. Numbers or a
            tensor, see `npu_prompt_flash_attention`.
        antiquant_scale, antiquant_offset: `k = (stored + offset) * scale`; key then value in dimension 0: (2,) per
            tensor, (2, Nkv, 1, D), (2, Nkv, D) or (2, Nkv*D) per channel, (2, B, Skv) float32 per token.
        block_table: int32 (B, blocks per sequence), physical block of each logical block; needs `actual_seq_lengths`.
        dequant_scale1, quant_scale1, dequant_scale2: one element each, for int8 inputs; see
            :func:`npu_prompt_flash_attention`.
        quant_scale2, quant_offset2: one element or N*D of them; the scale makes the output int8.
        kv_padding_size: int64, one element: unused tokens at the right end of a left-padded cache; read when
            `actual_seq_lengths` is given.
        num_heads: N.
        scale_value: factor of the scores, usually 1 / sqrt(D).
        input_layout: BSH, BSND or BNSD.
        num_key_value_heads: Nkv, a divisor of N; 0 means N.
        block_size: tokens in a block of the paged cache; multiples of 16 are fastest.
        inner_precise: 0 accuracy, 1 speed; both accumulate in float32 here.

    Returns:
        Shape of `query` with Dv, dtype of `query`; float16 for int8 inputs; int8 with `quant_scale2`. Sequences
        without any key give 0.

    Raises:
        RuntimeError, ValueError: an illegal argument, or a block id outside the cache that would be read; the message
            names it and what was expected.

    Source: SPEC sections 2 to 7; torch_npu page `npu_incre_flash_attention`.
    """
    ...


@direct
@alias("scale_value", "scale")
@torch_ops
def npu_fused_infer_attention_score(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_lengths: Sequence[int] | Tensor | None = None,
    actual_seq_lengths_kv: Sequence[int] | Tensor | None = None,
    dequant_scale1: Tensor | None = None,
    quant_scale1: Tensor | None = None,
    dequant_scale2: Tensor | None = None,
    quant_scale2: Tensor | None = None,
    quant_offset2: Tensor | None = None,
    antiquant_scale: Tensor | None = None,
    antiquant_offset: Tensor | None = None,
    key_antiquant_scale: Tensor | None = None,
    key_antiquant_offset: Tensor | None = None,
    value_antiquant_scale: Tensor | None = None,
    value_antiquant_offset: Tensor | None = None,
    block_table: Tensor | None = None,
    query_padding_size: Tensor | None = None,
    kv_padding_size: Tensor | None = None,
    key_shared_prefix: Tensor | None = None,
    value_shared_prefix: Tensor | None = None,
    actual_shared_prefix_len: Sequence[int] | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    key_rope_antiquant_scale: Tensor | None = None,
    num_heads: int = 1,
    scale: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 2147483647,
    input_layout: str = "BSH",
    num_key_value_heads: int = 0,
    sparse_mode: int = 0,
    inner_precise: int = 0,
    block_size: int = 0,
    antiquant_mode: int = 0,
    key_antiquant_mode: int = 0,
    value_antiquant_mode: int = 0,
    softmax_lse_flag: bool = False,
    softcap: float = 0.0,
    scale_value: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention for inference at any Sq: decode when Sq = 1, prefill otherwise, one function either way.

    Arguments that :func:`npu_prompt_flash_attention` or :func:`npu_incre_flash_attention` has too mean the same here
    (there, the dequantisation scales of the prompt operator are spelled `deq_scale1`, `deq_scale2`).

    Args:
        query: float16, bfloat16, float32 or int8: BSH (B, Sq, N*D), BSND (B, Sq, N, D), BNSD (B, N, Sq, D),
            TND (T, N, D) or NTD (N, T, D).
        key, value: the same layout with Skv and Nkv, or the paged cache with `block_table`; that may be in NZ,
            (blocks, Nkv, D/16, block_size, 16) in float16 and bfloat16, (blocks, Nkv, D/32, block_size, 32) in int8.
        pse_shift: float type of `query`; (B or 1, N, Sq or 1, Skv), or the last 1024 rows of an ALiBi bias.
        atten_mask: bool, int8 or uint8, 1 = masked out. With Sq = 1 outside TND (B, Skv) or broadcastable, and it
            rules alone, whatever `sparse_mode` says.
        actual_seq_lengths, actual_seq_lengths_kv: tokens of each sequence that count, B values or one for all.
            TND and NTD need cumulative lengths (2, 3, 4 tokens: [2, 5, 9]), except `actual_seq_lengths_kv` with
            `block_table`, which is per sequence; lists that may be plain lengths as well raise. With Sq = 1 outside
            TND `actual_seq_lengths` only says zero or not. Numbers or tensors, see `npu_prompt_flash_attention`.
        antiquant_scale, antiquant_offset, antiquant_mode: key and value together, mode 0 per tensor or channel,
            1 per token.
        key_antiquant_scale, key_antiquant_offset, key_antiquant_mode, value_antiquant_scale, value_antiquant_offset,
            value_antiquant_mode: the same for each alone; mode 0 per channel or tensor, 1 per token (B, S), 2 per head
            (Nkv), 3 per token and head (B, Nkv, S), 4 per token paged (blocks, block_size), 5 per token and head paged
            (blocks, Nkv, block_size).
        block_table: int32 (B, blocks per sequence); needs `actual_seq_lengths_kv`.
        query_padding_size, kv_padding_size: int64, one element: unused tokens at the right end of left-padded
            queries or keys; read when the lengths are given.
        key_shared_prefix, value_shared_prefix: keys and values of batch size 1 that precede those of every sequence;
            `actual_shared_prefix_len` gives how many of their tokens count.
        query_rope, key_rope: the part of the head that carries the rotary position, added to the scores as
            `query_rope @ key_rope^T`; both or neither, layouts of `query` and `key`.
        key_rope_antiquant_scale: scale of a quantised `key_rope`.
        num_heads: N.
        scale: factor of the scores, usually 1 / sqrt(D).
        pre_tokens, next_tokens: width of the band before and after the diagonal, in tokens.
        input_layout: BSH, BSND, BNSD, TND, NTD, or input and output: BNSD_BSND, BSH_NBSD, BSND_NBSD, BNSD_NBSD,
            TND_NTD, NTD_TND.
        num_key_value_heads: Nkv, a divisor of N; 0 means N.
        sparse_mode: 0 and 1 mask or none, 2 causal from the upper left (ignored where Sq = 1 outside TND), 3 causal
            from the lower right, 4 band.
        inner_precise: 0 accuracy, 1 speed, 2 and 3 the same for rows without keys; all accumulate in float32 here.
        softmax_lse_flag: return the log-sum-exp of the scores too.
        softcap: c > 0 caps the scores: `c * tanh(x / c)` of the scaled scores x, before `pse_shift` and masks; not for
            int8 queries. 0.0 is off.
        scale_value: the spelling of older guides for `scale`.

    Returns:
        The output as in :func:`npu_prompt_flash_attention`, and the log-sum-exp: float32 (B, N, Sq, 1), packed
        (T, N, 1), +inf for rows without any key; shape (0,) without the flag.

    Raises:
        RuntimeError, ValueError: an illegal argument, or a block id outside the cache that would be read; the message
            names it and what was expected.

    Source: SPEC sections 2 to 7; torch_npu page `npu_fused_infer_attention_score`.
    """
    ...


@operator
def npu_fused_infer_attention_score_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    pse_shift: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: Sequence[int] | Tensor | None = None,
    actual_seq_kvlen: Sequence[int] | Tensor | None = None,
    block_table: Tensor | None = None,
    dequant_scale_query: Tensor | None = None,
    dequant_scale_key: Tensor | None = None,
    dequant_offset_key: Tensor | None = None,
    dequant_scale_value: Tensor | None = None,
    dequant_offset_value: Tensor | None = None,
    dequant_scale_key_rope: Tensor | None = None,
    quant_scale_out: Tensor | None = None,
    quant_offset_out: Tensor | None = None,
    quant_scale_p: Tensor | None = None,
    learnable_sink: Tensor | None = None,
    num_query_heads: int = 1,
    num_key_value_heads: int = 0,
    softmax_scale: float = 1.0,
    pre_tokens: int = 2147483647,
    next_tokens: int = 2147483647,
    input_layout: str = "BSH",
    sparse_mode: int = 0,
    block_size: int = 0,
    query_quant_mode: int = 0,
    key_quant_mode: int = 0,
    value_quant_mode: int = 0,
    inner_precise: int = 0,
    return_softmax_lse: bool = False,
    query_dtype: int | None = None,
    key_dtype: int | None = None,
    value_dtype: int | None = None,
    query_rope_dtype: int | None = None,
    key_rope_dtype: int | None = None,
    key_shared_prefix_dtype: int | None = None,
    value_shared_prefix_dtype: int | None = None,
    dequant_scale_query_dtype: int | None = None,
    dequant_scale_key_dtype: int | None = None,
    dequant_scale_value_dtype: int | None = None,
    dequant_scale_key_rope_dtype: int | None = None,
    out_dtype: int | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """:func:`npu_fused_infer_attention_score` with other spellings and a sink, without what only that operator has.

    Not here: scales of int8 products, scales of key and value in one tensor, left padding, shared prefixes. Arguments
    not listed mean the same there.

    Args:
        query: float16, bfloat16, float32, or int8 with `query_quant_mode` 3.
        actual_seq_qlen, actual_seq_kvlen: there `actual_seq_lengths` and `actual_seq_lengths_kv`.
        dequant_scale_key, dequant_offset_key, key_quant_mode, dequant_scale_value, dequant_offset_value,
            value_quant_mode: there `key_antiquant_scale` and so on.
        quant_scale_out, quant_offset_out: one element or N*D of them; the scale makes the output int8.
        learnable_sink: bfloat16, float16 or float32 (N,): one more score of each row that takes part in its maximum
            and its sum but has no value. `softmax_scale` does not apply to it. Without keys the row is 0 all the same.
        num_query_heads: N.
        softmax_scale: factor of the scores, usually 1 / sqrt(D).
        return_softmax_lse: return the log-sum-exp of the scores, sink included.
        query_quant_mode, dequant_scale_query: 3 and the float32 scale of each token and head of an int8 query, shaped
            as `query` without D ((B, Sq, N) for BSH). `key` and `value` are int8 then, `dequant_scale_key` and
            `dequant_scale_value` float32 of one element each, modes 0, without offsets and `quant_scale_out`. Ropes
            stay float16 or bfloat16 and are scaled with the rest: scores are `(query @ key^T + query_rope @ key_rope^T)
            * dequant_scale_query * dequant_scale_key * softmax_scale`, for which `query_rope` comes divided by both
            scales, as `npu_mla_prolog_v2` returns it.
        quant_scale_p, dequant_scale_key_rope: reserved, None.
        query_dtype, key_dtype, value_dtype, query_rope_dtype, key_rope_dtype, key_shared_prefix_dtype,
            value_shared_prefix_dtype, dequant_scale_query_dtype, dequant_scale_key_dtype, dequant_scale_value_dtype,
            dequant_scale_key_rope_dtype, out_dtype: None, or the dtype that the tensor has anyway: bits are not read as
            another type.

    Returns:
        The output in the dtype of `query`, int8 with `quant_scale_out`, of an int8 query that of `query_rope` or
        float16, and the log-sum-exp: float32 (B, N, Sq, 1), packed (T, N, 1), empty unless `return_softmax_lse`.

    Raises:
        RuntimeError, ValueError: an illegal or unsupported argument, or a block id outside the cache that would be
            read; the message names it and what was expected.

    Source: SPEC sections 2 to 7; torch_npu page `npu_fused_infer_attention_score_v2`.
    """
    ...
