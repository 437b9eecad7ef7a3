"""Section 7.2: monitoring in production."""

from __future__ import annotations

import torch

import npufa
from npufa.monitor import Monitor, Thresholds
from report import Report


def show(report: Report, device: str) -> None:
    query, key, value = (torch.randn(2, 8, 64, 32, dtype=torch.float16).to(device) for _ in range(3))
    monitor = Monitor(thresholds=Thresholds(error_rate=0.05, out_of_memory_rate=0.01, mean_ms=60_000.0))
    report.check("no data before the first call", monitor.health().status == "no_data")

    @monitor
    def monitored(value: torch.Tensor) -> torch.Tensor:
        return npufa.npu_fused_infer_attention_score(query, key, value, num_heads=8, input_layout="BNSD",
                                                     scale=32**-0.5, sparse_mode=3)[0]

    for _ in range(9):
        monitored(value)
    report.check("healthy after nine calls", monitor.health().status == "healthy")
    try:
        monitored(value[:, :, :7])
    except RuntimeError as error:
        report.say(f"  an error: {str(error)[:90]}...")
    health = monitor.health()
    report.say(monitor.table())
    report.check("one failure in ten is unhealthy", health.status == "unhealthy", "; ".join(health.reasons))
