"""What is counted for one operator."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

import torch

from ._histogram import Histogram


@dataclass
class OperatorStatistics:
    """Counts of one operator.

    Attributes:
        calls: calls that ran, the failed ones included; recordings into a graph are not calls.
        errors: calls that raised, of which `out_of_memory` for lack of memory.
        captured: calls recorded into an NPU graph; its replays are not seen.
        memory_peak: bytes, high-water mark after any of the calls: of the allocator on an NPU, of the resident memory
            of the process on the CPU.
        memory_growth: bytes by which one call raised that mark, at most.
        time: durations of the calls that succeeded.
    """

    calls: int = 0
    errors: int = 0
    out_of_memory: int = 0
    captured: int = 0
    memory_peak: int = 0
    memory_growth: int = 0
    time: Histogram = field(default_factory=Histogram)

    def mean_ms(self) -> float:
        """Mean duration in milliseconds."""
        return self.time.mean() * 1e3

    def percentile_ms(self, percent: float) -> float:
        """Duration in milliseconds that `percent` of the calls do not exceed, to about 13 %."""
        return self.time.percentile(percent) * 1e3


def memory_high_water(device: torch.device) -> int:
    """Bytes: the most that was ever allocated on the NPU, or resident of this process."""
    if device.type == "npu":
        return int(torch.npu.max_memory_allocated(device))  # type: ignore[attr-defined]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
