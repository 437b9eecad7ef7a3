"""The operators' own tests (tests/ops) with every call on the simulated NPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cases.all_on_npu import FILES

TESTS = Path(__file__).resolve().parents[2]


@pytest.mark.slow(group="programs")
@pytest.mark.simulator  # elsewhere `./build.sh test --device npu` runs them itself
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FILES)
def test_operators_on_the_device(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "cases.all_on_npu", "-p", "no:cacheprovider",
               "-m", "not slow", f"ops/test_{name}.py"]  # fmt: skip
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False,
                         env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
