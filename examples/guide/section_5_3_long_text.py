"""Section 5.3: long text in bounded memory. The guide approximates by chunks and a summary; this is exact."""

from __future__ import annotations

import torch
from measuring import peak_megabytes, speed_ratio, standard_attention
from torch import Tensor

from npufa.long_context import long_context_attention, sliding_window_attention
from report import Report

HEADS, DIM = 2, 32
THRESHOLD = 4096


def _random(length: int, device: str) -> list[Tensor]:
    return [torch.randn(1, HEADS, length, DIM).to(device) for _ in range(3)]


def show(report: Report, device: str) -> None:
    length, budget = (8192, THRESHOLD) if device == "cpu" else (96, 32)
    query, key, value = _random(length, device)
    output, _ = long_context_attention(query, key, value, sparse_mode=3, max_tokens=budget)
    rows = torch.arange(0, length, 37)  # standard attention of some rows; all would need a matrix of length x length
    scores = (query.cpu()[:, :, rows].double() @ key.cpu().double().transpose(-1, -2)) * DIM**-0.5
    expected = scores.masked_fill(torch.arange(length) > rows[:, None], -torch.inf).softmax(-1) @ value.cpu().double()
    error = (output.cpu()[:, :, rows] - expected).abs().max().item()
    report.check(f"{length} tokens in pieces of {budget}: exact", error < 1e-5, f"largest difference {error:.1e}")
    if device != "cpu":
        return

    parts = [x[:, :, :2048] for x in (query, key, value)]
    ratio = speed_ratio(lambda: long_context_attention(*parts, sparse_mode=3, max_tokens=1024),
                        lambda: standard_attention(*parts, DIM**-0.5))
    report.check("faster than standard attention where that still fits (2048 tokens)", ratio > 1.0, f"{ratio:.1f} x")
    ratio = speed_ratio(lambda: sliding_window_attention(query, key, value, 512, sink_tokens=4),
                        lambda: long_context_attention(query, key, value, sparse_mode=3), rounds=3)
    report.check("a window of 512 with 4 sink tokens against all 8192 tokens: several times as fast", ratio > 3.0,
                 f"{ratio:.1f} x")

    longest = 131072
    peak = peak_megabytes(
        lambda: sliding_window_attention(*_random(longest, device), 256, sink_tokens=4, max_tokens=THRESHOLD))
    tensors = 4 * longest * HEADS * DIM * 4 / 2**20
    report.check(f"{longest} tokens: memory O(N)", peak < 1.6 * tensors,
                 f"{peak:.0f} MB, of which inputs and output are {tensors:.0f}; the score matrix would be "
                 f"{longest**2 * HEADS * 4 / 2**30:.0f} GB")
