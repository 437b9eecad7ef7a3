"""What npufa.monitor adds to a small call: `.venv/bin/python benchmarks/monitor_cost.py`, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

import npufa

ROUNDS, CALLS = 9, 2000


def best(call: Callable[[], object]) -> float:
    """Microseconds of a call in the fastest round."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
    return min(times)


def main() -> None:
    torch.set_num_threads(1)
    query, key = torch.randn(1, 2, 1, 64), torch.randn(1, 2, 16, 64)

    def call() -> object:
        return npufa.npu_fused_infer_attention_score(query, key, key, num_heads=2, input_layout="BNSD")

    best(call)  # warms up
    without = best(call)
    from npufa.monitor import Monitor

    imported = best(call)
    with Monitor():
        active = best(call)
    stopped = best(call)
    print(f"without npufa.monitor {without:.2f} us")
    for state, microseconds in (("imported", imported), ("active", active), ("stopped", stopped)):
        print(f"{state:21} {microseconds:.2f} us, ratio {microseconds / without:.2f}")


if __name__ == "__main__":
    main()
