"""Figures of the serving engine."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

_KEPT = 10_000  # latencies that the averages are taken over


@dataclass
class ServingMetrics:
    """Counters since the engine was made; times in seconds.

    Attributes:
        steps: forward passes.
        busy_time: spent in steps.
        prompt_tokens, generated_tokens: of admitted requests, and chosen.
        computed_tokens: that went through the model, again after a preemption.
        cached_tokens: of prompts, found in the cache instead of computed.
        finished_requests, aborted_requests, preemptions: how many.
        peak_used_blocks, peak_running: the most at the end of a step.
        times_to_first_token: from `add_request`, of the last 10,000 requests.
        inter_token_latencies: between two tokens of a request, the last 10,000.
    """

    steps: int = 0
    busy_time: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0
    finished_requests: int = 0
    aborted_requests: int = 0
    preemptions: int = 0
    peak_used_blocks: int = 0
    peak_running: int = 0
    times_to_first_token: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    inter_token_latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def throughput(self) -> float:
        """Generated tokens per second of steps."""
        return self.generated_tokens / self.busy_time if self.busy_time else 0.0

    @property
    def mean_time_to_first_token(self) -> float:
        return statistics.fmean(self.times_to_first_token) if self.times_to_first_token else 0.0

    @property
    def mean_inter_token_latency(self) -> float:
        return statistics.fmean(self.inter_token_latencies) if self.inter_token_latencies else 0.0

    @property
    def prefix_hit_rate(self) -> float:
        """Part of the prompts' tokens that was found in the cache."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0
