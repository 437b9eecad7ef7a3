"""The modelled bars of the Ascend C kernels."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow(group="limits")
@pytest.mark.timeout(400)
def test_every_case_of_the_modelled_table_reaches_its_bar() -> None:
    run = subprocess.run(
        [sys.executable, "benchmarks/npu_model.py"], cwd=ROOT, capture_output=True, text=True, timeout=380, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "below" not in run.stdout and "causal" in run.stdout
