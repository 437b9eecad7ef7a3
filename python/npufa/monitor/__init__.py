"""Counts, durations, memory and errors of npufa's operators, with a health report and Prometheus metrics."""

from ._health import HealthReport, Thresholds
from ._histogram import Histogram
from ._monitor import Monitor
from ._statistics import OperatorStatistics

__all__ = ["HealthReport", "Histogram", "Monitor", "OperatorStatistics", "Thresholds"]
