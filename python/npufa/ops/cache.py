"""Tokens into paged key/value caches."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from torch import Tensor

from ._operator import operator

__all__ = [
    "_npu_reshape_and_cache",
    "_npu_reshape_and_cache_siso",
    "npu_gather_pa_kv_cache",
    "npu_gather_pa_kv_cache_functional",
    "npu_scatter_pa_cache",
    "npu_scatter_pa_kv_cache",
    "npu_scatter_pa_kv_cache_functional",
]


@operator
def npu_scatter_pa_kv_cache(
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    slot_mapping: Tensor,
    *,
    compress_lens: Tensor | None = None,
    compress_seq_offsets: Tensor | None = None,
    seq_lens: Tensor | None = None,
    cache_mode: str | None = "PA_NZ",
) -> None:
    """Writes keys and values of tokens into their slots of a paged cache, in place.

    Token t goes to slot s = `slot_mapping[t]`: block `s // block_size`, row `s % block_size`. A negative slot is
    skipped. Elements are copied as they are. Of several tokens with one slot one wins (on the CPU the last).

    Compressed caches hold tokens of each head by themselves: keys (B, S, N, D) go to caches (blocks, block_size, 1, D),
    head n of sequence b to consecutive slots from `slot_mapping[b, n]` on. With L = `compress_lens[b, n]` the last L of
    its `seq_lens[b]` tokens are stored; with offset o = `compress_seq_offsets[b * N + n]` all tokens are, but for [o, o
    + L) their mean alone. An offset of -1 or a length of 0 then compresses nothing.

    Args:
        key: (T, N, D) of 1, 2 or 4 bytes per element: float16, bfloat16, float32, float8_e4m3fn, float8_e5m2, (u)int8,
            (u)int16, (u)int32. Any strides.
        value: (T, N, Dv); D and Dv may differ, and N and dtype as well.
        key_cache: of the dtype of key; written. "Norm": (blocks, block_size, N, D). "PA_NZ": (blocks, N*D/last,
            block_size, last) or (blocks, N, D/last, block_size, last), last = 16 (32 for types of one byte; 8 or 16 for
            types of four).
        value_cache: the same for value, with the blocks and block_size of key_cache; written. Caches whose blocks are
            dense but lie apart, such as those of both in one tensor, are written where they are; others with strides
            are copied and copied back.
        slot_mapping: (T,) int32 or int64, on the device of the cache; compressed (B, N).
        compress_lens: (B, N) or (B * N,), int32 or int64, beside keys of four dimensions, else None.
        compress_seq_offsets: (B * N,) or (B, N), or None; keys and values are floats of at least 16 bits then.
        seq_lens: (B,) tokens of each sequence.
        cache_mode: "Norm", "PA_NZ", or None: the form that the shape of the cache has, "Norm" if both.

    Raises:
        RuntimeError, ValueError: an illegal argument, or (CPU) a slot beyond the cache; the message names the argument.
            Nothing has been written then. On an NPU a slot beyond the cache ends the kernel with an error.

    Source: SPEC section 9b; torch_npu page `npu_scatter_pa_kv_cache`; for compressed caches also the formula of CANN's
    aclnnScatterPaCache.
    """
    ...


@operator
def npu_scatter_pa_kv_cache_functional(
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    slot_mapping: Tensor,
    *,
    compress_lens: Tensor | None = None,
    compress_seq_offsets: Tensor | None = None,
    seq_lens: Tensor | None = None,
    cache_mode: str | None = "PA_NZ",
) -> tuple[Tensor, Tensor]:
    """:func:`npu_scatter_pa_kv_cache` into copies of the caches.

    Args:
        key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens, cache_mode: as
            there; nothing is written.

    Returns:
        key_cache and value_cache with the tokens in their slots.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...


@operator
def npu_scatter_pa_cache(
    key: Tensor,
    slot_mapping: Tensor,
    *,
    compress_lens: Tensor | None = None,
    compress_seq_offsets: Tensor | None = None,
    seq_lens: Tensor | None = None,
    key_cache: Tensor,
) -> Tensor:
    """:func:`npu_scatter_pa_kv_cache` for a cache of keys alone, for example the latent one of MLA.

    Args:
        key, slot_mapping, key_cache, compress_lens, compress_seq_offsets, seq_lens: as there; the form of the cache
            follows from its shape, Norm if both fit.

    Returns:
        key_cache itself.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...


@operator
def _npu_reshape_and_cache(
    key: Tensor, value: Tensor, key_cache: Tensor, value_cache: Tensor, slot_indices: Tensor
) -> None:
    """:func:`npu_scatter_pa_kv_cache` under the name of atb; the forms of the caches follow from their shapes.

    Args:
        key, value, key_cache, value_cache: as there; each cache may have a form of its own.
        slot_indices: slot_mapping.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema of the ATB operator.
    """
    ...


@operator
def _npu_reshape_and_cache_siso(key: Tensor, key_cache: Tensor, slot_indices: Tensor) -> None:
    """:func:`npu_scatter_pa_cache` under the name of atb.

    Args:
        key, key_cache: as there.
        slot_indices: slot_mapping.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema of the ATB operator.
    """
    ...


@operator
def npu_gather_pa_kv_cache(
    key_cache: Tensor,
    value_cache: Tensor,
    block_tables: Tensor,
    seq_lens: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    seq_offset: Tensor | None = None,
    is_seq_lens_cumsum: bool = False,
) -> None:
    """Reads the tokens of sequences from a paged cache and packs them into `key` and `value`, in place.

    Token j of sequence i is token p = `seq_offset[i]` + j of the sequence's blocks: row `p % block_size` of block
    `block_tables[i, p // block_size]`. Where the table has no such block, or one outside the cache, the row is 0. Rows
    of key and value behind the last sequence are left alone. Elements are copied as they are.

    Args:
        key_cache, value_cache: "Norm" or "PA_NZ" as for :func:`npu_scatter_pa_kv_cache`; the shape tells which, Norm if
            both fit.
        block_tables: (B, blocks per sequence) int32 or int64.
        seq_lens: (B,) int32 or int64, tokens to read of each sequence; with is_seq_lens_cumsum (B + 1,): 0 and the end
            of each sequence.
        key: (T, N, D), T at least the sum of the lengths; written.
        value: (T, N, Dv) of the dtype of key; written.
        seq_offset: (B,) int32 or int64, first token of each sequence; None: 0.
        is_seq_lens_cumsum: whether seq_lens is cumulative.

    Raises:
        RuntimeError, ValueError: an illegal argument, or (CPU) negative numbers, or more tokens than rows; the message
            names the argument. Nothing has been written then. On an NPU a negative number counts as 0, and tokens
            beyond the last row are dropped.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...


@operator
def npu_gather_pa_kv_cache_functional(
    key_cache: Tensor,
    value_cache: Tensor,
    block_tables: Tensor,
    seq_lens: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    seq_offset: Tensor | None = None,
    is_seq_lens_cumsum: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`npu_gather_pa_kv_cache` into copies of `key` and `value`.

    Args:
        key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset, is_seq_lens_cumsum: as there; nothing is
            written.

    Returns:
        key and value with the tokens read.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...
