"""Durations in logarithmic buckets: bounded memory, percentiles over the whole life, and what Prometheus wants."""

from __future__ import annotations

import bisect

PER_DECADE = 10
# Upper bounds in seconds, 1 microsecond to 1000 seconds; a duration is known to 26 %, a percentile to half of that.
BOUNDS = tuple(10 ** (step / PER_DECADE - 6) for step in range(9 * PER_DECADE + 1))


class Histogram:
    """Counts, sum, least and greatest of durations in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.count = 0
        self.total = 0.0
        self.least = float("inf")
        self.greatest = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds
        self.least = min(self.least, seconds)
        self.greatest = max(self.greatest, seconds)

    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Returns the duration in seconds that `percent` of them do not exceed; 0 without any.

        Within a bucket the middle by ratio stands for all; results lie between the least and the greatest.
        """
        if not self.count:
            return 0.0
        rank = percent / 100 * self.count
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                upper = BOUNDS[min(bucket, len(BOUNDS) - 1)]
                return min(max(upper * 10 ** (-0.5 / PER_DECADE), self.least), self.greatest)
        return self.greatest

    def cumulative(self, every: int = PER_DECADE // 2) -> list[tuple[str, float]]:
        """Returns (bound, durations up to it) at every `every`-th bound, then ("+Inf", all)."""
        buckets, seen = [], 0
        for index, bound in enumerate(BOUNDS):
            seen += self.counts[index]
            if index % every == 0:
                buckets.append((f"{bound:.3g}", float(seen)))
        return [*buckets, ("+Inf", float(self.count))]
