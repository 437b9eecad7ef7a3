"""The functions of flash_attn 2 (`flash_attn`, `flash_attn_npu`), with its signatures.

Common to all of them:

- q is (B, Sq, N, D), packed (T, N, D); k and v have Nkv heads, a divisor of N, and v may have another head size. All
  are float16, bfloat16 or float32, on the CPU or an NPU.
- `causal` and `window_size` align the last query row to the last key: row i sees the keys from `i + Sk - Sq - left` to
  `i + Sk - Sq + right`; a negative side is no limit, nor is a right side of Sk and more. Rows without keys are 0.
- `softmax_scale` is 1 / sqrt(D) by default. `dropout_p` drops probabilities, drawn from torch's generator.
- `alibi_slopes`, float32 (N,) or (B, N), adds `-slope * |i + Sk - Sq - j|` to the scores.
- `return_attn_probs` returns (out, softmax_lse, empty tensor): softmax_lse float32 (B, N, Sq), packed (N, T), +inf for
  rows without keys. With dropout it raises: no operator returns probabilities.
- `learnable_sink` (N,), which flash_attn 4 has, is one more logit per head, without a value.
- `softcap` c above 0 caps the scaled scores s, `c * tanh(s / c)`, before ALiBi and masks.
- `deterministic` changes nothing: results are the same from run to run.

Illegal arguments raise a ValueError or TypeError that names them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _check
from ._attention import dense, packed
from ._cache import Cache, NewTokens, attend_cache
from ._inputs import Inputs, Result, Settings, Window


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Attention of a dense batch; arguments and result as the module says."""
    name = "flash_attn_func"
    _check.dropout(name, dropout_p, return_attn_probs)
    _check.attention(name, "B S", q, k, v)
    _check.extras(name, q, q.shape[0], window_size, softcap, alibi_slopes, learnable_sink)
    window = Window.of(causal, window_size, k.shape[1])
    settings = Settings(_scale(q, softmax_scale), window, dropout_p, alibi_slopes, learnable_sink, return_attn_probs,
                        softcap)
    return _returned(dense(Inputs.of(q, k, v, None), settings), q)


def flash_attn_kvpacked_func(
    q: Tensor,
    kv: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """:func:`flash_attn_func` with keys and values in one tensor, kv (B, Sk, 2, Nkv, D)."""
    k, v = _unpacked("flash_attn_kvpacked_func", "kv", kv, ("B", "Sk", 2, "Nkv", "D"))
    return flash_attn_func(q, k, v, dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes,
                           deterministic, return_attn_probs)


def flash_attn_qkvpacked_func(
    qkv: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """:func:`flash_attn_func` with everything in one tensor, qkv (B, S, 3, N, D)."""
    q, k, v = _unpacked("flash_attn_qkvpacked_func", "qkv", qkv, ("B", "S", 3, "N", "D"))
    return flash_attn_func(q, k, v, dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes,
                           deterministic, return_attn_probs)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Tensor | None = None,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Attention of sequences packed one behind the other.

    Args:
        cu_seqlens_q, cu_seqlens_k: int32 (B + 1,), cumulative lengths with a leading zero. Tokens beyond the last one
            take no part. With ALiBi, with dropout or gradients together with `block_table`, their values are needed on
            the host.
        max_seqlen_q: not read.
        max_seqlen_k: longest sequence of keys, from which a right window is none.
        block_table: int32 (B, blocks per sequence): k and v are the pages (blocks, block size, Nkv, D).
    """
    name = "flash_attn_varlen_func"
    _check.dropout(name, dropout_p, return_attn_probs)
    _check.attention(name, "T" if block_table is None else "T pages", q, k, v)
    _check.cumulative(name, "cu_seqlens_q", cu_seqlens_q, q.shape[0], q.device)
    batch = len(cu_seqlens_q) - 1
    keys = k.shape[0] if block_table is None else k.shape[0] * k.shape[1] * batch
    _check.cumulative(name, "cu_seqlens_k", cu_seqlens_k, keys, q.device, batch)
    _check.extras(name, q, batch, window_size, softcap, alibi_slopes, learnable_sink)
    window = Window.of(causal, window_size, max_seqlen_k)
    settings = Settings(_scale(q, softmax_scale), window, dropout_p, alibi_slopes, learnable_sink, return_attn_probs,
                        softcap)
    inputs = Inputs.of(q, k, v, None)
    if block_table is None:
        return _returned(packed(inputs, settings, cu_seqlens_q, cu_seqlens_k), q)
    cache = Cache.of(name, k, batch, "block_table", block_table, None, None)
    lengths = cu_seqlens_k.diff()
    _check.lengths(name, "cu_seqlens_k", lengths, 0, cache.capacity)
    return _returned(attend_cache(inputs, settings, cache, lengths, cu_seqlens_q), q)


def flash_attn_varlen_kvpacked_func(
    q: Tensor,
    kv: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """:func:`flash_attn_varlen_func` with keys and values in one tensor, kv (T, 2, Nkv, D)."""
    k, v = _unpacked("flash_attn_varlen_kvpacked_func", "kv", kv, ("T", 2, "Nkv", "D"))
    return flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p,
                                  softmax_scale, causal, window_size, softcap, alibi_slopes, deterministic,
                                  return_attn_probs)


def flash_attn_varlen_qkvpacked_func(
    qkv: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """:func:`flash_attn_varlen_func` with everything in one tensor, qkv (T, 3, N, D)."""
    q, k, v = _unpacked("flash_attn_varlen_qkvpacked_func", "qkv", qkv, ("T", 3, "N", "D"))
    return flash_attn_varlen_func(q, k, v, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, dropout_p, softmax_scale,
                                  causal, window_size, softcap, alibi_slopes, deterministic, return_attn_probs)


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None = None,
    v: Tensor | None = None,
    rotary_cos: Tensor | None = None,
    rotary_sin: Tensor | None = None,
    cache_seqlens: int | Tensor | None = None,
    cache_batch_idx: Tensor | None = None,
    cache_leftpad: Tensor | None = None,
    block_table: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    rotary_interleaved: bool = True,
    alibi_slopes: Tensor | None = None,
    num_splits: int = 0,
    return_softmax_lse: bool = False,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention over a key/value cache, into which new keys and values are written first. No gradient.

    Args:
        k_cache, v_cache: (rows, capacity, Nkv, D), or pages (blocks, block size, Nkv, D) with `block_table`.
        k, v: (B, Snew, Nkv, D), written in place behind the first `cache_seqlens` tokens.
        rotary_cos, rotary_sin: (positions, R / 2): with k, the first R elements of each head of q and k are rotated,
            k at the positions from `cache_seqlens` on; q as well if causal or with a window, else all at that position.
        cache_seqlens: tokens in the cache before k, one number or int32 (B,); by default all of it.
        cache_batch_idx: int32 (B,), row of the cache of each sequence; not with `block_table`.
        cache_leftpad: int32 (B,), the first token of each sequence that counts. Keys are gathered for it.
        block_table: int32 (B, blocks per sequence).
        rotary_interleaved: rotate elements 2i and 2i + 1; otherwise i and i + R / 2.
        alibi_slopes: as everywhere; keys are gathered for it, and the lengths are needed on the host.
        num_splits: not read.

    Returns:
        out, or (out, softmax_lse) with `return_softmax_lse`.
    """
    name = "flash_attn_with_kvcache"
    _check.attention(name, "pages", q, k_cache, v_cache, spelling=("q", "k_cache", "v_cache"))
    batch = q.shape[0]
    _check.extras(name, q, batch, window_size, softcap, alibi_slopes, learnable_sink)
    with torch.no_grad():
        cache = Cache.of(name, k_cache, batch, "block_table", block_table, cache_batch_idx, cache_leftpad)
        start = cache.lengths(cache_seqlens, k is not None, q.device)
        window = Window.of(causal, window_size, cache.capacity)
        tokens = NewTokens(k, v, rotary_cos, rotary_sin, rotary_interleaved)
        q, total = tokens.append(q, k_cache, v_cache, cache, start, window)
        settings = Settings(_scale(q, softmax_scale), window, 0.0, alibi_slopes, learnable_sink, return_softmax_lse,
                            softcap)
        out, lse = attend_cache(Inputs.of(q, k_cache, v_cache, None), settings, cache, total)
    return out if lse is None else (out, lse)


def _unpacked(name: str, argument: str, value: Tensor, shape: tuple[int | str, ...]) -> tuple[Tensor, ...]:
    device = value.device if isinstance(value, Tensor) else torch.device("cpu")
    _check.tensor(name, argument, value, shape, _check.DTYPES, device)
    return value.unbind(-3)


def _scale(q: Tensor, softmax_scale: float | None) -> float:
    return q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale


def _returned(result: Result, q: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    out, lse = result
    return out if lse is None else (out, lse, q.new_empty(0))
