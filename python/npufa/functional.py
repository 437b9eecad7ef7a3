"""Attention in less memory: recomputed in the gradient, by chunks of query rows, or over quantised keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from .integrations._operators import attention
from .integrations._rules import FULL, UNBOUNDED, Band, Rules
from .long_context._arguments import as_under_autocast, check, default_scale, to_bnsd
from .long_context._blocks import Visibility
from .ops import npu_fused_infer_attention_score
from .quantization import QuantConfig, QuantizedKV, quantize_kv

__all__ = ["memory_efficient_attention"]

_NAME = "memory_efficient_attention"
_MASK_DTYPES = (torch.bool, torch.uint8)


def memory_efficient_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    input_layout: str = "BNSD",
    scale: float | None = None,
    atten_mask: Tensor | None = None,
    keep_prob: float = 1.0,
    sparse_mode: int = 0,
    pre_tokens: int = UNBOUNDED,
    next_tokens: int = UNBOUNDED,
    checkpoint: bool = False,
    chunk_size: int | None = None,
    quantize: str | QuantConfig | None = None,
) -> Tensor:
    """Attention as one operator call gives it, with a choice of what to spend instead of memory.

    Without `quantize` result and gradient are exact: those of the plain call up to rounding. Works under
    `torch.compile` and `torch.autocast`.

    Args:
        query: float16, bfloat16 or float32, BNSD (B, N, Sq, D) or BSND (B, Sq, N, D).
        key, value: dtype of `query`, the same layout with Skv and Nkv, a divisor of N; value may have Dv <= D.
        scale: factor of the scores, by default 1 / sqrt(D).
        atten_mask: bool or uint8 (Sq, Skv) or (B or 1, N or 1, Sq or 1, Skv), 1 is masked out; with `sparse_mode` 0.
        keep_prob: probability in (0, 1] of keeping an element; kept ones are divided by it.
        sparse_mode: 0 none or by `atten_mask`, 2 causal from the upper left, 3 causal from the lower right, 4 band.
        pre_tokens, next_tokens: keys seen before and after the diagonal, which is from the lower right for
            `sparse_mode` 4 and from the upper left for 0, where it counts only together with `atten_mask`.
        checkpoint: keep only the inputs for the gradient and compute attention again there, with the same dropout.
        chunk_size: query rows of one operator call. Calls get the keys that their rows see and no others, so that
            workspace, copies and masks are those of a chunk. Dropout draws other elements than without chunks.
        quantize: "int8", "int4", "float8_e4m3fn" or "float8_e5m2", a scale for each token and head, or a
            :class:`npufa.quantization.QuantConfig`: keys and values are stored so. Inference only; not exact.

    Returns:
        Layout and dtype of `query`, with Dv; rows without any key are 0.

    Raises:
        TypeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: usage guide section 4.4; SPEC sections 2, 4 and 8.
    """
    check(_NAME, query, key, value, input_layout)
    if input_layout == "TND":
        raise ValueError(f"npufa.{_NAME}: input_layout is not supported, got 'TND'; expected BNSD or BSND (packed "
                         "sequences: npufa.long_context.long_context_attention)")
    if not 0.0 < keep_prob <= 1.0:
        raise ValueError(f"npufa.{_NAME}: keep_prob is no probability above 0, got {keep_prob}; expected 0 < keep_prob "
                         "<= 1")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"npufa.{_NAME}: chunk_size is too small, got {chunk_size}; expected at least 1")
    config = _config(quantize, keep_prob, (query, key, value))
    scale = default_scale(query, scale)
    query, key, value = (to_bnsd(t, input_layout) for t in as_under_autocast(query, key, value))
    mask = _mask(atten_mask, query, key, sparse_mode)
    band = Visibility.from_arguments(_NAME, query.shape[2], key.shape[2], sparse_mode, pre_tokens, next_tokens, 0).band
    if mask is not None:
        band = Band(None if pre_tokens >= UNBOUNDED else -pre_tokens, None if next_tokens >= UNBOUNDED else next_tokens)
    cache = None if config is None else quantize_kv(key, value, config)
    outputs = []
    for rows, keys, chunk_band in _chunks(query.shape[2], key.shape[2], band, chunk_size):
        q = query[:, :, rows.start:rows.stop]
        part = None if mask is None else _part_of_mask(mask, rows, keys)
        if cache is not None:
            tokens = cache.tokens(keys.start, keys.stop)
            outputs.append(_quantised(q, tokens, part, chunk_band, scale, value.shape[-1]))
            continue
        k, v = (t[:, :, keys.start:keys.stop] for t in (key, value))
        arguments = (q, k, v, part, chunk_band, scale, 1.0 - keep_prob)
        if checkpoint and torch.is_grad_enabled():
            outputs.append(recomputed(_exact, *arguments, use_reentrant=False, preserve_rng_state=keep_prob < 1.0))
        else:
            outputs.append(_exact(*arguments))
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
    return output if input_layout == "BSND" else output.transpose(1, 2).contiguous()


def _config(quantize: str | QuantConfig | None, keep_prob: float, inputs: tuple[Tensor, ...]) -> QuantConfig | None:
    if quantize is None:
        return None
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        raise ValueError(f"npufa.{_NAME}: quantize is for inference, got {quantize!r} with inputs that require a "
                         "gradient; expected None, or torch.no_grad()")
    if keep_prob < 1.0:
        raise ValueError(f"npufa.{_NAME}: quantize is for inference, got {quantize!r} with keep_prob {keep_prob}; "
                         "expected keep_prob 1")
    return QuantConfig(quantize, "token_head") if isinstance(quantize, str) else quantize


def _mask(atten_mask: Tensor | None, query: Tensor, key: Tensor, sparse_mode: int) -> Tensor | None:
    """Returns the mask as bool (B or 1, N or 1, Sq or 1, Skv)."""
    if atten_mask is None:
        return None
    if sparse_mode != 0:
        raise ValueError(f"npufa.{_NAME}: atten_mask does not go with sparse_mode {sparse_mode}, whose rule needs "
                         "none; expected sparse_mode 0")
    if atten_mask.dtype not in _MASK_DTYPES:
        raise TypeError(f"npufa.{_NAME}: atten_mask has an unsupported dtype, got {atten_mask.dtype}; expected one of "
                        f"{_MASK_DTYPES}")
    batch, heads, rows, _ = query.shape
    mask = atten_mask[None, None] if atten_mask.dim() == 2 else atten_mask
    allowed = ((1, batch), (1, heads), (1, rows), (key.shape[2],))
    if mask.dim() != 4 or any(size not in sizes for size, sizes in zip(mask.shape, allowed)):
        raise ValueError(f"npufa.{_NAME}: atten_mask has a shape that does not fit, got {[*atten_mask.shape]}; "
                         f"expected [{rows}, {key.shape[2]}] or "
                         f"[{batch} or 1, {heads} or 1, {rows} or 1, {key.shape[2]}]")
    return mask.to(torch.bool)


class _Chunk(NamedTuple):
    """Query rows, the keys that they may see, and the band counted from the first of both."""

    rows: range
    keys: range
    band: Band


def _chunks(rows: int, keys: int, band: Band, chunk_size: int | None) -> Iterator[_Chunk]:
    if chunk_size is None or chunk_size >= rows:
        yield _Chunk(range(rows), range(keys), band)
        return
    for start in range(0, rows, chunk_size):
        part = range(start, min(start + chunk_size, rows))
        seen, relative = next(Visibility(band).blocks(part, range(keys)), (range(0), FULL))
        yield _Chunk(part, seen, relative)


def _part_of_mask(mask: Tensor, rows: range, keys: range) -> Tensor:
    mask = mask[..., keys.start:keys.stop]
    return mask if mask.shape[2] == 1 else mask[:, :, rows.start:rows.stop]


def _outside(band: Band, rows: int, keys: int, device: torch.device) -> Tensor:
    """Returns bool (rows, keys), True where the band hides a key."""
    distance = torch.arange(keys, device=device) - torch.arange(rows, device=device)[:, None]
    outside = torch.zeros_like(distance, dtype=torch.bool)
    if band.lower is not None:
        outside = outside | (distance < band.lower)
    if band.upper is not None:
        outside = outside | (distance > band.upper)
    return outside


def with_band(mask: Tensor | None, band: Band, query: Tensor, keys: int) -> tuple[Tensor | None, Band]:
    """The operators take a mask or a band."""
    if mask is None or band == FULL:
        return mask, band
    return mask | _outside(band, query.shape[2], keys, query.device), FULL


def _exact(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, band: Band, scale: float, dropout: float
) -> Tensor:
    mask, band = with_band(mask, band, query, key.shape[2])
    keep = None if mask is None else ~mask
    return attention(query, key, value, Rules(band), scale=scale, keep=keep, dropout=dropout)


def _quantised(
    query: Tensor, cache: QuantizedKV, mask: Tensor | None, band: Band, scale: float, value_head_dim: int
) -> Tensor:
    batch, heads, rows, _ = query.shape
    keys = cache.key.shape[2]
    if rows == 1 and band != FULL:  # the operator has no band for a single row
        begin, end = band.keys_of_first_row(keys)
        cache, band, keys = cache.tokens(begin, end), FULL, end - begin
        mask = None if mask is None else mask[..., begin:end]
    if keys == 0:
        return query.new_zeros(batch, rows, heads, value_head_dim)
    mask, band = with_band(mask, band, query, keys)
    mode, before, after = band.sparse_mode(keys - rows)
    atten_mask = None if mask is None else mask.expand(batch, -1, rows, -1)
    return npu_fused_infer_attention_score(
        query, **cache.arguments(), num_heads=heads, input_layout="BNSD_BSND", scale=scale, atten_mask=atten_mask,
        sparse_mode=mode, pre_tokens=before, next_tokens=after)[0]
