"""Section 4.1: the sparse modes, each against the mask that it stands for."""

from __future__ import annotations

import torch
from measuring import speed_ratio

import npufa
from report import Report

LENGTH, HEADS, DIM = 96, 2, 32
SEGMENTS = torch.arange(LENGTH) // 24  # BERT: four segments of a batch that do not see each other

CONFIGS = {
    "gpt_training": {"sparse_mode": 3, "pre_tockens": 65535, "next_tockens": 0},
    "bert_training": {"sparse_mode": 0, "atten_mask": SEGMENTS[:, None] != SEGMENTS},
    "local_attention": {"sparse_mode": 4, "pre_tockens": 16, "next_tockens": 16},
    "prefix_lm": {"sparse_mode": 5, "prefix": [30], "pre_tockens": 65535, "next_tockens": 0},
}
_I, _J = torch.arange(LENGTH)[:, None], torch.arange(LENGTH)
KEPT = {
    "gpt_training": _J <= _I,
    "bert_training": SEGMENTS[:, None] == SEGMENTS,
    "local_attention": (_I - 16 <= _J) & (_J <= _I + 16),
    "prefix_lm": (_J <= _I) | (_J < 30),
}


def show(report: Report, device: str) -> None:
    query, key, value = (torch.randn(1, HEADS, LENGTH, DIM) for _ in range(3))
    scores = (query @ key.transpose(-1, -2)).double() * DIM**-0.5
    for name, config in CONFIGS.items():
        arguments = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in config.items()}
        output = npufa.npu_fusion_attention(*(x.to(device) for x in (query, key, value)), HEADS, "BNSD",
                                            scale=DIM**-0.5, **arguments)[0].cpu()
        expected = scores.masked_fill(~KEPT[name], float("-inf")).softmax(-1) @ value.double()
        error = (output - expected).abs().max().item()
        report.check(f"{name}: sparse_mode {config['sparse_mode']}", error < 1e-4, f"largest difference {error:.1e}")
    if device == "cpu":
        _skipped_tiles(report)


def _skipped_tiles(report: Report) -> None:
    query, key, value = (torch.randn(1, HEADS, 4096, DIM) for _ in range(3))

    def run(**arguments: int) -> None:
        npufa.npu_fusion_attention(query, key, value, HEADS, "BNSD", scale=DIM**-0.5, **arguments)

    ratio = speed_ratio(lambda: run(sparse_mode=4, pre_tockens=128, next_tockens=128), run)
    report.check("a band of 257 of 4096 keys skips what it does not see", ratio > 4.0, f"{ratio:.1f} x as fast as all")
