"""What a call costs: the smallest problem against SDPA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
SMALLEST = "B1 N1 S1 D16"


def _smallest(operator: str, dtype: torch.dtype, functions: Any) -> Sides:
    query, key, value = inputs((1, 1, 1, 16), dtype)
    infer = {"num_heads": 1, "input_layout": "BNSD"}
    call = getattr(functions, operator)
    ours: dict[str, Run] = {
        FUSION: lambda: call(query, key, value, 1, "BNSD", scale=0.25)[:1],
        PROMPT: lambda: (call(query, key, value, scale_value=0.25, **infer),),
        INCRE: lambda: (call(query, key, value, scale_value=0.25, **infer),),
        INFER: lambda: call(query, key, value, scale=0.25, **infer)[:1],
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
    """Every operator, called as npufa.* and, for information, as torch.ops.npufa.*."""
    for dtype in (F32, BF16):
        for operator in (FUSION, PROMPT, INCRE, INFER):
            for functions, problem, bar in ((npufa, SMALLEST, 1.0), (torch.ops.npufa, f"{SMALLEST} torch.ops", None)):
                yield Case(
                    "overhead",
                    operator,
                    problem,
                    dtype,
                    "SDPA",
                    bar,
                    dtype == F32,
                    lambda o=operator, t=dtype, f=functions: _smallest(o, t, f),
                )
