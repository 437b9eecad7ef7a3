"""Interleaved timing of two implementations in one process, with a measured noise."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Run = Callable[[], tuple[Tensor, ...]]

SAMPLE_SECONDS = 0.004  # a sample repeats its call until it is about this long
MIN_ROUNDS, MAX_ROUNDS = 7, 101


@dataclass(frozen=True)
class Measurement:
    """Medians in seconds; ``ratio`` is the median of other / ours over the rounds, ``noise`` half its 95 % interval."""

    ours: float
    other: float
    ratio: float
    noise: float
    rounds: int


def _sample(run: Run, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def _median_interval(values: list[float]) -> float:
    """Half the distribution-free 95 % confidence interval of the median (order statistics)."""
    ordered, n = sorted(values), len(values)
    reach = 0.98 * math.sqrt(n)
    low, high = max(0, math.floor((n - 1) / 2 - reach)), min(n - 1, math.ceil((n - 1) / 2 + reach))
    return (ordered[high] - ordered[low]) / 2


def measure(ours: Run, reference: Run, seconds: float) -> Measurement:
    """Times both sides alternately, each side first in every other round, for about ``seconds``."""
    sides = (ours, reference)
    repeats = [max(1, round(SAMPLE_SECONDS / max(_sample(side, 1), 1e-7))) for side in sides]
    times: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    while len(times[0]) < MIN_ROUNDS or (time.perf_counter() - start < seconds and len(times[0]) < MAX_ROUNDS):
        for side in (0, 1) if len(times[0]) % 2 == 0 else (1, 0):
            times[side].append(_sample(sides[side], repeats[side]))
    ratios = [b / a for a, b in zip(*times, strict=True)]
    return Measurement(
        statistics.median(times[0]),
        statistics.median(times[1]),
        statistics.median(ratios),
        _median_interval(ratios),
        len(ratios),
    )


def relative_errors(results: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> list[float]:
    """||a - b|| / ||b|| of every tensor of a result; infinite where it is not finite."""
    errors = []
    for a, b in zip(results, exact, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
        error = ((a.detach().double() - b).norm() / b.norm()).item()
        errors.append(error if math.isfinite(error) else math.inf)
    return errors
