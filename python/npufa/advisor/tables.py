"""What hardware and which versions have, as data.

Sources: the usage guide, sections 3.1 and 3.2; "npufa" columns: this package. "verified" versions: the operator is in
that torch_npu wheel; nothing is known here of older ones.
"""

from __future__ import annotations

from typing import NamedTuple


class OperatorEntry(NamedTuple):
    """An operator: first version of torch (torch_npu has the same numbers), the source of that, and its purpose."""

    since: str
    source: str
    purpose: str


OPERATORS = {
    "npu_fusion_attention": OperatorEntry("2.1", "guide", "training: dropout, bias, packed batches; differentiable"),
    "npu_fusion_attention_v2": OperatorEntry("2.13", "verified", "training with rotary parts and ALiBi inside"),
    "npu_fusion_attention_v3": OperatorEntry("2.13", "verified", "training in captured and compiled graphs"),
    "npu_prompt_flash_attention": OperatorEntry("2.3", "guide", "prefill"),
    "npu_incre_flash_attention": OperatorEntry("2.1", "guide", "decode, one token per sequence"),
    "npu_fused_infer_attention_score": OperatorEntry("2.3", "guide", "prefill and decode in one operator"),
    "npu_fused_infer_attention_score_v2": OperatorEntry("2.13", "verified", "the same with sinks"),
    "npu_advance_step_flashattn": OperatorEntry("2.5", "guide", "bookkeeping between decode steps (vLLM)"),
}


class HardwareEntry(NamedTuple):
    """A product as the guide has it; `npufa` tells whether the kernels of this package are made for its chip."""

    training: bool
    inference: bool
    quantisation: str
    paged_cache: str
    purpose: str
    npufa: bool


HARDWARE = {
    "Atlas 200I A2": HardwareEntry(False, True, "basic", "no", "edge inference", False),
    "Atlas 300I A2": HardwareEntry(False, True, "complete", "no", "cloud inference", False),
    "Atlas 300T A2": HardwareEntry(True, True, "complete", "partial", "training and inference", True),
    "Atlas 800 A2": HardwareEntry(True, True, "complete", "yes", "enterprise training", True),
    "Atlas 900 A3": HardwareEntry(True, True, "best", "yes", "very large scale", True),
}
