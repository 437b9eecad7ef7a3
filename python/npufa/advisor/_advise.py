"""Advice about one call of an attention operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..robust._call import Call
from ._finding import Finding, by_severity
from ._rules import RULES, captured_lengths


def advise(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *args: Any,
    operator: str | Callable[..., Any] = "npu_fused_infer_attention_score",
    graph: bool = False,
    **call: Any,
) -> list[Finding]:
    """Returns what could be better about a call, errors first; nothing is computed.

    The operator's own checks run on meta tensors: an illegal call is a finding with the operator's message. Masks,
    biases and large key/value tensors are compared with the rules they may spell out, which reads them (an NPU is
    waited for).

    Args:
        query, key, value: of the call.
        args: further positional arguments of the call (`head_num`, `input_layout` of the training operators).
        operator: of npufa, or its name.
        graph: the call is meant for a captured NPU graph. A capture that is under way is noticed anyway.
        call: the other arguments of the call.

    Raises:
        ValueError: no attention operator of npufa.

    Source: usage guide, sections 4.4 and 6; figures of time come from `npufa.sim`, modelled.
    """
    try:
        bound = Call.bind(operator, (query, key, value, *args), call)
    except TypeError as error:
        return [Finding("error", "arguments", str(error), "see help() of the operator")]
    try:
        bound.on_meta()
    except (RuntimeError, ValueError, TypeError) as error:
        return _illegal(bound, str(error))
    findings = [finding for rule in RULES for finding in rule(bound)]
    return by_severity([*findings, *captured_lengths(bound, graph)])


def _illegal(call: Call, message: str) -> list[Finding]:
    what, _, expected = message.partition("; expected ")
    findings = [Finding("error", "illegal", what, f"pass {expected}" if expected else "see help() of the operator")]
    mask = call["atten_mask"]
    if isinstance(mask, Tensor) and mask.is_floating_point():
        findings.append(Finding("error", "float_mask", f"atten_mask is {mask.dtype}; the operators take 1 = masked out",
                                "pass atten_mask < 0 of an additive mask (0 and -inf), or sparse_mode", "atten_mask",
                                mask.numel() * (mask.element_size() - 1)))
    return findings
