"""Section 2.1: training by npu_fusion_attention, padded and packed; memory and speed against standard attention."""

from __future__ import annotations

import math
import warnings

import torch
from measuring import peak_megabytes, speed_ratio, standard_attention
from torch import Tensor

import npufa
from report import Report

BATCH, LENGTH, HEADS, DIM = 2, 512, 8, 64
SCALE = 1.0 / math.sqrt(DIM)


def _call(query: Tensor, key: Tensor, value: Tensor, **others: float) -> Tensor:
    return npufa.npu_fusion_attention(query, key, value, head_num=query.shape[1], input_layout="BNSD", scale=SCALE,
                                      sparse_mode=3, **others)[0]


def show(report: Report, device: str) -> None:
    query, key, value = (torch.randn(BATCH, HEADS, LENGTH, DIM, dtype=torch.float16).to(device) for _ in range(3))
    output, softmax_max, softmax_sum, _, _, _, _ = npufa.npu_fusion_attention(
        query, key, value, head_num=HEADS, input_layout="BNSD", scale=SCALE, keep_prob=0.9, sparse_mode=3)
    report.check("the guide's call returns (2, 8, 512, 64) and seven results", output.shape == (2, 8, 512, 64))
    expected = standard_attention(*(x.cpu().float() for x in (query, key, value)), SCALE)
    error = (_call(query, key, value).cpu().float() - expected).abs().max().item()
    report.check("without dropout it is standard attention", error < 4e-3, f"largest difference {error:.1e}")
    _packed(report, device)
    if device == "cpu":
        _costs(report)


def _packed(report: Report, device: str) -> None:
    lengths = [100, 200, 150, 550]  # plain lengths, as in the guide; the documented form is cumulative
    query, key, value = (torch.randn(sum(lengths), HEADS, DIM, dtype=torch.float16).to(device) for _ in range(3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        output, *_ = npufa.npu_fusion_attention(
            query, key, value, head_num=HEADS, input_layout="TND", scale=SCALE, actual_seq_qlen=lengths,
            actual_seq_kvlen=lengths, sparse_mode=0)
    for warning in caught:
        report.say(f"  warning: {warning.message}")
    pieces = [standard_attention(*(x.cpu().float().transpose(0, 1) for x in parts), SCALE, causal=False).transpose(0, 1)
              for parts in zip(*(x.split(lengths) for x in (query, key, value)), strict=True)]
    error = (output.cpu().float() - torch.cat(pieces)).abs().max().item()
    report.check("four packed sequences do not see each other", error < 4e-3, f"largest difference {error:.1e}")


def _costs(report: Report) -> None:
    """Promises of section 1.1: two to four times as fast, memory O(N)."""

    def step(attention: str, length: int) -> None:
        torch.manual_seed(0)
        inputs = [torch.randn(1, 1, length, DIM, requires_grad=True) for _ in range(3)]
        output = _call(*inputs) if attention == "ours" else standard_attention(*inputs, SCALE)
        output.sum().backward()

    step("ours", 1024)
    memory = {length: peak_megabytes(lambda n=length: step("ours", n)) for length in (2048, 4096, 8192)}
    matrix = peak_megabytes(lambda: step("standard", 4096))
    report.say("  peak MB of a training step, one float32 head: "
               + ", ".join(f"S{length} {peak:.0f}" for length, peak in memory.items())
               + f"; standard attention S4096 {matrix:.0f}")
    # For S 8192 eight tensors of S x D floats and the statistics are 16.5 MB; the score matrix alone would be 256 MB.
    report.check("memory is O(N): twice the length takes about twice as much",
                 memory[4096] < 3 * memory[2048] and 16 < memory[8192] < 3 * memory[4096])
    report.check("and takes a fraction of standard attention at half the length", memory[8192] < matrix / 3)
    query, key, value = (torch.randn(1, HEADS, 2048, DIM) for _ in range(3))
    ratio = speed_ratio(lambda: _call(query, key, value), lambda: standard_attention(query, key, value, SCALE))
    report.check("2 to 4 times as fast as standard attention (float32, causal, S 2048)", ratio > 2.0, f"{ratio:.1f} x")
