"""What this machine can do at most: reading memory and multiplying, by the loops of machine.cpp.

    python benchmarks/machine.py        prints the peaks
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".cpp")
BUILD = SOURCE.parents[1] / "build" / "benchmarks"


@functools.cache
def _library() -> ctypes.CDLL:
    """machine.cpp for this processor, compiled once per version of the source."""
    BUILD.mkdir(parents=True, exist_ok=True)
    library = BUILD / "machine.so"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        partial = library.with_suffix(f".{os.getpid()}")
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run([os.environ.get("CXX", "g++"), *flags, "-o", str(partial), str(SOURCE)], check=True)
        partial.replace(library)
    loaded = ctypes.CDLL(str(library))
    loaded.npufa_read.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    loaded.npufa_read.restype = ctypes.c_float
    for name in ("f32", "bf16", "int8", "tiles"):
        peak = getattr(loaded, f"npufa_peak_{name}")
        peak.argtypes, peak.restype = [ctypes.c_int64], ctypes.c_double
    return loaded


def _in_threads(body: Callable[[int], object]) -> None:
    """Runs body(index) in as many threads as torch has; foreign calls release Python's lock."""
    threads = [threading.Thread(target=body, args=(i,)) for i in range(1, torch.get_num_threads())]
    for thread in threads:
        thread.start()
    body(0)
    for thread in threads:
        thread.join()


def read(tensors: Sequence[Tensor]) -> None:
    """Reads every byte of contiguous tensors once, all threads together."""
    library, count = _library(), torch.get_num_threads()

    def share(index: int) -> None:
        for tensor in tensors:
            part = tensor.nbytes // count // 4096 * 4096
            size = tensor.nbytes - part * (count - 1) if index == count - 1 else part
            library.npufa_read(tensor.data_ptr() + part * index, size)

    _in_threads(share)


def read_bandwidth(size: int = 1 << 28, rounds: int = 9) -> float:
    """Bytes a second of the fastest of some reads of `size` bytes."""
    data = torch.ones(size // 4)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        read([data])
        times.append(time.perf_counter() - start)
    return size / min(times)


def peak(kind: str, rounds: int = 5) -> float:
    """Operations a second of all threads together, a multiply-add counting as two; 0 without the instruction.

    Args:
        kind: "f32" (fused multiply-add), "bf16" (vdpbf16ps), "int8" (vpdpbusd) or "tiles" (tdpbf16ps of AMX).
        rounds: the best of so many.
    """
    function = getattr(_library(), f"npufa_peak_{kind}")
    best = 0.0
    for _ in range(rounds):
        rates = [0.0] * torch.get_num_threads()

        def run(index: int, rates: list[float] = rates) -> None:
            rates[index] = function(1_000_000)

        _in_threads(run)
        best = max(best, sum(rates))
    return best


if __name__ == "__main__":
    print(f"threads {torch.get_num_threads()}")
    print(f"read    {read_bandwidth() / 1e9:.1f} GB/s")
    for name in ("f32", "bf16", "int8", "tiles"):
        print(f"{name:7s} {peak(name) / 1e9:.0f} G operations/s")
