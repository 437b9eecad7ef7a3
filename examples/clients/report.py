"""What a client's script shows: equal results, the kernels that ran, their modelled time per step."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable
from typing import Any


class Steps:
    """Profiles of the calls of a function, one each."""

    def __init__(self) -> None:
        self.profiles: list[Any] = []

    def watch(self, holder: Any, name: str) -> None:
        """Puts every call of the holder's method under a profile."""
        original: Callable[..., Any] = getattr(holder, name)

        def profiled(*args: Any, **kwargs: Any) -> Any:
            from npufa import sim

            report = sim.profile(original, *args, **kwargs)
            self.profiles.append(report)
            return report.result

        setattr(holder, name, profiled)

    def kernels(self) -> collections.Counter[str]:
        return collections.Counter(kernel.name for report in self.profiles for kernel in report.kernels)

    def not_modelled(self) -> collections.Counter[str]:
        counts: collections.Counter[str] = collections.Counter()
        for report in self.profiles:
            counts.update(report.not_modelled)
        return counts

    def decode_us(self) -> float:
        """Modelled time in npufa's kernels of the last step with a kernel: every sequence is decoding then."""
        return next((report.us for report in reversed(self.profiles) if report.kernels), 0.0)


class Report:
    """Lines for the reader; `finish` ends the process with 1 when something was not equal."""

    def __init__(self) -> None:
        self._failed = False

    def equal(self, what: str, found: Any, expected: Any) -> None:
        same = found == expected
        self._failed |= not same
        print(f"{what}: {'equal' if same else f'NOT equal: {found}, expected {expected}'}", flush=True)

    def steps(self, what: str, steps: Steps) -> None:
        print(f"{what}: kernels launched: {_counts(steps.kernels())}; modelled time of them per decode step: "
              f"{steps.decode_us():.1f} us; not modelled: {_counts(steps.not_modelled())}", flush=True)

    def counts(self, what: str, counts: dict[str, int]) -> None:
        print(f"{what}: {_counts(collections.Counter(counts))}", flush=True)

    def finish(self) -> None:
        sys.exit(int(self._failed))


def _counts(counter: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"
