"""Sequences of uneven length: packed (TND) against SDPA on the padded batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle, product

import torch
import torch.nn.functional as F

import npufa
from cases import BF16, F32, Accuracy, Case, Sides, Tensors, exact_rows, inputs
from timing import Run

HEADS, SIZE, LENGTHS = 8, 128, (2048, 1024, 700, 300, 24)
FUSION, INFER = "npu_fusion_attention", "npu_fused_infer_attention_score"


def _varlen(operator: str, causal: bool, dtype: torch.dtype) -> Sides:
    ends = torch.tensor(LENGTHS).cumsum(0).tolist()
    packed = inputs((sum(LENGTHS), HEADS, SIZE), dtype)
    padded = [
        torch.nn.utils.rnn.pad_sequence(list(x.split(LENGTHS)), batch_first=True).transpose(1, 2).contiguous()
        for x in packed
    ]
    taken = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    # Padding lies to the right: under a causal mask SDPA needs no padding mask.
    sdpa = {"is_causal": True} if causal else {"attn_mask": taken[:, None, None, :]}
    scale, mode = 1.0 / math.sqrt(SIZE), 3 if causal else 0
    ours: dict[str, Run] = {
        FUSION: lambda: npufa.npu_fusion_attention(
            *packed, HEADS, "TND", scale=scale, sparse_mode=mode, actual_seq_qlen=ends, actual_seq_kvlen=ends
        )[:1],
        INFER: lambda: npufa.npu_fused_infer_attention_score(
            *packed,
            num_heads=HEADS,
            input_layout="TND",
            scale=scale,
            sparse_mode=mode,
            actual_seq_lengths=ends,
            actual_seq_lengths_kv=ends,
        )[:1],
    }

    def exact() -> Tensors:
        rows = []
        for sequence in zip(*(x.split(LENGTHS) for x in packed), strict=True):
            query, key, value = (x.transpose(0, 1)[None] for x in sequence)
            rows.append(exact_rows(query, key, value, torch.arange(query.shape[2]), causal)[0].transpose(0, 1))
        return (torch.cat(rows),)

    return Sides(
        ours[operator],
        lambda: (F.scaled_dot_product_attention(*padded, **sdpa),),
        Accuracy(exact, lambda result: result, lambda result: (result[0].transpose(1, 2)[taken],)),
    )


def varlen_cases() -> Iterator[Case]:
    """Every dtype and mask, the operators in turn."""
    operators = cycle((FUSION, INFER))
    for dtype, causal in product((BF16, F32), (True, False)):
        operator = next(operators)
        yield Case(
            "varlen",
            operator,
            f"B{len(LENGTHS)} N{HEADS} T{sum(LENGTHS)} Smax{max(LENGTHS)} D{SIZE} {'causal' if causal else 'full'}",
            dtype,
            "SDPA, padded",
            3.0,
            causal,
            lambda o=operator, c=causal, t=dtype: _varlen(o, c, t),
        )
