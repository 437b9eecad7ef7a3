"""Section 7.1: which operator, with which settings. Versions are compared as versions: 2.10 is newer than 2.3."""

from __future__ import annotations

import torch

import npufa
from npufa.advisor import choose_operator, recommended_config
from report import Report

EXPECTED = {
    ("training", "2.1"): "npu_fusion_attention",
    ("inference", "2.10"): "npu_fused_infer_attention_score",
    ("inference", "2.1"): "npu_incre_flash_attention",
    ("vllm", "2.5"): "npu_advance_step_flashattn",
    ("research", "2.3"): "npu_fused_infer_attention_score",
}


def show(report: Report, device: str) -> None:
    for (use_case, version), operator in EXPECTED.items():
        report.check(f"{use_case} with {version}", choose_operator(use_case, version=version) == operator, operator)
    message = ""
    try:
        choose_operator("vllm", version="2.3")
    except ValueError as error:
        message = str(error)
    report.say(f"  {message}")
    report.check("vLLM's operator needs 2.5", "2.5" in message)

    query = torch.randn(1, 2, 32, 16, dtype=torch.float16, device=device)
    settings = recommended_config("npu_fused_infer_attention_score", "inference", head_dim=16)
    npufa.npu_fused_infer_attention_score(query, query, query, num_heads=2, input_layout="BNSD", **settings)
    report.check("the recommended settings are a legal call", settings == {"scale": 0.25, "sparse_mode": 3},
                 str(settings))
