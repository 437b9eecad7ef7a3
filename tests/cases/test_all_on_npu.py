"""The plugin of `./build.sh test --device npu`: what it says, what it skips, and which NPU it takes."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import npufa.sim
from cases import all_on_npu

TESTS = Path(__file__).resolve().parents[1]
SUITE = """
import pytest
from cases import random_case

def test_call_on_the_npu():
    case = random_case("prompt", 8)
    case.verify()
    import torch
    assert torch.npu.max_memory_allocated() > 0

@pytest.mark.simulator
def test_findings():
    raise AssertionError

def test_thread_counts():
    raise AssertionError
"""


def test_calls_are_made_on_the_simulated_npu(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "cases.all_on_npu", "-p", "no:cacheprovider",
               "-c", TESTS.parent / "pytest.ini", "--rootdir", tmp_path, tmp_path / "test_suite.py"]  # fmt: skip
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert "1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr
    for text in ("NPU: simulated Ascend910B3, no chip", "only the simulator can show it", "about the CPU"):
        assert text in done.stdout


@pytest.fixture
def cann(monkeypatch):
    """A host with CANN: the simulator stands aside, torch.npu is the chip's."""
    monkeypatch.setattr(npufa.sim, "enable", lambda soc: None)
    monkeypatch.setattr(npufa.sim, "status", lambda: npufa.sim.Status(None, True, "2.13.0", "/opt/libascendcl.so"))
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))
    npu = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "Ascend910B2")
    monkeypatch.setattr(torch, "npu", npu, raising=False)
    return npu


def test_a_real_chip_is_named(cann):
    assert all_on_npu._enable() == "real Ascend910B2, CANN in /opt/libascendcl.so"


def test_a_chip_that_cannot_be_used_ends_the_run(cann):
    cann.is_available = lambda: False
    with pytest.raises(pytest.UsageError, match="doctor --require npu"):
        all_on_npu._enable()
