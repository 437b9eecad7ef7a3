"""npufa.info() and python -m npufa."""

import dataclasses
import json
import os
import platform
import subprocess
import sys

import pytest
import torch

import npufa
from npufa import _info


def run(*arguments, **variables):
    return subprocess.run([sys.executable, *arguments], env=os.environ | variables, capture_output=True, text=True)


def test_fields():
    found = npufa.info()
    assert (found.npufa, found.torch, found.python) == (npufa.__version__, torch.__version__, platform.python_version())
    assert found.cpu_capability == torch.ops.npufa._cpu_capability()
    assert found.cpu_capability in found.cpu_capabilities and "generic" in found.cpu_capabilities
    assert found.threads == torch.get_num_threads()


def test_threads_are_those_of_torch():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert npufa.info().threads == before + 1
    finally:
        torch.set_num_threads(before)


def test_cann_and_torch_npu(monkeypatch):
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    assert npufa.info().cann is None
    monkeypatch.setenv("ASCEND_HOME_PATH", "/opt/cann")
    monkeypatch.setattr(_info, "_version_of", {"torch-npu": "2.13.0"}.get)
    found = npufa.info()
    assert (found.cann, found.torch_npu) == ("/opt/cann", "2.13.0")
    monkeypatch.undo()
    assert _info._version_of("no-such-distribution") is None


def test_capability_is_forced_by_the_environment():
    done = run("-m", "npufa", "info", "--json", NPUFA_CPU_CAPABILITY="generic")
    assert json.loads(done.stdout)["cpu_capability"] == "generic"
    refused = run("-m", "npufa", "info", NPUFA_CPU_CAPABILITY="mmx")
    assert refused.returncode != 0 and "mmx" in refused.stderr


def test_command_line_prints_every_field():
    fields = dataclasses.asdict(npufa.info())
    assert json.loads(run("-m", "npufa", "info", "--json").stdout).keys() == fields.keys()
    assert [line.split()[0] for line in run("-m", "npufa", "info").stdout.splitlines()] == list(fields)


def test_command_line_without_a_command():
    done = run("-m", "npufa")
    assert done.returncode == 2 and "usage: python -m npufa" in done.stderr


@pytest.fixture
def torch_npu_without_cann(tmp_path):
    package = tmp_path / "torch_npu"
    package.mkdir()
    package.joinpath("__init__.py").write_text("raise ImportError('libhccl.so: cannot open shared object file')\n")
    metadata = tmp_path / "torch_npu-2.13.0.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: torch-npu\nVersion: 2.13.0\n")
    metadata.joinpath("entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    return {"PYTHONPATH": str(tmp_path)}


# What an environment without npufa_autoload.pth starts with.
WITHOUT_PTH = "import os; os.environ.pop('TORCH_DEVICE_BACKEND_AUTOLOAD', None); "


def test_torch_npu_that_cannot_load(torch_npu_without_cann):
    assert "libhccl" in run("-c", WITHOUT_PTH + "import torch", **torch_npu_without_cann).stderr
    done = run("-c", WITHOUT_PTH + "import npufa; print(npufa.info().torch_npu)", **torch_npu_without_cann)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2.13.0\n"


def test_environment_is_left_as_it_was(torch_npu_without_cann):
    code = WITHOUT_PTH + "import npufa; print(os.environ.get('TORCH_DEVICE_BACKEND_AUTOLOAD'))"
    done = run("-c", code, **torch_npu_without_cann)
    assert done.stdout == "None\n"
