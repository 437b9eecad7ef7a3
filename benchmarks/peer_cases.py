"""Against ONNX Runtime: MultiHeadAttention for prefill, GroupQueryAttention for decode; it has no bfloat16."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import torch

import npufa
from cases import F16, F32, Accuracy, Case, Sides, Tensors, exact_rows, inputs, sampled_rows
from decode_cases import BATCH, HEADS, LENGTH, SIZE, Decode

PEER = "ONNX Runtime"


def _prefill(heads: int, length: int, size: int, causal: bool, dtype: torch.dtype) -> Sides:
    import onnx_peer

    query, key, value = inputs((1, length, heads * size), dtype)
    peer = onnx_peer.Prefill(query, key, value, heads, causal)
    rows = sampled_rows(length)
    split = [x.view(1, length, heads, size).transpose(1, 2) for x in (query, key, value)]

    def part(result: Tensors) -> Tensors:
        return (result[0].view(1, length, heads, size).transpose(1, 2)[:, :, rows],)

    return Sides(
        lambda: npufa.npu_fusion_attention(
            query, key, value, heads, "BSH", scale=1.0 / math.sqrt(size), sparse_mode=3 if causal else 0
        )[:1],
        peer.run,
        Accuracy(lambda: (exact_rows(*split, rows, causal),), part, part),
    )


def _decode(kv_heads: int, dtype: torch.dtype) -> Sides:
    import onnx_peer

    problem = Decode.create(kv_heads, dtype)
    peer = onnx_peer.Decode(problem.query, problem.key, problem.value)
    own = problem.accuracy()
    return Sides(problem.run("npu_incre_flash_attention"), peer.run, own)


def peer_cases() -> Iterator[Case]:
    """Prefill in float32, decode in float32 and float16."""
    heads = 8
    for length, size, causal in product((1024, 4096), (64, 128), (True, False)):
        yield Case(
            "peer",
            "npu_fusion_attention",
            f"B1 N{heads} S{length} D{size} {'causal' if causal else 'full'}",
            F32,
            PEER,
            1.0,
            length == 1024,
            lambda s=length, d=size, c=causal: _prefill(heads, s, d, c, F32),
        )
    for dtype, kv_heads in product((F16, F32), (HEADS, 8)):
        yield Case(
            "peer",
            "npu_incre_flash_attention",
            f"B{BATCH} N{HEADS}/{kv_heads} KV{LENGTH} D{SIZE}",
            dtype,
            PEER,
            1.0,
            kv_heads == 8,
            lambda n=kv_heads, t=dtype: _decode(n, t),
        )
