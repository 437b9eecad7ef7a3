"""Durations, thresholds and Prometheus metrics."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from npufa.monitor import Histogram, Monitor, OperatorStatistics, Thresholds
from npufa.monitor._health import judge


def counts(calls=100, errors=0, out_of_memory=0, seconds=0.001):
    s = OperatorStatistics(calls=calls, errors=errors, out_of_memory=out_of_memory)
    for _ in range(calls - errors):
        s.time.add(seconds)
    return {"operator": s}


@pytest.mark.parametrize(
    ("statistics", "status"),
    [
        ({}, "no_data"),
        (counts(calls=0), "no_data"),
        (counts(), "healthy"),
        (counts(errors=5), "healthy"),
        (counts(errors=6), "unhealthy"),
        (counts(calls=1000, errors=10, out_of_memory=10), "healthy"),
        (counts(calls=1000, errors=11, out_of_memory=11), "warning"),
        (counts(seconds=0.0099), "healthy"),
        (counts(seconds=0.0101), "warning"),
        (counts(errors=50, out_of_memory=50, seconds=1.0), "unhealthy"),
        (counts() | {"other": OperatorStatistics(calls=10, errors=10)}, "unhealthy"),
    ],
)
def test_thresholds_of_the_guide(statistics, status):
    assert judge(statistics, Thresholds()).status == status


def test_reasons_name_operator_figure_and_limit():
    report = judge(counts(errors=50, out_of_memory=50, seconds=1.0), Thresholds(mean_ms=20))
    assert report.reasons == ("operator: 50 of 100 calls failed, limit 5.0%",
                              "operator: 50 of 100 calls ran out of memory, limit 1.0%",
                              "operator: a call takes 1e+03 ms on average, limit 20 ms")


def test_thresholds_can_be_set():
    assert judge(counts(errors=6), Thresholds(error_rate=0.5)).status == "healthy"
    with pytest.raises(ValueError, match="error_rate is negative, got -1"):
        Thresholds(error_rate=-1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-6, 1000.0), min_size=1, max_size=200), st.sampled_from([1, 25, 50, 90, 99, 100]))
def test_percentiles_are_near_those_of_the_sorted_durations(durations, percent):
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    rank = max(-(-len(durations) * percent // 100), 1)
    exact = sorted(durations)[rank - 1]
    assert exact / 1.27 <= histogram.percentile(percent) <= exact * 1.27
    assert histogram.mean() == pytest.approx(sum(durations) / len(durations))


def test_durations_beyond_the_buckets():
    histogram = Histogram()
    for seconds in (1e-9, 5000.0):
        histogram.add(seconds)
    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.3)
    assert 1000 / 1.3 < histogram.percentile(100) <= 5000
    assert Histogram().percentile(50) == Histogram().mean() == 0
    assert histogram.cumulative()[-1] == ("+Inf", 2.0)


def test_prometheus():
    prometheus_client = pytest.importorskip("prometheus_client")
    import npufa

    monitor = Monitor()
    registry = monitor.registry()
    query = torch.randn(1, 2, 4, 16)
    with monitor:
        for _ in range(3):
            npufa.npu_prompt_flash_attention(query, query, query, num_heads=2, input_layout="BNSD")
    labels = {"operator": "npu_prompt_flash_attention"}
    value = registry.get_sample_value
    assert value("npufa_calls_total", labels) == 3
    assert value("npufa_errors_total", labels) == 0
    assert value("npufa_call_seconds_count", labels) == 3
    s = monitor.statistics()["npu_prompt_flash_attention"]
    assert value("npufa_call_seconds_sum", labels) == pytest.approx(s.time.total)
    assert value("npufa_memory_peak_bytes", labels) == s.memory_peak
    text = prometheus_client.generate_latest(registry).decode()
    assert text.count("npufa_calls_total{") == 1
    buckets = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("npufa_call_seconds_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 3
    assert "npufa_calls" not in prometheus_client.generate_latest().decode()


def test_without_prometheus(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install npufa\[monitor\]"):
        Monitor().registry()
