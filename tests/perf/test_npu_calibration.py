"""The time model against published measurements."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def calibrate(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "benchmarks/npu_calibration.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip


def test_vector_rows_are_as_measured() -> None:
    run = calibrate("--filter", "1000 Adds")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("1000 Adds") == 8 and "off" not in run.stdout


@pytest.mark.slow(group="limits")
@pytest.mark.timeout(400)
def test_every_row_is_as_measured() -> None:
    run = calibrate()
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(" %") == 45 + 2  # two rows have one in their names
