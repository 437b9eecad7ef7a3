"""Imports torch and npufa and prints a line of JSON per step: executed by the doctor in a process of its own, because a
broken library may end it."""

import json
import sys


def torch_step():
    import torch

    return {"version": torch.__version__}


def npufa_step():
    import npufa

    return {"cpu_capability": npufa.info().cpu_capability, "operators": hasattr(npufa, "npu_fusion_attention")}


def sim_step():
    import npufa.sim

    return {"chips": list(npufa.sim.chips())}


def torch_npu_step():
    import torch
    import torch_npu

    count = torch.npu.device_count()
    return {"version": torch_npu.__version__, "devices": [torch.npu.get_device_name(i) for i in range(count)]}


STEPS = {"torch": torch_step, "npufa": npufa_step, "sim": sim_step, "torch_npu": torch_npu_step}


def explain(error):
    """The first line of the error that says something, with its type."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


for step in sys.argv[1:]:
    print(json.dumps({"step": step, "begins": True}), flush=True)
    try:
        result = STEPS[step]()
    except BaseException as error:
        result = {"error": explain(error)}
    print(json.dumps({"step": step, **result}), flush=True)
