"""Section 6.2: the check list, asked of a call."""

from __future__ import annotations

import torch

import npufa
from npufa.advisor import advise
from report import Report


def show(report: Report, device: str) -> None:
    query = torch.randn(1, 96, 4 * 60, dtype=torch.float16, device=device)
    mask = torch.ones(96, 96, dtype=torch.bool, device=device).triu(1)
    call = {"head_num": 4, "input_layout": "BSH", "atten_mask": mask, "keep_prob": 0.9, "sync": True}
    findings = advise(query, query, query, operator="npu_fusion_attention", **call)
    for finding in findings:
        report.say(f"  {finding}")
    codes = {finding.code for finding in findings}
    report.check("mask, scale and dropout without training are found", {"dense_mask", "scale", "dropout"} <= codes)
    report.check("layout, head size and sync are mentioned: they make no difference here",
                 {"layout", "head_dim", "sync"} <= codes)
    better = {"head_num": 4, "input_layout": "BSH", "scale": 60**-0.5, "sparse_mode": 3}
    report.check("after the fixes no warning is left",
                 not [f for f in advise(query, query, query, operator="npu_fusion_attention", **better)
                      if f.severity != "info" and f.code != "operator"])
    npufa.npu_fusion_attention(query, query, query, **better)
