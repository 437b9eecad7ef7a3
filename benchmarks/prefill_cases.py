"""Prefill against SDPA, causal against full, sliding window against full."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle, product

import torch
import torch.nn.functional as F

import npufa
from cases import BF16, F16, F32, Accuracy, Case, Sides, Tensors, exact_rows, inputs, sampled_rows
from timing import Run

FUSION, PROMPT, INFER = "npu_fusion_attention", "npu_prompt_flash_attention", "npu_fused_infer_attention_score"
BARS = {BF16: 4.0, F16: 6.0, F32: 3.0}
WINDOW = 512


def _heads(length: int) -> int:
    return 8 if length < 8192 else 2


def _ours(operator: str, qkv: list[torch.Tensor], mode: int, **more: int) -> Run:
    query, key, value = qkv
    heads, scale = query.shape[1], 1.0 / math.sqrt(query.shape[-1])
    infer = {"num_heads": heads, "input_layout": "BNSD", "sparse_mode": mode, **more}
    ours: dict[str, Run] = {
        FUSION: lambda: npufa.npu_fusion_attention(query, key, value, heads, "BNSD", scale=scale, sparse_mode=mode)[:1],
        PROMPT: lambda: (npufa.npu_prompt_flash_attention(query, key, value, scale_value=scale, **infer),),
        INFER: lambda: npufa.npu_fused_infer_attention_score(query, key, value, scale=scale, **infer)[:1],
    }
    return ours[operator]


def _against_sdpa(operator: str, length: int, size: int, causal: bool, dtype: torch.dtype) -> Sides:
    query, key, value = qkv = inputs((1, _heads(length), length, size), dtype)
    rows = sampled_rows(length)

    def part(result: Tensors) -> Tensors:
        return (result[0][:, :, rows],)

    return Sides(
        _ours(operator, qkv, 3 if causal else 0),
        lambda: (F.scaled_dot_product_attention(query, key, value, is_causal=causal),),
        Accuracy(lambda: (exact_rows(query, key, value, rows, causal),), part, part),
    )


def _causal_against_full(length: int, size: int, dtype: torch.dtype) -> Sides:
    qkv = inputs((1, _heads(length), length, size), dtype)
    return Sides(_ours(FUSION, qkv, 3), _ours(FUSION, qkv, 0))


def _window_against_full(length: int, size: int, dtype: torch.dtype) -> Sides:
    qkv = inputs((1, _heads(length), length, size), dtype)
    return Sides(_ours(INFER, qkv, 4, pre_tokens=WINDOW - 1, next_tokens=0), _ours(INFER, qkv, 0))


def prefill_cases() -> Iterator[Case]:
    """Every dtype, length, head size and mask, the operators in turn."""
    for dtype in BARS:
        operators = cycle((FUSION, PROMPT, INFER))
        for length, size, causal in product((1024, 2048, 4096, 8192), (64, 128), (True, False)):
            operator = next(operators)
            yield Case(
                "prefill",
                operator,
                f"B1 N{_heads(length)} S{length} D{size} {'causal' if causal else 'full'}",
                dtype,
                "SDPA",
                BARS[dtype],
                length == 1024,
                lambda o=operator, s=length, d=size, c=causal, t=dtype: _against_sdpa(o, s, d, c, t),
            )
    for dtype in BARS:
        length, size = 4096, 128
        yield Case(
            "masks",
            FUSION,
            f"B1 N{_heads(length)} S{length} D{size} causal",
            dtype,
            "npufa, full",
            1 / 0.6,
            dtype == BF16,
            lambda s=length, d=size, t=dtype: _causal_against_full(s, d, t),
        )
        length = 8192
        yield Case(
            "masks",
            INFER,
            f"B1 N{_heads(length)} S{length} D{size} window {WINDOW}",
            dtype,
            "npufa, full",
            6.0,
            dtype == BF16,
            lambda s=length, d=size, t=dtype: _window_against_full(s, d, t),
        )
