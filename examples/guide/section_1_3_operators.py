"""Section 1.3: the operators at a glance."""

from __future__ import annotations

import npufa
from report import Report

TRAINING = ("npu_fusion_attention",)
INFERENCE = ("npu_incre_flash_attention", "npu_prompt_flash_attention", "npu_fused_infer_attention_score",
             "npu_advance_step_flashattn")  # fmt: skip


def show(report: Report, device: str) -> None:
    for name in (*TRAINING, *INFERENCE):
        report.say(f"  {name}: {getattr(npufa, name).__doc__.splitlines()[0]}")
    report.check("all five operators are there", all(hasattr(npufa, name) for name in (*TRAINING, *INFERENCE)))
