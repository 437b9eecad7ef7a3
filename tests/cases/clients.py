"""Calls in the form in which serving frameworks make them."""

from __future__ import annotations

import dataclasses

import torch

from .draw import Draw
from .fusion import compressed_mask, forward_case
from .inference import inference_case
from .model import Case
from .variants import with_sink


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


CALLS = (encoder_with_padding, window_and_sink_at_one_row, int8_cache_with_cumulative_lengths)


def without_window(case: Case) -> Case:
    """The call as torch_npu reads it: one row sees every key."""
    return dataclasses.replace(case, kwargs={**case.kwargs, "sparse_mode": 0, "atten_mask": None})
