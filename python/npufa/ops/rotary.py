"""Rotary position embedding, and the rows of MLA's latent cache."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from torch import Tensor

from ._operator import operator

__all__ = [
    "npu_apply_rotary_pos_emb",
    "npu_interleave_rope",
    "npu_kv_rmsnorm_rope_cache",
    "npu_kv_rmsnorm_rope_cache_v2",
    "npu_kv_rmsnorm_rope_cache_v2_functional",
    "npu_rotary_mul",
    "npu_rotary_mul_backward",
]


@operator
def npu_rotary_mul(
    input: Tensor, r1: Tensor, r2: Tensor, rotary_mode: str = "half", rotate: Tensor | None = None
) -> Tensor:
    """Rotary position embedding: `input * r1 + rotate(input) * r2`.

    rotate is (-x2, x1) of the halves x1, x2 of the last axis ("half"), or of neighbours ("interleave"). Arithmetic is
    float32. Differentiable in input, r1 and r2.

    Args:
        input: 3 or 4 axes, the last D even and at most 1024; float16, bfloat16 or float32. Any strides.
        r1: cosines: every axis has the extent of input, or 1 (not the last); float16, bfloat16 or float32.
        r2: sines in the shape of r1.
        rotary_mode: "half" or "interleave".
        rotate: (D, D) of floats: `input @ rotate` turns instead of rotary_mode. Products of matrices are torch's own.

    Returns:
        Shape and dtype of input.

    Raises:
        RuntimeError, ValueError: an illegal argument, which the message names.

    Source: SPEC section 9b; torch_npu page `npu_rotary_mul`; Su et al., RoFormer, arXiv 2104.09864.
    """
    ...


@operator
def npu_rotary_mul_backward(
    grad: Tensor, input: Tensor, r1: Tensor, r2: Tensor, rotary_mode: str = "half"
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of :func:`npu_rotary_mul`.

    Args:
        grad: of its result, in shape and dtype of input.
        input, r1, r2, rotary_mode: as there.

    Returns:
        Derivatives by input, r1 and r2, in their shapes and dtypes; summed over axes where r1 has 1.

    Raises:
        RuntimeError, ValueError: an illegal argument, which the message names.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...


@operator
def npu_interleave_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of pairs of neighbours, which leave as the two halves of the last axis.

    With q = (x[..., ::2], x[..., 1::2]): q * cos + rotate_half(q) * sin. No derivative.

    Args:
        x: (B, N, S, D), D even and at most 1024; float16, bfloat16 or float32.
        cos, sin: (B, 1, S, D); every axis but the last has the extent of x, or 1.

    Returns:
        Shape and dtype of x.

    Raises:
        RuntimeError, ValueError: an illegal argument, which the message names.

    Source: SPEC section 9b; torch_npu page `npu_interleave_rope`.
    """
    ...


@operator
def npu_apply_rotary_pos_emb(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, layout: str = "BSND", rotary_mode: str = "half"
) -> tuple[Tensor, Tensor]:
    """:func:`npu_rotary_mul` of query and key by the same angles.

    torch_npu writes the results into query and key as well; here these stay as they are. Differentiable.

    Args:
        query, key: BSND (B, S, N, D), SBND, BNSD, or TND (T, N, D); N may differ. float16, bfloat16 or float32.
        cos, sin: the same axes, each with the extent of query or 1.
        layout: "BSND", "SBND", "BNSD" or "TND".
        rotary_mode: "half" or "interleave".

    Returns:
        query and key, rotated.

    Raises:
        RuntimeError, ValueError: an illegal argument, which the message names.

    Source: SPEC section 9b; torch_npu page `npu_apply_rotary_pos_emb`.
    """
    ...


@operator
def npu_kv_rmsnorm_rope_cache(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalises one part of MLA's latent rows, rotates the other, and writes both into caches, in place.

    The first columns of kv, as many as gamma has, become `x / sqrt(mean(x**2) + epsilon) * gamma` and go to ckv_cache;
    the others are rotated as by :func:`npu_interleave_rope` and go to k_cache. With `v` kv is keys alone: (B, 1, S, K),
    normalised as a whole, then its first D columns rotated, to k_cache; v goes to ckv_cache as it is. Arithmetic is
    float32.

    Args:
        kv: (B, 1, S, R + D), float16, bfloat16 or float32; D even. On an NPU R is at most 1024 and D at most 256; with
            v K is at most 256.
        gamma: (R,), with v (K,), in the dtype of kv.
        cos, sin: (B, 1, S, D) in the dtype of kv.
        index: int64. "Norm": (B, S), the row within the sequence's cache. "PA", "PA_BNSD", "PA_NZ": (B * S,), the slot
            of each token. "PA_BLK_BNSD", "PA_BLK_NZ": (B * ceil(S / block_size),), the first slot of each block.
            Negative entries are skipped.
        k_cache: "Norm": (B, 1, L, D); else (blocks, block_size, 1, D), in the modes with NZ stored as (blocks, D /
            last, block_size, last) with last = 16 (32 for int8). In the type of kv, or int8 with k_rope_scale; written.
            With v K columns.
        ckv_cache: the same with R columns and c_kv_scale; with v as many as v has; written.
        k_rope_scale, c_kv_scale: float32, one for each column: the int8 cache holds round(value * scale).
        k_rope_offset, c_kv_offset: the same, only beside a scale: round(value * scale + offset).
        v: (B, 1, S, columns) in the dtype of kv, at most 1024 columns on an NPU, or None.
        epsilon: of the normalisation.
        cache_mode: see index.
        is_output_kv: whether the rows are returned, too.

    Returns:
        k_cache, ckv_cache themselves; with is_output_kv the rows (B, 1, S, columns) of each, not quantised, in the
        dtype of kv, else tensors without elements.

    Raises:
        RuntimeError, ValueError: an illegal argument, or (CPU) an index beyond the cache; the message names the
            argument. Nothing has been written then. On an NPU an index beyond the cache ends the kernel with an error.

    Source: SPEC section 9b; torch_npu page `npu_kv_rmsnorm_rope_cache`; for v and offsets the page of CANN's
    aclnnKvRmsNormRopeCacheV2.
    """
    ...


@operator
def npu_kv_rmsnorm_rope_cache_v2(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
    k_cache_dtype: int | None = None,
    ckv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`npu_kv_rmsnorm_rope_cache` without the caches among its results.

    Args:
        kv, gamma, cos, sin, index, k_cache, ckv_cache, k_rope_scale, c_kv_scale, k_rope_offset, c_kv_offset, v,
            epsilon, cache_mode, is_output_kv: as there.
        k_cache_dtype, ckv_cache_dtype: None.

    Returns:
        The rotated and the normalised rows, or tensors without elements.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...


@operator
def npu_kv_rmsnorm_rope_cache_v2_functional(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
    k_cache_dtype: int | None = None,
    ckv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`npu_kv_rmsnorm_rope_cache` into copies of the caches.

    Args:
        kv, gamma, cos, sin, index, k_cache, ckv_cache, k_rope_scale, c_kv_scale, k_rope_offset, c_kv_offset, v,
            epsilon, cache_mode, is_output_kv: as there; nothing is written.
        k_cache_dtype, ckv_cache_dtype: None.

    Returns:
        The new k_cache and ckv_cache, and the rotated and normalised rows, or tensors without elements.

    Raises:
        RuntimeError, ValueError: as there.

    Source: SPEC section 9b; torch_npu's schema.
    """
    ...
