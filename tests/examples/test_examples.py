"""The examples and the benchmark run as a user runs them: as scripts, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAITING = {"OMP_WAIT_POLICY": "passive"}  # spinning threads make a busy machine ten times slower


def run(script: str, *arguments: str, seconds: float, code: int = 0) -> str:
    """Runs a script without network access to model hubs; returns what it printed."""
    result = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} | WAITING,
    )
    assert result.returncode == code, (
        f"{script} exited with {result.returncode}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    )
    return result.stdout


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(300)
def test_quickstart_keeps_every_promise() -> None:
    output = run("examples/quickstart.py", seconds=280)
    assert "FAILED" not in output
    assert "prefill + decode equals one full causal pass" in output
    assert "every embedding has cosine >= 0.9999 to the original" in output


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("attention", ["npufa", "sdpa"])
def test_tiny_gpt_trains_and_generates(attention: str) -> None:
    output = run(
        "examples/train_tiny_gpt.py", "--attention", attention, "--steps", "12", "--new-tokens", "24", seconds=280
    )
    assert "[ok] greedy paged generation equals a full recomputation" in output
    assert "of 96 tokens equal" in output


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(600)
def test_tiny_gpt_loss_curves_agree_with_sdpa() -> None:
    output = run("examples/train_tiny_gpt.py", "--compare", "--steps", "12", "--new-tokens", "8", seconds=580)
    assert "[ok] losses of the first steps agree" in output
    assert "[ok] loss curves agree within noise" in output


def test_captured_decode_keeps_every_promise() -> None:
    output = run("examples/captured_decode.py", seconds=100)
    assert "[ok] 23 replays of one graph choose the tokens of eager decode" in output


def test_decode_step_keeps_every_promise() -> None:
    output = run("examples/decode_step.py", seconds=100)
    assert "[ok] tokens and logits of a model without a cache" in output
    assert "[ok] 19 replays choose the tokens of steps that are not captured" in output


def test_flash_attn_training_keeps_every_promise() -> None:
    output = run("examples/flash_attn_training.py", "--steps", "20", seconds=100)
    assert "[ok] the gradients agree" in output and "[ok] the loss falls" in output


def test_tiny_gpt_rejects_an_impossible_number_of_steps() -> None:
    run("examples/train_tiny_gpt.py", "--steps", "0", seconds=100, code=2)


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(300)
def test_benchmark_prints_and_writes_one_row_per_case(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    words = "prefill S1024 D64 causal f32"
    output = run(
        "benchmarks/attention.py", "--quick", "--seconds", "0.2", "--filter", words, "--json", str(file), seconds=280
    )
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) == 1
    assert rows[0]["dtype"] == "f32" and rows[0]["bar"] == 1.0
    assert rows[0]["ours"] > 0 and rows[0]["torch"] > 0
    assert rows[0]["operator"] in output and "ratio" in output


def test_benchmark_says_when_no_case_matches() -> None:
    run("benchmarks/attention.py", "--filter", "no-such-case", seconds=100, code=2)
