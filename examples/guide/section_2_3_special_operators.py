"""Section 2.3: the operators for prefill alone, decode alone, and vLLM's step."""

from __future__ import annotations

import math

import torch

import npufa
from report import Report

HEADS, DIM = 8, 64
SCALE = 1.0 / math.sqrt(DIM)


def show(report: Report, device: str) -> None:
    query, key, value = (torch.randn(1, HEADS, 96, DIM, dtype=torch.float16).to(device) for _ in range(3))
    prefill_out = npufa.npu_prompt_flash_attention(
        query, key, value, num_heads=HEADS, scale_value=SCALE, input_layout="BNSD", sparse_mode=3, pre_tokens=65535,
        next_tokens=0)
    decode_out = npufa.npu_incre_flash_attention(
        query[:, :, -1:], key, value, num_heads=HEADS, scale_value=SCALE, input_layout="BNSD", actual_seq_lengths=[96])
    error = (decode_out - prefill_out[:, :, -1:]).abs().max().item()
    report.check("decode of the last token equals the last row of prefill", error < 2e-3, f"difference {error:.1e}")

    # Two sequences of 15 and 16 cached tokens: the second goes on in its next block.
    tokens, positions, lengths, slots = (torch.tensor(x).to(device) for x in ([3, 4], [14, 15], [15, 16], [14, 47]))
    block_tables = torch.tensor([[0, 1], [2, 5]]).to(device)
    npufa.npu_advance_step_flashattn(tokens, torch.tensor([[71], [72]]).to(device), positions, lengths, slots,
                                     block_tables, num_seqs=2, num_queries=2, block_size=16)
    state = [x.tolist() for x in (tokens, positions, lengths, slots)]
    report.check("advance_step moves tokens, positions, lengths and slots in place",
                 state == [[71, 72], [15, 16], [16, 17], [15, 5 * 16]], str(state))
