"""Section 6.3: which operators are there?"""

from __future__ import annotations

from npufa.advisor import available_operators
from report import Report


def show(report: Report, device: str) -> None:
    found = available_operators()
    report.say(f"  npufa: {', '.join(found.npufa)}")
    report.say(f"  torch_npu {found.torch_npu_version}: {', '.join(found.torch_npu) or found.problem}")
    report.check("the unified operator is there", "npu_fused_infer_attention_score" in found.npufa)
    report.check("torch_npu's are listed, or why not is said", bool(found.torch_npu) or bool(found.problem))
