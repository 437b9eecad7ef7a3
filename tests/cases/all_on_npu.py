"""pytest plugin: every Case runs on the simulated NPU. `pytest -p cases.all_on_npu tests/ops` tests the CPU's suite there."""

import pytest
import torch

from .device import SOC
from .model import Case
from .on_npu import call_on_npu

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def _call(case, **changes):
    for value in {**case.kwargs, **changes}.values():
        if isinstance(value, torch.Tensor) and value.dtype in FLOAT8:
            pytest.skip("float8 caches raise on the NPU")
    return call_on_npu(case, **changes)


def pytest_configure(config):
    import npufa.sim

    npufa.sim.enable(SOC)
    Case.call = _call
