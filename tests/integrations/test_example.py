"""The example of docs/transformers.md as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "transformers_generate.py"


@pytest.mark.slow(group="programs")
def test_example_keeps_every_promise():
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
    result = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAILED" not in result.stdout and "All 12 checks passed." in result.stdout
