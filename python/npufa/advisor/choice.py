"""Which operator for what, with which settings, and which there are."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from .tables import OPERATORS

# Best first; an older version gets the next.
_CHOICES = {
    "training": ("npu_fusion_attention",),
    "training_graph": ("npu_fusion_attention_v3",),
    "inference": ("npu_fused_infer_attention_score", "npu_incre_flash_attention"),
    "prefill": ("npu_fused_infer_attention_score", "npu_prompt_flash_attention"),
    "decode": ("npu_fused_infer_attention_score", "npu_incre_flash_attention"),
    "vllm": ("npu_advance_step_flashattn",),
    "research": ("npu_fused_infer_attention_score", "npu_incre_flash_attention"),
}
_PROBE = """
import torch, torch_npu
print("\\n".join(name for name in {names!r} if hasattr(torch_npu, name)))
"""


def choose_operator(use_case: str, *, version: str | None = None, sinks: bool = False) -> str:
    """Returns the name of the operator to use.

    Args:
        use_case: "training", "training_graph" (captured or compiled), "inference", "prefill", "decode", "vllm" or
            "research".
        version: of torch or torch_npu, "2.3.1" or "2.10.0.post2"; None for npufa, which has all operators.
        sinks: the model has attention sinks, which only version 2 of the inference operator takes.

    Raises:
        ValueError: an unknown use case, a string that is no version, or a version without a suitable operator.

    Source: usage guide, section 7.1, whose comparison of versions as strings took 2.10 for older than 2.3.
    """
    if use_case not in _CHOICES:
        raise ValueError(f"npufa.advisor.choose_operator: use_case is unknown, got {use_case!r}; expected one of "
                         f"{', '.join(_CHOICES)}")
    names = _CHOICES[use_case]
    if sinks and names[0].startswith("npu_fused_infer"):
        names = ("npu_fused_infer_attention_score_v2",)
    given = None if version is None else _version(version)
    for name in names:
        if given is None or given >= Version(OPERATORS[name].since):
            return name
    raise ValueError(f"npufa.advisor.choose_operator: version has no operator for {use_case}, got {version}; expected "
                     f"at least {min((OPERATORS[n].since for n in names), key=Version)}")


def _version(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        raise ValueError(f"npufa.advisor.choose_operator: version cannot be read, got {text!r}; "
                         "expected one like '2.3.1'") from None
    # 2.3.0rc1 has the operators of 2.3.
    return Version(version.base_version)


def recommended_config(operator: str, use_case: str, *, head_dim: int) -> dict[str, Any]:
    """Returns keyword arguments to start from; what depends on the tensors (heads, layout, lengths) is left out.

    Args:
        operator: name of an attention operator.
        use_case: "training" or "inference".
        head_dim: D; the scale is 1 / sqrt(D), which the operators do not assume.

    Raises:
        ValueError: no such operator or use case, training with an operator that has no gradient, or a `head_dim`
            below 1.

    Source: usage guide, section 7.1, with the scale, which it leaves at 1, without log-sum-exp, which it always asks
    for, and without `inner_precise`, which makes no difference in npufa.
    """
    if operator not in OPERATORS or operator == "npu_advance_step_flashattn":
        raise ValueError(f"npufa.advisor.recommended_config: operator is no attention operator, got {operator!r}; "
                         f"expected one of {', '.join(n for n in OPERATORS if n != 'npu_advance_step_flashattn')}")
    if use_case not in ("training", "inference"):
        raise ValueError(f"npufa.advisor.recommended_config: use_case is unknown, got {use_case!r}; "
                         "expected 'training' or 'inference'")
    if head_dim < 1:
        raise ValueError(f"npufa.advisor.recommended_config: head_dim is too small, got {head_dim}; "
                         "expected at least 1")
    scale = head_dim ** -0.5
    if "fusion" in operator:
        return {"scale": scale, "keep_prob": 0.9 if use_case == "training" else 1.0, "sparse_mode": 3}
    if use_case == "training":
        raise ValueError(f"npufa.advisor.recommended_config: {operator} has no gradient, got use_case 'training'; "
                         "expected 'inference', or npu_fusion_attention")
    if operator == "npu_incre_flash_attention":
        return {"scale_value": scale}
    if operator == "npu_prompt_flash_attention":
        return {"scale_value": scale, "sparse_mode": 3}
    name = "softmax_scale" if operator.endswith("_v2") else "scale"
    return {name: scale, "sparse_mode": 3}


@dataclass(frozen=True)
class Availability:
    """Operators at hand.

    Attributes:
        npufa: in this package.
        torch_npu: in the installed torch_npu; empty without one.
        torch_npu_version: None without one.
        problem: why torch_npu cannot be used, or None.
    """

    npufa: tuple[str, ...]
    torch_npu: tuple[str, ...]
    torch_npu_version: str | None
    problem: str | None


def available_operators() -> Availability:
    """Returns which operators npufa and the installed torch_npu have.

    torch_npu is imported in a process of its own, since without CANN that fails and may leave torch unusable; a
    torch_npu that this process has imported already is asked directly.
    """
    names = tuple(OPERATORS)
    try:
        version = importlib.metadata.version("torch_npu")
    except importlib.metadata.PackageNotFoundError:
        return Availability(names, (), None, "torch_npu is not installed")
    module = sys.modules.get("torch_npu")
    if module is not None:
        return Availability(names, tuple(n for n in names if hasattr(module, n)), version, None)
    probe = subprocess.run([sys.executable, "-c", _PROBE.format(names=names)], capture_output=True, text=True,
                           check=False, timeout=120)
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"])[-1]
        return Availability(names, (), version, f"import torch_npu fails: {reason}")
    return Availability(names, tuple(probe.stdout.split()), version, None)
