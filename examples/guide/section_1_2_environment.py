"""Section 1.2: is the environment ready? The guide asks torch_npu; npufa also runs where there is none."""

from __future__ import annotations

import torch

import npufa
from report import Report


def show(report: Report, device: str) -> None:
    info = npufa.info()
    report.say(f"  PyTorch {torch.__version__}, npufa {info.npufa}, CPU {info.cpu_capability}")
    x = torch.ones(1, 1, 16, 16, dtype=torch.float16, device=device)
    output = npufa.npu_prompt_flash_attention(x, x, x, num_heads=1, input_layout="BNSD", scale_value=0.25)
    report.check(f"an operator runs on {device}", torch.equal(output, x))
