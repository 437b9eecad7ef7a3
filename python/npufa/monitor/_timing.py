"""How long a call takes: on the host clock, or by events of an NPU's stream."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

MAX_PENDING = 4096


def is_capturing(device: torch.device) -> bool:
    """True while the NPU's current stream records a graph: calls do not run then."""
    return device.type == "npu" and bool(torch.npu.is_current_stream_capturing())  # type: ignore[attr-defined]


class HostClock:
    """Time between begin and end on the host; waits for the NPU at both ends."""

    def begin(self, device: torch.device) -> Callable[[], float]:
        _wait(device)
        start = time.perf_counter()

        def end() -> float:
            _wait(device)
            return time.perf_counter() - start

        return end


def _wait(device: torch.device) -> None:
    if device.type == "npu":
        torch.npu.synchronize(device)  # type: ignore[attr-defined]


class EventClock:
    """Time between two events of the NPU's stream, known once the stream has passed them; nothing waits for it."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Any, Any, Callable[[float], None]]] = deque()

    def begin(self) -> Any:
        event = torch.npu.Event(enable_timing=True)  # type: ignore[attr-defined]
        event.record()
        return event

    def end(self, start: Any, record: Callable[[float], None]) -> None:
        """Calls `record(seconds)` when they are known, in a later call of :meth:`end` or :meth:`drain`."""
        self._pending.append((start, self.begin(), record))
        self.drain(wait=len(self._pending) > MAX_PENDING)

    def drain(self, *, wait: bool) -> None:
        """Records what is known; with `wait` everything."""
        while self._pending:
            start, stop, record = self._pending[0]
            if wait:
                stop.synchronize()
            elif not stop.query():
                return
            self._pending.popleft()
            record(start.elapsed_time(stop) / 1000)
