"""Judges counts by thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._statistics import OperatorStatistics


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which a health report complains; the defaults are those of the usage guide, section 7.2.

    Attributes:
        error_rate: share of calls that raised, beyond which an operator is unhealthy.
        out_of_memory_rate: share of calls that lacked memory, beyond which there is a warning.
        mean_ms: mean duration of a call in milliseconds, beyond which there is a warning.
    """

    error_rate: float = 0.05
    out_of_memory_rate: float = 0.01
    mean_ms: float = 10.0

    def __post_init__(self) -> None:
        for name in ("error_rate", "out_of_memory_rate", "mean_ms"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"npufa.monitor.Thresholds: {name} is negative, got {value}; expected a limit >= 0")


@dataclass(frozen=True)
class HealthReport:
    """Result of `Monitor.health()`.

    Attributes:
        status: "no_data", "healthy", "warning" or "unhealthy".
        reasons: one sentence per exceeded limit.
    """

    status: str
    reasons: tuple[str, ...]


def judge(statistics: Mapping[str, OperatorStatistics], thresholds: Thresholds) -> HealthReport:
    """Applies the limits to each operator; the worst finding is the status."""
    if not any(s.calls for s in statistics.values()):
        return HealthReport("no_data", ())
    unhealthy, warnings = [], []
    for name, s in sorted(statistics.items()):
        if not s.calls:
            continue
        if s.errors / s.calls > thresholds.error_rate:
            unhealthy.append(f"{name}: {s.errors} of {s.calls} calls failed, limit {thresholds.error_rate:.1%}")
        if s.out_of_memory / s.calls > thresholds.out_of_memory_rate:
            warnings.append(f"{name}: {s.out_of_memory} of {s.calls} calls ran out of memory, "
                            f"limit {thresholds.out_of_memory_rate:.1%}")
        if s.mean_ms() > thresholds.mean_ms:
            warnings.append(f"{name}: a call takes {s.mean_ms():.3g} ms on average, limit {thresholds.mean_ms:g} ms")
    status = "unhealthy" if unhealthy else "warning" if warnings else "healthy"
    return HealthReport(status, (*unhealthy, *warnings))
