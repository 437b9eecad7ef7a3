"""The other side of the guide's promises: attention as written in textbooks, and what both sides cost."""

from __future__ import annotations

import ctypes
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def standard_attention(query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool = True) -> Tensor:
    """softmax(scale * Q K^T) V of BNSD tensors with the whole score matrix in memory; causal from the lower right."""
    scores = query @ key.transpose(-1, -2) * scale
    if causal:
        rows, keys = scores.shape[-2:]
        hidden = torch.ones(rows, keys, dtype=torch.bool, device=scores.device).triu(1 + keys - rows)
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores.float().softmax(-1).to(value.dtype) @ value


def speed_ratio(ours: Callable[[], object], other: Callable[[], object], rounds: int = 7) -> float:
    """Median of the other's time divided by ours; calls alternate, on one thread, which other jobs disturb less."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours(), other()
        return statistics.median(_seconds(other) / _seconds(ours) for _ in range(rounds))
    finally:
        torch.set_num_threads(threads)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_megabytes(run: Callable[[], object]) -> float:
    """How far the process's resident memory rises above where it stands, at most, while `run` runs (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # memory that is free but still the process's would hide new memory
    _RESET.write_text("5")  # the high-water mark starts anew
    before = _high_water()
    run()
    return _high_water() - before


def _high_water() -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    if match is None:
        raise RuntimeError(f"{_STATUS} has no VmHWM; expected Linux")
    return int(match[1]) / 1024
