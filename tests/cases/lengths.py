"""Calls with their lengths as tensors, which an NPU does not copy to the host."""

from __future__ import annotations

import dataclasses

import torch

from reference.lengths import reading

from .model import Case

ARGUMENTS = ("actual_seq_lengths", "actual_seq_lengths_kv", "actual_seq_qlen", "actual_seq_kvlen")
PACKED = (("actual_seq_qlen", "query"), ("actual_seq_kvlen", "key"))
ONLY_V1 = ("dropout_mask", "seed", "offset", "numels")


def _tensor_operator(op: str) -> str | None:
    """The operator or overload that takes the same call with tensors."""
    if op == "npu_fusion_attention_grad":
        return "npu_fusion_attention_grad_v3"
    return None if "fusion" in op else f"{op}.tensor_lengths"


def with_tensor_lengths(case: Case, dtype: torch.dtype = torch.int64) -> Case | None:
    """The same call with its lists of lengths as tensors; None where it has none, plain ones, or
    needs them on the host."""
    kwargs = case.kwargs
    names = [name for name in ARGUMENTS if isinstance(kwargs.get(name), (list, tuple))]
    op = _tensor_operator(case.op)
    if not names or op is None or kwargs.get("keep_prob", 1.0) < 1.0:
        return None
    if "fusion" in op and reading(*((kwargs[n], kwargs[t].shape[0]) for n, t in PACKED)) == "plain":
        return None
    tensors = {name: torch.tensor(kwargs[name], dtype=dtype) for name in names}
    if "fusion" in op:
        kwargs = {name: value for name, value in kwargs.items() if name not in ONLY_V1}
    return dataclasses.replace(case, op=op, kwargs={**kwargs, **tensors})
