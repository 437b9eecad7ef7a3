"""Illegal and unsupported arguments of flash_attn's functions: refused by the names that they have there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import npufa.flash_attn as fa


def t(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


def i32(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


DENSE: dict[str, Any] = {"q": t(2, 3, 4, 8), "k": t(2, 5, 2, 8), "v": t(2, 5, 2, 8)}
VARLEN: dict[str, Any] = {
    "q": t(6, 4, 8), "k": t(9, 2, 8), "v": t(9, 2, 8), "cu_seqlens_q": i32(0, 2, 6), "cu_seqlens_k": i32(0, 4, 9),
    "max_seqlen_q": 4, "max_seqlen_k": 5}
CACHE: dict[str, Any] = {
    "q": t(2, 3, 4, 8), "k_cache": t(2, 16, 2, 8), "v_cache": t(2, 16, 2, 8), "cache_seqlens": i32(5, 6)}
NEW: dict[str, Any] = {**CACHE, "k": t(2, 3, 2, 8), "v": t(2, 3, 2, 8)}
ROTARY: dict[str, Any] = {**NEW, "rotary_cos": t(20, 4), "rotary_sin": t(20, 4)}
PAGES: dict[str, Any] = {**NEW, "block_table": i32(0, 1).view(2, 1)}

CASES = [
    (fa.flash_attn_func, DENSE, {"softcap": -30.0}, "softcap"),
    (fa.flash_attn_func, DENSE, {"dropout_p": 1.0}, "dropout_p"),
    (fa.flash_attn_func, DENSE, {"dropout_p": 0.1, "return_attn_probs": True}, "return_attn_probs"),
    (fa.flash_attn_func, DENSE, {"q": t(2, 3, 32)}, "q"),
    (fa.flash_attn_func, DENSE, {"q": t(2, 3, 4, 8, dtype=torch.float64)}, "q"),
    (fa.flash_attn_func, DENSE, {"q": None}, "q"),
    (fa.flash_attn_func, DENSE, {"k": t(3, 5, 2, 8)}, "k"),
    (fa.flash_attn_func, DENSE, {"k": t(2, 5, 2, 16)}, "k"),
    (fa.flash_attn_func, DENSE, {"k": t(2, 5, 3, 8), "v": t(2, 5, 3, 8)}, "k"),
    (fa.flash_attn_func, DENSE, {"k": t(2, 5, 2, 8, dtype=torch.half)}, "k"),
    (fa.flash_attn_func, DENSE, {"k": t(2, 5, 2, 8).to("meta")}, "k"),
    (fa.flash_attn_func, DENSE, {"v": t(2, 6, 2, 8)}, "v"),
    (fa.flash_attn_func, DENSE, {"alibi_slopes": t(3)}, "alibi_slopes"),
    (fa.flash_attn_func, DENSE, {"alibi_slopes": t(3, 4)}, "alibi_slopes"),
    (fa.flash_attn_func, DENSE, {"alibi_slopes": t(4, dtype=torch.half)}, "alibi_slopes"),
    (fa.flash_attn_func, DENSE, {"learnable_sink": t(2)}, "learnable_sink"),
    (fa.flash_attn_func, DENSE, {"window_size": (None, 3)}, "window_size"),
    (fa.v3.flash_attn_func, DENSE, {"window_size": (3,)}, "window_size"),
    (fa.flash_attn_qkvpacked_func, {"qkv": t(2, 3, 2, 4, 8)}, {}, "qkv"),
    (fa.flash_attn_kvpacked_func, {"q": DENSE["q"], "kv": t(2, 3, 4, 8)}, {}, "kv"),
    (fa.flash_attn_varlen_func, VARLEN, {"softcap": float("nan")}, "softcap"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": i32(2, 6)}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": i32(0, 4, 2)}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": i32(0, 2, 7)}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": [0, 2, 6]}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": t(3)}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_q": i32()}, "cu_seqlens_q"),
    (fa.flash_attn_varlen_func, VARLEN, {"cu_seqlens_k": i32(0, 9)}, "cu_seqlens_k"),
    (fa.flash_attn_varlen_func, VARLEN, {"block_table": i32(0, 1)}, "k"),
    (fa.flash_attn_varlen_func,
     {**VARLEN, "k": t(3, 2, 2, 8), "v": t(3, 2, 2, 8), "block_table": i32(0, 1).view(2, 1)}, {}, "cu_seqlens_k"),
    (fa.flash_attn_with_kvcache, CACHE, {"softcap": float("nan")}, "softcap"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_seqlens": i32(5)}, "cache_seqlens"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_seqlens": 17}, "cache_seqlens"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_seqlens": i32(5, -1)}, "cache_seqlens"),
    (fa.flash_attn_with_kvcache, CACHE, {"k_cache": t(1, 16, 2, 8), "v_cache": t(1, 16, 2, 8)}, "k_cache"),
    (fa.flash_attn_with_kvcache, CACHE, {"v_cache": t(2, 8, 2, 8)}, "v_cache"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_batch_idx": i32(0, 2)}, "cache_batch_idx"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_leftpad": i32(0)}, "cache_leftpad"),
    (fa.flash_attn_with_kvcache, CACHE, {"cache_leftpad": i32(0, -1)}, "cache_leftpad"),
    (fa.flash_attn_with_kvcache, CACHE, {"k": NEW["k"]}, "k"),
    (fa.flash_attn_with_kvcache, CACHE, {"rotary_cos": t(20, 4), "rotary_sin": t(20, 4)}, "rotary_cos"),
    (fa.flash_attn_with_kvcache, NEW, {"cache_seqlens": None}, "cache_seqlens"),
    (fa.flash_attn_with_kvcache, NEW, {"cache_seqlens": i32(5, 14)}, "cache_seqlens"),
    (fa.flash_attn_with_kvcache, NEW, {"k": t(2, 3, 2, 4)}, "k"),
    (fa.flash_attn_with_kvcache, NEW, {"v": t(2, 4, 2, 8)}, "v"),
    (fa.flash_attn_with_kvcache, ROTARY, {"rotary_sin": None}, "rotary_sin"),
    (fa.flash_attn_with_kvcache, ROTARY, {"rotary_cos": t(20, 5), "rotary_sin": t(20, 5)}, "rotary_cos"),
    (fa.flash_attn_with_kvcache, ROTARY, {"rotary_cos": t(6, 4), "rotary_sin": t(6, 4)}, "rotary_cos"),
    (fa.flash_attn_with_kvcache, PAGES, {"cache_batch_idx": i32(0, 1)}, "cache_batch_idx"),
    (fa.flash_attn_with_kvcache, PAGES, {"block_table": i32(0, 1)}, "block_table"),
    (fa.flash_attn_with_kvcache, PAGES, {"block_table": i32(0, 2).view(2, 1)}, "block_table"),
    (fa.flash_attn_with_kvcache, {**CACHE, "cache_leftpad": i32(0, 1)}, {"block_table": i32(0, 2).view(2, 1)},
     "block_table"),
    (fa.v3.flash_attn_func, DENSE, {"attention_chunk": 4}, "attention_chunk"),
    (fa.v3.flash_attn_func, DENSE, {"k_descale": t(2, 2)}, "k_descale"),
    (fa.v3.flash_attn_func, DENSE, {"softcap": float("nan")}, "softcap"),
    (fa.v3.flash_attn_func, DENSE, {"qv": t(2, 3, 4, 16)}, "qv"),
    (fa.v3.flash_attn_varlen_func, VARLEN, {"seqused_k": i32(4, 6)}, "seqused_k"),
    (fa.v3.flash_attn_varlen_func, VARLEN, {"seqused_q": i32(1)}, "seqused_q"),
    (fa.v3.flash_attn_varlen_func, VARLEN, {"attention_chunk": 4}, "attention_chunk"),
    (fa.v3.flash_attn_with_kvcache, NEW, {"page_table": i32(0, 2).view(2, 1)}, "page_table"),
    (fa.v3.flash_attn_with_kvcache, NEW, {"rotary_seqlens": i32(0)}, "rotary_seqlens"),
    (fa.v3.flash_attn_with_kvcache, NEW, {"cu_seqlens_k_new": i32(0, 3, 6)}, "k"),
    (fa.v3.flash_attn_with_kvcache, NEW, {"v_descale": t(2, 2)}, "v_descale"),
    (fa.v3.flash_attn_qkvpacked_func, {"qkv": t(2, 3, 6, 8)}, {"num_heads_q": 5}, "num_heads_q"),
    (fa.v3.flash_attn_combine, {"out_partial": t(0, 1, 1, 1, 8), "lse_partial": t(0, 1, 1, 1)}, {}, "out_partial"),
    (fa.rotary.apply_rotary_emb, {"x": t(1, 3, 1, 8), "cos": t(4, 4), "sin": t(4, 4)}, {"seqlen_offsets": 2},
     "seqlen_offsets"),
]


@pytest.mark.parametrize("function, legal, change, argument", CASES,
                         ids=[f"{case[0].__name__}-{case[3]}-{number}" for number, case in enumerate(CASES)])
def test_message_names_function_and_argument(function: Any, legal: dict, change: dict, argument: str) -> None:
    caches = [legal[name] for name in ("k_cache", "v_cache") if name in legal]
    before = [cache.clone() for cache in caches]
    with pytest.raises((ValueError, TypeError), match=rf"^npufa\.flash_attn\.(v3\.)?{function.__name__}: {argument} "
                                                      r".*, got .*; expected "):
        function(**{**legal, **change})
    assert all(torch.equal(a, b) for a, b in zip(before, caches))


@pytest.mark.parametrize("function, arguments", [
    (fa.flash_attn_func, DENSE), (fa.flash_attn_varlen_func, VARLEN), (fa.v3.flash_attn_varlen_func, VARLEN),
    (fa.v3.flash_attn_func, DENSE)])
def test_the_legal_ones_are(function: Any, arguments: dict) -> None:
    function(**arguments)


@pytest.mark.parametrize("arguments", [CACHE, NEW, ROTARY, PAGES])
def test_the_legal_caches_are(arguments: dict) -> None:
    fa.flash_attn_with_kvcache(**{name: x.clone() if isinstance(x, Tensor) else x for name, x in arguments.items()})
