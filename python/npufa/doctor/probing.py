"""Runs probe.py and reads what it prints."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .host import Host

TIMEOUT = 180
"""Seconds; a first import from a slow network drive takes its time."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Result of one step of probe.py; `error` is empty when it passed."""

    values: dict[str, Any]
    error: str


def probe(host: Host, steps: list[str]) -> dict[str, Step]:
    """Result of every step; those after a crash have its error, too."""
    # Each step by itself: `import torch` shall not fail because of torch_npu.
    environment = {**host.environment, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    program = (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")
    try:
        done = subprocess.run([sys.executable, "-c", program, *steps], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, timeout=TIMEOUT)
        printed, ending = done.stdout, _ending(done.returncode)
    except subprocess.TimeoutExpired as error:
        printed = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        ending = f"no answer within {TIMEOUT} s"
    return _results(steps, printed, ending)


def _ending(status: int) -> str:
    if status >= 0:
        return f"the process ended with status {status}"
    return f"the process was ended by {signal.Signals(-status).name}"


def _results(steps: list[str], printed: str, ending: str) -> dict[str, Step]:
    results = {step: Step({}, ending) for step in steps}
    for line in printed.splitlines():
        try:
            values = json.loads(line)
            step = values.pop("step")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # libraries print, too
        if step in results and "begins" not in values:
            results[step] = Step(values, values.pop("error", ""))
    return results
