"""Counts of a monitor as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._statistics import OperatorStatistics

Statistics = Callable[[], Mapping[str, OperatorStatistics]]
Degradations = Callable[[], Mapping[tuple[str, str], int]]


def registry_of(statistics: Statistics, degradations: Degradations) -> Any:
    """Returns a `prometheus_client.CollectorRegistry` of its own that asks both at every scrape.

    Raises:
        ImportError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as error:
        raise ImportError("npufa.monitor: prometheus_client is not installed; pip install npufa[monitor]") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(statistics, degradations))  # type: ignore[arg-type]  # imported when it is used
    return registry


class _Collector:
    """Nothing is stored here: metrics are made from the monitor's counts when they are asked for."""

    def __init__(self, statistics: Statistics, degradations: Degradations) -> None:
        self.statistics, self.degradations = statistics, degradations

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        label = ["operator"]
        calls = CounterMetricFamily("npufa_calls", "Calls of an operator, failed ones included", labels=label)
        errors = CounterMetricFamily("npufa_errors", "Calls that raised", labels=label)
        memory = CounterMetricFamily("npufa_out_of_memory", "Calls that lacked memory", labels=label)
        peak = GaugeMetricFamily("npufa_memory_peak_bytes", "High-water mark of memory after a call", labels=label)
        time = HistogramMetricFamily("npufa_call_seconds", "Duration of calls that succeeded", labels=label)
        for name, s in self.statistics().items():
            calls.add_metric([name], s.calls)
            errors.add_metric([name], s.errors)
            memory.add_metric([name], s.out_of_memory)
            peak.add_metric([name], s.memory_peak)
            time.add_metric([name], buckets=s.time.cumulative(), sum_value=s.time.total)
        degraded = CounterMetricFamily("npufa_degradations", "Fallbacks and splits of npufa.robust",
                                       labels=["operator", "kind"])
        for (name, kind), count in self.degradations().items():
            degraded.add_metric([name, kind], count)
        yield from (calls, errors, memory, peak, time, degraded)
