"""atb's attention: packed query tokens, a given output, plain lengths.

Each is a form of npu_fused_infer_attention_score. Letters: T tokens of the query, B sequences, N query heads
(`num_heads`), Nkv key/value heads (`num_kv_heads`, 0 for N), D head size, Dv that of value.

Common to all: `query` is (T, N, D) float16, bfloat16 or float32, or (T, N*D); the other tensors have its type.
`out` is (T, N, Dv) or (T, N*Dv), contiguous, and is written. A paged cache is (num_blocks, block_size, Nkv, D), or
(num_blocks, block_size, Nkv*D); token t of sequence b is in block `block_table[b, t // block_size]`, int32. Lengths are
plain, one for each sequence, int32 or int64 tensors on the CPU, where the host reads them, or on an NPU, where the
kernel does: a captured graph follows new values there; those on the CPU change in task groups. Nothing waits for the
device.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._operator import operator

__all__ = [
    "_npu_flash_attention",
    "_npu_flash_attention_prefix_v2",
    "_npu_flash_attention_qlens",
    "_npu_flash_attention_unpad",
    "_npu_flash_attention_unpad_v2",
    "_npu_flash_attention_v2",
    "_npu_flash_attention_v3",
    "_npu_paged_attention",
    "_npu_paged_attention_get_workspace",
    "_npu_paged_attention_mla",
    "_npu_paged_attention_splitfuse",
    "_npu_paged_attention_splitfuse_v2",
    "_npu_paged_attention_v2",
    "_npu_paged_attention_v2_get_workspace",
]


@operator
def _npu_paged_attention(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    block_table: Tensor,
    context_lens: Tensor,
    out: Tensor,
    *,
    workspace: Tensor | None = None,
) -> None:
    """Decode: each query token is a sequence of its own and sees all tokens of its cache.

    Args:
        query, key_cache, value_cache, block_table, out: see the module; B = T.
        num_kv_heads: Nkv, a divisor of `num_heads`, or 0 for as many.
        num_heads: N.
        scale_value: factor of the products of query and key.
        context_lens: (T,) tokens in the cache of each; 0: output 0.
        workspace: memory of `_npu_paged_attention_get_workspace`, for a captured graph; default: torch's allocator.

    Raises:
        RuntimeError: an illegal argument; the message names it. Nothing has been written then.

    Source: SPEC section 9b; op-plugin's test_atb_paged_attention.py.
    """
    ...


@operator
def _npu_paged_attention_get_workspace(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    block_table: Tensor,
    context_lens: Tensor,
    out: Tensor,
) -> Tensor:
    """Returns memory that the same call of `_npu_paged_attention` needs, uint8; enough for other lengths, too.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b.
    """
    ...


@operator
def _npu_paged_attention_v2(
    query: Tensor,
    key_cache: Tensor,
    block_table: Tensor,
    context_lens: Sequence[int],
    *,
    value_cache: Tensor | None = None,
    mask: Tensor | None = None,
    num_kv_heads: int = 0,
    num_heads: int = 0,
    scale_value: float = 1.0,
    mask_type: int = 0,
    workspace: Tensor | None = None,
    out: Tensor,
) -> Tensor:
    """`_npu_paged_attention` with lengths as numbers and, with `mask_type` 2, a bias (ALiBi).

    Args:
        query, key_cache, value_cache, block_table, num_kv_heads, num_heads, scale_value, workspace, out: as there.
        context_lens: T numbers.
        mask: added to the scores, in the query's type: (T, N, 1, S) or (N, 1, S), N may be 1, S at least the longest
            context.
        mask_type: 0 none, 2 `mask`.

    Returns:
        `out`.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; the operator's page in op-plugin.
    """
    ...


@operator
def _npu_paged_attention_v2_get_workspace(
    query: Tensor,
    key_cache: Tensor,
    block_table: Tensor,
    context_lens: Sequence[int],
    *,
    value_cache: Tensor | None = None,
    mask: Tensor | None = None,
    num_kv_heads: int = 0,
    num_heads: int = 0,
    scale_value: float = 1.0,
    mask_type: int = 0,
    out: Tensor,
) -> Tensor:
    """Returns memory that the same call of `_npu_paged_attention_v2` needs, uint8; enough for other lengths, too.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b.
    """
    ...


@operator
def _npu_paged_attention_mla(
    query: Tensor,
    key_cache: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    block_table: Tensor,
    context_lens: Tensor,
    mla_vheadsize: int,
    out: Tensor,
) -> None:
    """Decode of latent attention: one cache, whose rows are the keys and whose leading channels are the values.

    Args:
        query, key_cache, block_table, context_lens, scale_value: as `_npu_paged_attention`; D up to 576.
        num_kv_heads: Nkv, commonly 1.
        num_heads: N.
        mla_vheadsize: Dv, at most 512 for DeepSeek's 576, at most D.
        out: (T, N, Dv).

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; op-plugin's test_atb_paged_attention_mla.py.
    """
    ...


@operator
def _npu_paged_attention_splitfuse(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_table: Tensor,
    context_lens: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    out: Tensor,
) -> None:
    """Prefill in chunks beside decode: some query tokens of each sequence over its cache, with a bias per token.

    Args:
        query, key_cache, value_cache, block_table, num_kv_heads, num_heads, scale_value, out: see the module and
            `_npu_paged_attention`.
        context_lens: (B,) tokens in the cache of each sequence, those of the query among them.
        mask: (T, S) in the query's type, added to the scores of each query token; S at least the longest context.
        seq_len: (B,) query tokens of each sequence; tokens behind the last sequence are padding, their output is 0.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; op-plugin's test_atb_paged_attention_splitfuse.py.
    """
    ...


@operator
def _npu_paged_attention_splitfuse_v2(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_table: Tensor,
    context_lens: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    *,
    mask_type: int | None = 5,
    out: Tensor,
) -> None:
    """`_npu_paged_attention_splitfuse` of causal sequences: each token sees those up to its own place.

    Args:
        query, key_cache, value_cache, block_table, context_lens, seq_len, num_kv_heads, num_heads, scale_value, out: as
            there.
        mask: a lower triangle in short, a square of any size, whose values are not read.
        mask_type: 5.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b.
    """
    ...


@operator
def _npu_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    scale_value: float,
    num_heads: int,
    num_kv_heads: int,
    out: Tensor,
) -> None:
    """Prefill of packed sequences with a bias.

    Args:
        query, num_kv_heads, num_heads, scale_value, out: see the module and `_npu_paged_attention`.
        key, value: (T, Nkv, D) and (T, Nkv, Dv).
        mask: in the query's type, added to the scores: (S, S) for all sequences, (B, S, S), or
            (B or 1, N or 1, S, S); S at least the longest sequence.
        seq_len: (B,) tokens of each sequence; tokens behind the last one are padding, their output is 0.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; op-plugin's test_atb_flash_attention.py.
    """
    ...


@operator
def _npu_flash_attention_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seq_len: Sequence[int],
    *,
    mask: Tensor | None = None,
    slopes: Tensor | None = None,
    kernel_type: int = 0,
    mask_type: int = 2,
    scale_value: float = 1.0,
    num_heads: int = 0,
    num_kv_heads: int = 0,
    out: Tensor,
) -> Tensor:
    """`_npu_flash_attention` with lengths as numbers and a choice of masks.

    Args:
        query, key, value, num_heads, num_kv_heads, scale_value, out: as there.
        seq_len: B numbers.
        mask: as there for `mask_type` 1 and 2; a lower triangle in short, whose values are not read, for 3; the
            compressed bias (256, 256) for 4 to 6, of which the step `mask[1, 1] - mask[1, 0]` is read: its unit.
        slopes: (N,) floats for `mask_type` 4 to 6, else None.
        kernel_type: 0 to 2, without effect on results.
        mask_type: 0 none, 1 and 2 `mask` is added, 3 causal, 4 and 6 causal with ALiBi: slope times that step times
            the distance to the row's last key is added, 5 the same with the root of the distance. (6 is atb's bias
            that counts from the first key: after the softmax the same.)

    Returns:
        `out`.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; the operator's page in op-plugin.
    """
    ...


@operator
def _npu_flash_attention_v3(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    scale_value: float,
    num_heads: int,
    num_kv_heads: int,
    *,
    mask_type: int | None = 3,
    out: Tensor,
) -> None:
    """`_npu_flash_attention` of causal sequences.

    Args:
        query, key, value, seq_len, scale_value, num_heads, num_kv_heads, out: as there.
        mask: a lower triangle in short, a square of any size, whose values are not read.
        mask_type: 3.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b.
    """
    ...


@operator
def _npu_flash_attention_unpad(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seq_len: Tensor,
    scale_value: float,
    num_heads: int,
    num_kv_heads: int,
    out: Tensor,
) -> None:
    """`_npu_flash_attention` without a mask: every token of a sequence sees all of it (vision encoders).

    Args:
        query, key, value, seq_len, scale_value, num_heads, num_kv_heads, out: as there.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; op-plugin's test_atb_flash_attention_unpad.py.
    """
    ...


@operator
def _npu_flash_attention_unpad_v2(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seq_len: Tensor,
    scale_value: float,
    num_heads: int,
    num_kv_heads: int,
    *,
    kernel_type: int | None = 0,
    out: Tensor,
) -> None:
    """`_npu_flash_attention_unpad`; `kernel_type`, 0 to 2, is without effect on results.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b.
    """
    ...


@operator
def _npu_flash_attention_qlens(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_table: Tensor,
    mask: Tensor,
    seq_len: Tensor,
    context_lens: Tensor,
    num_kv_heads: int,
    num_heads: int,
    scale_value: float,
    out: Tensor,
) -> None:
    """Causal prefill behind a cached prefix: `_npu_paged_attention_splitfuse_v2` with its arguments in another order.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; op-plugin's test_atb_flash_attention_qlens.py.
    """
    ...


@operator
def _npu_flash_attention_prefix_v2(
    query: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    block_table: Tensor,
    mask: Tensor,
    seq_len: Sequence[int],
    context_lens: Sequence[int],
    *,
    slopes: Tensor | None = None,
    kernel_type: int = 1,
    mask_type: int = 3,
    num_kv_heads: int = 0,
    num_heads: int = 0,
    scale_value: float = 1.0,
    out: Tensor,
) -> Tensor:
    """`_npu_flash_attention_qlens` with lengths as numbers.

    Args:
        query, key_cache, value_cache, block_table, num_kv_heads, num_heads, scale_value, out: as there.
        mask, slopes: as for `_npu_flash_attention_v2`.
        seq_len, context_lens: B numbers each.
        kernel_type: 0 to 2, without effect on results.
        mask_type: 3 causal, 4 with ALiBi, 5 with that of the root of the distance.

    Returns:
        `out`.

    Raises:
        RuntimeError: an illegal argument; the message names it.

    Source: SPEC section 9b; the operator's page in op-plugin.
    """
    ...
