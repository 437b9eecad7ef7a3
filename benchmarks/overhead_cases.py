"""What a call costs: the smallest problem against SDPA."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

import npufa
from cases import BF16, F32, Accuracy, Case, Sides, exact_rows, inputs
from timing import Run

FUSION, PROMPT, INCRE, INFER = (
    "npu_fusion_attention",
    "npu_prompt_flash_attention",
    "npu_incre_flash_attention",
    "npu_fused_infer_attention_score",
)


def _smallest(operator: str, dtype: torch.dtype) -> Sides:
    query, key, value = inputs((1, 1, 1, 16), dtype)
    infer = {"num_heads": 1, "input_layout": "BNSD"}
    ours: dict[str, Run] = {
        FUSION: lambda: npufa.npu_fusion_attention(query, key, value, 1, "BNSD", scale=0.25)[:1],
        PROMPT: lambda: (npufa.npu_prompt_flash_attention(query, key, value, scale_value=0.25, **infer),),
        INCRE: lambda: (npufa.npu_incre_flash_attention(query, key, value, scale_value=0.25, **infer),),
        INFER: lambda: npufa.npu_fused_infer_attention_score(query, key, value, scale=0.25, **infer)[:1],
    }
    return Sides(
        ours[operator],
        lambda: (F.scaled_dot_product_attention(query, key, value),),
        Accuracy(
            lambda: (exact_rows(query, key, value, torch.tensor([0]), causal=False),),
            lambda result: result,
            lambda result: result,
        ),
    )


def overhead_cases() -> Iterator[Case]:
    """Every operator."""
    for dtype in (F32, BF16):
        for operator in (FUSION, PROMPT, INCRE, INFER):
            yield Case(
                "overhead",
                operator,
                "B1 N1 S1 D16",
                dtype,
                "SDPA",
                1.0,
                dtype == F32,
                lambda o=operator, t=dtype: _smallest(o, t),
            )
