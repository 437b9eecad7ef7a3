"""Section 5.2: a text branch with causal, a vision branch with band attention, and a fusion layer, trained together."""

from __future__ import annotations

from dataclasses import replace

import multimodal_training as training
from multimodal_model import MultimodalConfig
from report import Report

SECONDS = 60.0  # at most: about 10 on a machine without other jobs


def show(report: Report, device: str) -> None:
    if device == "cpu":
        result = training.train("npufa", 80, seconds=SECONDS)
        first, last = (training.mean(part) for part in (result.losses[:5], result.losses[-5:]))
        report.check("training lowers the loss", last < 0.8 * first, f"{first:.2f} -> {last:.2f} nats per word")
        training.show_agreement(report)
        training.show_costs(report)
        return
    config = replace(MultimodalConfig(image_size=16, width=32, vision_layers=1), keep_prob=1.0)
    ours, cpu = (training.train("npufa", 3, config=config, device=where, batch=2).losses for where in (device, "cpu"))
    gap = max(abs(x - y) for x, y in zip(ours, cpu, strict=True))
    report.check("training on the NPU takes the steps of the CPU", gap < 1e-3, f"largest difference {gap:.1e}")
