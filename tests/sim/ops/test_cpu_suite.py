"""The operators' own tests (tests/ops) with every call on the simulated NPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
FILES = ("corners", "dropout", "fused_infer", "fusion_forward", "fusion_grad", "incre", "prompt", "quantisation")
# These compare with a call of their own on the CPU, or are about its threads.
ABOUT_THE_CPU = ("positional_arguments", "older_spelling", "huge_strides", "threads_at_once", "thread_counts")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FILES)
def test_operators_on_the_device(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "cases.all_on_npu", "-p", "no:cacheprovider", "-m", "not slow",
               "-k", " and ".join(f"not {part}" for part in ABOUT_THE_CPU), f"ops/test_{name}.py"]  # fmt: skip
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False,
                         env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
