"""Calls in the form in which serving frameworks make them."""

from __future__ import annotations

import dataclasses

import torch

from .draw import Draw
from .fusion import compressed_mask, forward_case
from .inference import inference_case
from .model import Case
from .nz import in_nz, quantised_query
from .variants import as_v2, with_sink


def encoder_with_padding() -> Case:
    """vLLM-Ascend, encoder-only models: the last length is 0, and stands for the tokens that pad the batch."""
    d = Draw(1)
    query, key, value = (d.normal((80, 4, 64), torch.float16) for _ in range(3))
    return forward_case(dict(query=query, key=key, value=value, head_num=4, input_layout="TND", scale=0.125,
                             actual_seq_qlen=[5, 75, 0], actual_seq_kvlen=[5, 75, 0]))


def window_and_sink_at_one_row() -> Case:
    """SGLang, gpt-oss: decode from a paged cache with a window and sinks."""
    d = Draw(2)
    cache = [d.normal((9, 16, 2 * 64), torch.bfloat16) for _ in range(2)]
    call = dict(query=d.normal((2, 1, 8, 64), torch.bfloat16), key=cache[0], value=cache[1], num_heads=8,
                num_key_value_heads=2, input_layout="BSND", scale=0.125, sparse_mode=4, pre_tokens=20, next_tokens=0,
                atten_mask=compressed_mask(), actual_seq_lengths_kv=[61, 40], block_size=16,
                block_table=torch.tensor([[4, 1, 7, 2], [0, 8, 3, -1]], dtype=torch.int32))
    return with_sink(inference_case("fused_infer", call), d.normal((8,)))


def int8_cache_with_cumulative_lengths() -> Case:
    """vLLM-Ascend, C8: the query's lengths are cumulative although the layout is none of a packed batch."""
    d = Draw(3)
    key, value = (d.integers((9, 2, 16, 64), -99, 99) for _ in range(2))
    scales = {f"{n}_antiquant_scale": d.uniform((2, 64), 0.01, 0.02, torch.float16) for n in ("key", "value")}
    return inference_case("fused_infer", dict(
        query=d.normal((2, 8, 1, 64), torch.float16), key=key, value=value, num_heads=8, num_key_value_heads=2,
        input_layout="BNSD", scale=0.125, actual_seq_lengths=[1, 2], actual_seq_lengths_kv=[61, 40], block_size=16,
        block_table=torch.tensor([[4, 1, 7, 2], [0, 8, 3, -1]], dtype=torch.int32), **scales), antiquant=True)


def int8_cache_in_nz() -> Case:
    """vLLM-Ascend, C8: scales per channel in bfloat16 as (Nkv, 1, D)."""
    d = Draw(4)
    key, value = (d.integers((5, 2, 128, 128), -99, 99) for _ in range(2))
    scales = {f"{n}_antiquant_scale": d.uniform((2, 1, 128), 0.01, 0.02, torch.bfloat16) for n in ("key", "value")}
    return in_nz(inference_case("fused_infer", dict(
        query=d.normal((2, 10, 1, 128), torch.bfloat16), key=key, value=value, **scales,
        block_table=torch.tensor([[4, 1], [0, -1]], dtype=torch.int32), actual_seq_lengths_kv=[131, 17], num_heads=10,
        num_key_value_heads=2, input_layout="BNSD", scale=0.09, block_size=128, antiquant_mode=0, key_antiquant_mode=0,
        value_antiquant_mode=0, inner_precise=1, sparse_mode=0), antiquant=True), d)


def _latent_decode(layout, tokens, **rule) -> Case:
    """Multi-head latent attention over a paged cache of 512 channels and ropes of 64, which are all keys and values."""
    d = Draw(5)
    heads = {"TND": (tokens, 16), "BSND": (tokens, 1, 16), "BNSD": (tokens, 16, 1)}[layout.split("_")[0]]
    cache, rope = (d.normal((6, 1, 128, width), torch.bfloat16) for width in (512, 64))
    if layout.startswith("BSND"):
        cache, rope = cache.transpose(1, 2), rope.transpose(1, 2)
    return inference_case("fused_infer", dict(
        query=d.normal((*heads, 512), torch.bfloat16), key=cache, value=cache, num_heads=16, num_key_value_heads=1,
        query_rope=d.normal((*heads, 64), torch.bfloat16), key_rope=rope, input_layout=layout, scale=0.04,
        block_table=torch.tensor([[4, 1], [0, -1], [5, 2]], dtype=torch.int32), block_size=128,
        actual_seq_lengths_kv=[129, 17, 200], **rule))


DECODE = dict(atten_mask=None, sparse_mode=0, actual_seq_lengths=None)
ONE_SCALE = dict(key_scale=4 / 127, value_scale=4 / 127)


def _one_cache(case: Case, **modes) -> Case:
    """The cache is key and value at once."""
    kw = {**case.kwargs, **modes}
    return dataclasses.replace(case, kwargs={**kw, "value": kw["key"]})


def latent_decode_in_nz() -> Case:
    """vLLM-Ascend, MLA with enable_kv_nz."""
    return _one_cache(in_nz(as_v2(_latent_decode("BSND_NBSD", 3, **DECODE)), Draw(6)))


def latent_decode_quantised_in_nz() -> Case:
    """vLLM-Ascend, MLA, fa_quant_layer."""
    quantised = quantised_query(_latent_decode("BSND_NBSD", 3, **DECODE), Draw(6), **ONE_SCALE)
    return _one_cache(in_nz(quantised, Draw(6)), key_quant_mode=0, value_quant_mode=0)


def latent_decode_quantised() -> Case:
    """vLLM-Ascend, MLA, fa_quant_layer where the cache stays in ND."""
    quantised = quantised_query(_latent_decode("BNSD", 3, **DECODE), Draw(6), **ONE_SCALE)
    return _one_cache(quantised, key_quant_mode=0, value_quant_mode=0)


def latent_speculation_quantised_in_nz() -> Case:
    """vLLM-Ascend, MLA, fa_quant_layer with drafts: two tokens, one and three."""
    rule = dict(atten_mask=compressed_mask(), sparse_mode=3, actual_seq_lengths=[2, 3, 6])
    quantised = quantised_query(_latent_decode("TND_NTD", 6, **rule), Draw(6), **ONE_SCALE)
    return _one_cache(in_nz(quantised, Draw(6)), key_quant_mode=0, value_quant_mode=0)


CALLS = (encoder_with_padding, window_and_sink_at_one_row, int8_cache_with_cumulative_lengths, int8_cache_in_nz,
         latent_decode_in_nz, latent_decode_quantised_in_nz, latent_decode_quantised,
         latent_speculation_quantised_in_nz)


def without_window(case: Case) -> Case:
    """The call as torch_npu reads it: one row sees every key."""
    return dataclasses.replace(case, kwargs={**case.kwargs, "sparse_mode": 0, "atten_mask": None})
