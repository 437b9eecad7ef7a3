"""The usage guide's samples keep their promises: each section on the CPU; on the simulated NPU when asked for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECTIONS = sorted(path.stem for path in (EXAMPLES / "guide").glob("section_*.py"))
SLOW = {"section_5_2_multimodal_training"}
SLOWLY = pytest.mark.slow(group="programs")
# Sections of the guide that have code.
NUMBERED = {"1_2", "1_3", "2_1", "2_2", "2_3", "3_3", "4_1", "4_2", "4_3", "4_4", "5_1", "5_2", "5_3", "6_1", "6_2",
            "6_3", "7_1", "7_2", "7_3"}  # fmt: skip


@pytest.fixture
def report(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES / "guide"), str(EXAMPLES), *sys.path])
    return importlib.import_module("report").Report()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOWLY) if name in SLOW else name for name in SECTIONS])
def test_section(name, report):
    torch.manual_seed(0)
    importlib.import_module(name).show(report, "cpu")
    assert report.checked and not report.failed


def test_every_section_with_code_has_its_file():
    assert {"_".join(name.split("_")[1:3]) for name in SECTIONS} == NUMBERED


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(900)
def test_all_on_the_simulated_npu():
    result = subprocess.run([sys.executable, EXAMPLES / "guide" / "run.py", "--npu"], capture_output=True, text=True,
                            timeout=880, env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
