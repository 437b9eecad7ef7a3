"""Section 6.1: wrong layout, mixed types, lack of memory."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import npufa
from npufa.robust import RobustAttention
from report import Report


def _message(run: object, *args: object, **kwargs: object) -> str:
    try:
        run(*args, **kwargs)
    except RuntimeError as error:
        return str(error)
    return ""


class LittleMemory(TorchDispatchMode):
    """A device on which one sequence at a time has room."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN201
        if func.namespace == "npufa" and not args[0].is_meta and args[0].shape[0] > 1:
            raise torch.OutOfMemoryError("NPU out of memory")
        return func(*args, **(kwargs or {}))


def show(report: Report, device: str) -> None:
    query, key, value = (torch.randn(2, 8, 64, 32, dtype=torch.float16).to(device) for _ in range(3))
    call = npufa.npu_fusion_attention
    message = _message(call, query, key, value, 8, "BSND")
    report.say(f"  1. {message}")
    report.check("the wrong layout is refused and the right one named", 'pass input_layout="BNSD"' in message)

    message = _message(call, query, key.float(), value, 8, "BNSD")
    report.say(f"  2. {message}")
    report.check("mixed types are refused by name", "key" in message and "float16" in message)

    settings = {"scale": 32**-0.5, "sparse_mode": 3}
    expected = call(query, key, value, 8, "BNSD", **settings)[0]
    robust = RobustAttention()
    with LittleMemory():
        output = robust(call, query, key, value, 8, "BNSD", **settings)[0]
    report.check("lack of memory: computed sequence by sequence, the same result",
                 torch.equal(output, expected), str(robust.counts))
