"""Forward and backward against SDPA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

import npufa
from cases import BF16, F32, Accuracy, Case, Sides, Tensors, inputs, random

BARS = {BF16: 3.0, F32: 2.0}
HEADS = 8


def _with_gradients(output: Tensor, qkv: list[Tensor], gradient: Tensor) -> Tensors:
    return (output, *torch.autograd.grad(output, qkv, gradient))


def _training(length: int, size: int, causal: bool, dtype: torch.dtype) -> Sides:
    qkv = inputs((1, HEADS, length, size), dtype, grad=True)
    gradient = random(1, HEADS, length, size, dtype=dtype, seed=3)

    def exact() -> Tensors:
        """Of the first head: the scores of all in float64 would not fit."""
        head = [x.detach()[:, :1].double().requires_grad_() for x in qkv]
        output = F.scaled_dot_product_attention(*head, is_causal=causal)
        return _with_gradients(output, head, gradient[:, :1].double())

    def part(result: Tensors) -> Tensors:
        return tuple(x[:, :1] for x in result)

    return Sides(
        lambda: _with_gradients(
            npufa.npu_fusion_attention(
                *qkv, HEADS, "BNSD", scale=1.0 / math.sqrt(size), sparse_mode=3 if causal else 0)[0],
            qkv,
            gradient,
        ),
        lambda: _with_gradients(F.scaled_dot_product_attention(*qkv, is_causal=causal), qkv, gradient),
        Accuracy(exact, part, part),
    )


def training_cases() -> Iterator[Case]:
    """Every dtype, length, head size and mask."""
    for dtype, length, size, causal in product(BARS, (1024, 2048, 4096), (64, 128), (True, False)):
        yield Case(
            "forward+backward",
            "npu_fusion_attention",
            f"B1 N{HEADS} S{length} D{size} {'causal' if causal else 'full'}",
            dtype,
            "SDPA",
            BARS[dtype],
            length == 1024,
            lambda s=length, d=size, c=causal, t=dtype: _training(s, d, c, t),
        )
