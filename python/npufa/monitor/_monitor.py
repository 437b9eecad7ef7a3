"""Counts, durations, memory and errors of npufa's operators."""

from __future__ import annotations

import copy
import functools
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import torch

from ..robust import _events
from ..robust._failures import is_out_of_memory
from . import _tap
from ._health import HealthReport, Thresholds, judge
from ._prometheus import registry_of
from ._statistics import OperatorStatistics, memory_high_water
from ._timing import EventClock, HostClock, is_capturing

P = ParamSpec("P")
R = TypeVar("R")
TIMINGS = ("events", "synchronize")


class Monitor:
    """Observes every call of an npufa operator in this process while it is active.

        with Monitor() as monitor:
            model(tokens)
        print(monitor.table())

    Active inside a `with` block, in a function decorated with it, or between :meth:`start` and :meth:`stop`; these
    nest, and several monitors may be active. Calls are seen wherever they come from: `npufa.*`, `torch.ops.npufa.*`,
    other threads, autograd's backward pass (as `npu_fusion_attention_grad`, ...) and compiled graphs. Replays of a
    captured NPU graph are not calls. Before the first monitor starts, and after the last has stopped while the process
    has no other Python thread, the operators are exactly as without this module; see `_tap` for the case of more
    threads.

    Args:
        timing: for NPU tensors, whose calls return before they are done: "events" of the stream, read later, or
            "synchronize", which waits for the device around every call. CPU calls are timed by the host's clock.
        thresholds: limits of :meth:`health`.

    An error that an NPU reports after the call has returned is not counted. All methods may be called from any thread.

    Raises:
        ValueError: an unknown `timing`.
    """

    def __init__(self, *, timing: str = "events", thresholds: Thresholds | None = None) -> None:
        if timing not in TIMINGS:
            raise ValueError(f"npufa.monitor.Monitor: timing is unknown, got {timing!r}; expected one of {TIMINGS}")
        self.thresholds = thresholds or Thresholds()
        self._events = timing == "events"
        self._lock = threading.RLock()
        self._statistics: dict[str, OperatorStatistics] = {}
        self._degradations: Counter[tuple[str, str]] = Counter()
        self._host_clock = HostClock()
        self._event_clock = EventClock()
        self._active = 0

    def start(self) -> None:
        """Becomes active; as often as called, :meth:`stop` must be."""
        with self._lock:
            self._active += 1
            if self._active > 1:
                return
            _tap.add(self)
            _events.listeners.append(self._degraded)

    def stop(self) -> None:
        """Takes one :meth:`start` back.

        Raises:
            RuntimeError: the monitor is not active.
        """
        with self._lock:
            if not self._active:
                raise RuntimeError("npufa.monitor.Monitor: stop() without start(); expected an active monitor")
            self._active -= 1
            if self._active:
                return
            _tap.remove(self)
            _events.listeners.remove(self._degraded)

    def __enter__(self) -> Monitor:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorator: active while `function` runs."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return call

    def begin(self, operator: str, device: torch.device) -> Callable[[BaseException | None], None]:
        """Called before an operator runs; the result is called after it, with what it raised."""
        if is_capturing(device):
            return functools.partial(self._end_capture, operator)
        before = memory_high_water(device)
        if device.type == "npu" and self._events:
            start = self._event_clock.begin()
            return functools.partial(self._end_by_events, operator, device, before, start)
        stop = self._host_clock.begin(device)
        return functools.partial(self._end_by_clock, operator, device, before, stop)

    def _end_capture(self, operator: str, error: BaseException | None) -> None:
        with self._lock:
            self._of(operator).captured += 1

    def _end_by_clock(self, operator: str, device: torch.device, before: int, stop: Callable[[], float],
                      error: BaseException | None) -> None:
        if error is None:
            self._record_time(operator, stop())
        self._count(operator, device, before, error)

    def _end_by_events(self, operator: str, device: torch.device, before: int, start: Any,
                       error: BaseException | None) -> None:
        if error is None:
            with self._lock:
                self._event_clock.end(start, functools.partial(self._record_time, operator))
        self._count(operator, device, before, error)

    def _record_time(self, operator: str, seconds: float) -> None:
        with self._lock:
            self._of(operator).time.add(seconds)

    def _count(self, operator: str, device: torch.device, before: int, error: BaseException | None) -> None:
        after = memory_high_water(device)
        with self._lock:
            s = self._of(operator)
            s.calls += 1
            s.errors += error is not None
            s.out_of_memory += error is not None and is_out_of_memory(error)
            s.memory_peak = max(s.memory_peak, after)
            s.memory_growth = max(s.memory_growth, after - before)

    def _of(self, operator: str) -> OperatorStatistics:
        return self._statistics.setdefault(operator, OperatorStatistics())

    def _degraded(self, operator: str, kind: str) -> None:
        with self._lock:
            self._degradations[operator, kind] += 1

    def statistics(self) -> dict[str, OperatorStatistics]:
        """Returns a copy of the counts by operator; waits for durations that an NPU still owes."""
        with self._lock:
            self._event_clock.drain(wait=True)
            return copy.deepcopy(self._statistics)

    def degradations(self) -> dict[tuple[str, str], int]:
        """Returns how often `npufa.robust` degraded, by operator and kind, while this monitor was active."""
        with self._lock:
            return dict(self._degradations)

    def health(self) -> HealthReport:
        """Returns the judgement of the counts by the thresholds."""
        return judge(self.statistics(), self.thresholds)

    def reset(self) -> None:
        """Forgets all counts."""
        with self._lock:
            self._event_clock.drain(wait=True)
            self._statistics.clear()
            self._degradations.clear()

    def registry(self) -> Any:
        """Returns a `prometheus_client.CollectorRegistry` that reads the counts at every scrape.

        `prometheus_client.start_http_server(9000, registry=monitor.registry())` serves it. Metrics:
        `npufa_calls_total`, `npufa_errors_total`, `npufa_out_of_memory_total`, `npufa_memory_peak_bytes`,
        `npufa_call_seconds` (histogram), `npufa_degradations_total`.

        Raises:
            ImportError: prometheus_client is missing; the message names the extra.
        """
        return registry_of(self.statistics, self.degradations)

    def table(self) -> str:
        """Returns the counts as a table for reading."""
        rows = [f"{'operator':40} {'calls':>7} {'errors':>7} {'oom':>5} {'mean ms':>9} {'p50 ms':>9} {'p99 ms':>9} "
                f"{'peak MB':>9}"]
        for name, s in sorted(self.statistics().items()):
            rows.append(f"{name:40} {s.calls:7} {s.errors:7} {s.out_of_memory:5} {s.mean_ms():9.3f} "
                        f"{s.percentile_ms(50):9.3f} {s.percentile_ms(99):9.3f} {s.memory_peak / 1e6:9.1f}")
        return "\n".join(rows)
