"""Section 7.3: degrading through kernel, CPU and torch, with the right semantics at every level."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import npufa
from npufa.robust import RobustAttention
from report import Report

SETTINGS = {"num_heads": 4, "num_key_value_heads": 2, "input_layout": "BSND", "scale": 0.25, "sparse_mode": 4,
            "pre_tokens": 20, "next_tokens": 0, "actual_seq_lengths_kv": [40, 57]}  # fmt: skip


class Broken(TorchDispatchMode):
    """npufa's kernels fail on some devices; shape functions (meta tensors) work."""

    def __init__(self, *devices: str) -> None:
        super().__init__()
        self.devices = devices

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN201
        if func.namespace == "npufa" and args[0].device.type in self.devices:
            raise RuntimeError("kernel launch failed")
        return func(*args, **(kwargs or {}))


def show(report: Report, device: str) -> None:
    query = torch.randn(2, 48, 4, 16).to(device)
    key, value = (torch.randn(2, 64, 2, 16).to(device) for _ in range(2))
    call = npufa.npu_fused_infer_attention_score
    expected = call(query, key, value, **SETTINGS)[0]
    for failing, level in ((("npu",), "cpu"), (("npu", "cpu"), "torch")):
        if level == "cpu" and device == "cpu":
            continue
        robust = RobustAttention(fallback_to_cpu=True, fallback_to_torch=True)
        with Broken(*failing):
            output = robust(call, query, key, value, **SETTINGS)[0]
        error = (output - expected).abs().max().item()
        report.check(f"level {level}: layout, band, groups and lengths are kept",
                     error < 1e-4 and output.device == query.device,
                     f"largest difference {error:.1e}, {robust.counts}")

    message = ""
    try:
        RobustAttention()(call, query, key, value[:, :9], **SETTINGS)
    except RuntimeError as error:
        message = str(error)
    report.say(f"  {message}")
    report.check("a wrong call stays an error", message.startswith("npufa::"))
    halves = RobustAttention()

    class LittleMemory(Broken):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN201
            if func.namespace == "npufa" and not args[0].is_meta and args[0].shape[0] > 1:
                raise torch.OutOfMemoryError("NPU out of memory")
            return func(*args, **(kwargs or {}))

    with LittleMemory():
        output = halves(call, query, key, value, **SETTINGS)[0]
    report.check("the batch adapts to the memory there is", torch.equal(output, expected), str(halves.counts))
