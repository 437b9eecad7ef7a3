"""The functions of flash_attn 3 (`flash_attn_npu_v3`), with its signatures.

What :mod:`npufa.flash_attn.interface` says holds here, except:

- a right side of `window_size` is a limit however large it is;
- `return_attn_probs` and `return_softmax_lse` return (out, softmax_lse), -inf for rows without keys;
- `qv` (..., N, Dv) adds `qv @ v^T` to the scores (multi-head latent attention); the default scale is then
  1 / sqrt(D + Dv);
- `attention_chunk` other than 0 and `q_descale`, `k_descale`, `v_descale` raise;
- `num_splits`, `pack_gqa`, `sm_margin`, `scheduler_metadata` change nothing.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..merge import merge_lse
from . import _check
from ._attention import dense, packed
from ._cache import Cache, NewTokens, attend_cache
from ._inputs import Inputs, Result, Settings, Window
from ._used import UsedTokens

__all__ = [
    "flash_attn_combine",
    "flash_attn_func",
    "flash_attn_qkvpacked_func",
    "flash_attn_varlen_func",
    "flash_attn_with_kvcache",
    "get_scheduler_metadata",
]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    num_splits: int = 1,
    pack_gqa: bool | None = None,
    deterministic: bool = False,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
    scheduler_metadata: Tensor | None = None,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of a dense batch; arguments and result as the module says."""
    name = "v3.flash_attn_func"
    _check.refuse(name, attention_chunk=attention_chunk, q_descale=q_descale, k_descale=k_descale, v_descale=v_descale)
    _check.attention(name, "B S", q, k, v, qv)
    _check.extras(name, q, q.shape[0], window_size, softcap, None, learnable_sink)
    settings = _settings(q, qv, softmax_scale, causal, window_size, learnable_sink, return_attn_probs,
                         softcap)
    return _returned(dense(Inputs.of(q, k, v, qv), settings))


def flash_attn_qkvpacked_func(
    qkv: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    deterministic: bool = False,
    num_heads_q: int | None = None,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """:func:`flash_attn_func` with everything in one tensor, qkv (B, S, 3, N, D), or (B, S, N + 2 * Nkv, D) with
    `num_heads_q` N."""
    name = "v3.flash_attn_qkvpacked_func"
    if num_heads_q is None:
        _check.tensor(name, "qkv", qkv, ("B", "S", 3, "N", "D"), _check.DTYPES, qkv.device)
        q, k, v = qkv.unbind(2)
    else:
        _check.tensor(name, "qkv", qkv, ("B", "S", "N + 2 * Nkv", "D"), _check.DTYPES, qkv.device)
        q, k, v = qkv.split(_check.packed_heads(name, qkv.shape[2], num_heads_q), 2)
    return flash_attn_func(q, k, v, softmax_scale, causal, None, q_descale, k_descale, v_descale, window_size,
                           attention_chunk, softcap, return_attn_probs=return_attn_probs)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    seqused_q: Tensor | None = None,
    seqused_k: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    num_splits: int = 1,
    pack_gqa: bool | None = None,
    deterministic: bool = False,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
    scheduler_metadata: Tensor | None = None,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of sequences packed one behind the other.

    Args:
        cu_seqlens_q, cu_seqlens_k: int32 (B + 1,), cumulative lengths with a leading zero.
        max_seqlen_q, max_seqlen_k: not read.
        seqused_q, seqused_k: int32 (B,), how many tokens of each sequence take part, from its first; rows of other
            queries are 0. Tokens are gathered for it and the lengths needed on the host.
    """
    name = "v3.flash_attn_varlen_func"
    _check.refuse(name, attention_chunk=attention_chunk, q_descale=q_descale, k_descale=k_descale, v_descale=v_descale)
    _check.attention(name, "T", q, k, v, qv)
    _check.cumulative(name, "cu_seqlens_q", cu_seqlens_q, q.shape[0], q.device)
    _check.cumulative(name, "cu_seqlens_k", cu_seqlens_k, k.shape[0], q.device, len(cu_seqlens_q) - 1)
    _check.extras(name, q, len(cu_seqlens_q) - 1, window_size, softcap, None, learnable_sink)
    settings = _settings(q, qv, softmax_scale, causal, window_size, learnable_sink, return_attn_probs,
                         softcap)
    inputs = Inputs.of(q, k, v, qv)
    if seqused_q is None and seqused_k is None:
        return _returned(packed(inputs, settings, cu_seqlens_q, cu_seqlens_k))
    queries = UsedTokens.of(name, "seqused_q", cu_seqlens_q, seqused_q)
    keys = UsedTokens.of(name, "seqused_k", cu_seqlens_k, seqused_k)
    out, lse = packed(inputs.mapped(queries.taken, keys.taken), settings, queries.ends, keys.ends)
    return _returned((queries.put_back(out, 0, q.shape[0], 0.0),
                      None if lse is None else queries.put_back(lse, 1, q.shape[0], torch.inf)))


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None = None,
    v: Tensor | None = None,
    qv: Tensor | None = None,
    rotary_cos: Tensor | None = None,
    rotary_sin: Tensor | None = None,
    cache_seqlens: int | Tensor | None = None,
    cache_batch_idx: Tensor | None = None,
    cache_leftpad: Tensor | None = None,
    page_table: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k_new: Tensor | None = None,
    max_seqlen_q: int | None = None,
    rotary_seqlens: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    rotary_interleaved: bool = True,
    scheduler_metadata: Tensor | None = None,
    num_splits: int = 0,
    pack_gqa: bool | None = None,
    sm_margin: int = 0,
    return_softmax_lse: bool = False,
    *,
    learnable_sink: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention over a key/value cache, into which new keys and values are written first. No gradient.

    Everything not listed is as in :func:`npufa.flash_attn.flash_attn_with_kvcache`.

    Args:
        q: (B, Sq, N, D), or packed (T, N, D) with `cu_seqlens_q`.
        k, v: (B, Snew, Nkv, D), or packed (T, Nkv, D) with `cu_seqlens_k_new`, whose last value is read on the host.
        page_table: int32 (B, blocks per sequence): k_cache and v_cache are pages (blocks, block size, Nkv, D).
        cu_seqlens_q, cu_seqlens_k_new: int32 (B + 1,), cumulative lengths with a leading zero.
        max_seqlen_q: not read.
        rotary_seqlens: int32 (B,), position of the first new token, by default `cache_seqlens`.
    """
    name = "v3.flash_attn_with_kvcache"
    _check.refuse(name, attention_chunk=attention_chunk, q_descale=q_descale, k_descale=k_descale, v_descale=v_descale)
    _check.attention(name, "pages" if cu_seqlens_q is None else "T pages", q, k_cache, v_cache, qv,
                     ("q", "k_cache", "v_cache"))
    batch = q.shape[0]
    if cu_seqlens_q is not None:
        _check.cumulative(name, "cu_seqlens_q", cu_seqlens_q, q.shape[0], q.device)
        batch = len(cu_seqlens_q) - 1
    if rotary_seqlens is not None:
        _check.integers(name, "rotary_seqlens", rotary_seqlens, [batch], q.device)
    _check.extras(name, q, batch, window_size, softcap, None, learnable_sink)
    with torch.no_grad():
        cache = Cache.of(name, k_cache, batch, "page_table", page_table, cache_batch_idx, cache_leftpad)
        start = cache.lengths(cache_seqlens, k is not None, q.device)
        settings = _settings(q, qv, softmax_scale, causal, window_size, learnable_sink, return_softmax_lse,
                             softcap)
        tokens = NewTokens(k, v, rotary_cos, rotary_sin, rotary_interleaved, cu_seqlens_k_new, cu_seqlens_q,
                           rotary_seqlens)
        q, total = tokens.append(q, k_cache, v_cache, cache, start, settings.window)
        return _returned(attend_cache(Inputs.of(q, k_cache, v_cache, qv), settings, cache, total, cu_seqlens_q))


def flash_attn_combine(
    out_partial: Tensor, lse_partial: Tensor, out: Tensor | None = None, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Merges attentions of the same queries over disjoint sets of keys.

    Args:
        out_partial: (splits, B, Sq, N, Dv), at least one.
        lse_partial: float32 (splits, B, Sq, N), -inf for rows without keys.
        out: where to write the output.
        out_dtype: its dtype, by default that of `out_partial`.

    Returns:
        out (B, Sq, N, Dv), softmax_lse (B, Sq, N).
    """
    name = "v3.flash_attn_combine"
    _check.tensor(name, "out_partial", out_partial, ["splits", "B", "Sq", "N", "Dv"], _check.DTYPES, out_partial.device)
    _check.tensor(name, "lse_partial", lse_partial, out_partial.shape[:-1], (torch.float32,), out_partial.device)
    if len(out_partial) == 0:
        _check.fail(name, "out_partial", "holds no partial attention", [*out_partial.shape], "at least one")
    lses = torch.where(lse_partial == -torch.inf, torch.inf, lse_partial).unsqueeze(-1)
    merged, lse = functools.reduce(lambda a, b: merge_lse(*a, *b), zip(out_partial.float(), lses))
    merged = merged.to(out_dtype or out_partial.dtype)
    merged = merged if out is None else out.copy_(merged)
    return merged, torch.where(lse == torch.inf, -torch.inf, lse).squeeze(-1)


def get_scheduler_metadata(
    batch_size: int,
    max_seqlen_q: int,
    max_seqlen_k: int,
    num_heads_q: int,
    num_heads_kv: int,
    headdim: int,
    cache_seqlens: Tensor,
    qkv_dtype: torch.dtype = torch.bfloat16,
    headdim_v: int | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k_new: Tensor | None = None,
    cache_leftpad: Tensor | None = None,
    page_size: int | None = None,
    max_seqlen_k_new: int = 0,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    has_softcap: bool = False,
    num_splits: int = 0,
    pack_gqa: bool | None = None,
    sm_margin: int = 0,
) -> Tensor:
    """What flash_attn 3 plans ahead of a call; the operators plan inside of it, so it is an empty int32 tensor."""
    return torch.empty(0, dtype=torch.int32)


def _settings(q: Tensor, qv: Tensor | None, scale: float | None, causal: bool, window_size: tuple[int, int],
              sink: Tensor | None, lse: bool, softcap: float) -> Settings:
    if scale is None:
        scale = (q.shape[-1] + (0 if qv is None else qv.shape[-1])) ** -0.5
    return Settings(scale, Window.of(causal, window_size), sink=sink, lse=lse, softcap=softcap)


def _returned(result: Result) -> Tensor | tuple[Tensor, Tensor]:
    out, lse = result
    return out if lse is None else (out, torch.where(lse == torch.inf, -torch.inf, lse))
