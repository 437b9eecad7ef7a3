"""Section 3.3: from incre alone (2.1) to the unified operator (2.3+), which decodes and prefills."""

from __future__ import annotations

import torch
from torch import Tensor

import npufa
from report import Report

HEADS, DIM = 4, 32
SHARED = {"num_heads": HEADS, "input_layout": "BSND"}


def old_inference(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    if query.shape[1] != 1:
        raise NotImplementedError("prefill is not supported by npu_incre_flash_attention")
    return npufa.npu_incre_flash_attention(query, key, value, scale_value=DIM**-0.5, actual_seq_lengths=[length],
                                           **SHARED)


def new_inference(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    return npufa.npu_fused_infer_attention_score(query, key, value, scale=DIM**-0.5, actual_seq_lengths_kv=[length],
                                                 sparse_mode=3, **SHARED)[0]


def show(report: Report, device: str) -> None:
    key, value = (torch.randn(1, 64, HEADS, DIM, dtype=torch.float16).to(device) for _ in range(2))
    query = torch.randn(1, 8, HEADS, DIM, dtype=torch.float16).to(device)
    old, new = (run(query[:, -1:], key, value, 40) for run in (old_inference, new_inference))
    report.check("one token: old and new give the same", torch.equal(old, new))
    chunk = new_inference(query, key, value, 40)
    error = (chunk[:, -1:] - new).abs().max().item()
    report.check("many tokens: the new one prefills, its last row is the decoded one", error < 2e-3, f"{error:.1e}")
