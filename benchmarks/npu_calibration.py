"""The time model against measurements: kernels that do what published programs did, modelled beside the measurement.

    .venv/bin/python benchmarks/npu_calibration.py [--filter "L1 rows"] [--attention]

A measured row fails when the model is off by more than 15 % or more than 10 % faster: exit status 1. The kernels are
in benchmarks/calibration; docs/time_model.md says where each measurement comes from. `--attention` adds the published
times of other projects' attention kernels beside our own forward pass: different programs, shown without a verdict.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import npufa.sim
from npufa.sim import KernelReport, Output

KERNELS = Path(__file__).resolve().parent / "calibration"
SOC = "Ascend910B1"  # 24 cube and 48 vector cores at 1.85 GHz, what the measurements name
LEAST, MOST = -10.0, 15.0  # percent


@dataclasses.dataclass(frozen=True)
class Row:
    """One published figure: `read` finds it in the report of `run`, a kernel that several rows may share."""

    name: str
    measured_us: float
    run: Callable[[], KernelReport]
    read: Callable[[KernelReport], float]


def whole(report: KernelReport) -> float:
    return report.us


def mean_core(report: KernelReport) -> float:
    return sum(core.finish_us for core in report.cores) / len(report.cores)


def pipe(kind: str, name: str, waits: bool = False) -> Callable[[KernelReport], float]:
    """Time of a pipe with its barriers, mean over the cores; `waits`: with the flags it stood waiting for, too."""

    def read(report: KernelReport) -> float:
        use = report.pipe(kind, name)
        percent = use.busy_percent + use.bandwidth_percent + use.barrier_percent + waits * use.flag_percent
        return percent / 100 * report.us

    return read


@functools.cache
def library(name: str) -> npufa.sim.KernelLibrary:
    return npufa.sim.compile_kernel(KERNELS / f"{name}.cpp")


def device(shape: int | tuple[int, ...], dtype: type = np.float16) -> np.ndarray:
    """Zeros as the device hands out memory: from a multiple of 512 bytes on."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 512, np.int8)
    start = -memory.ctypes.data % 512
    return memory[start : start + size].view(dtype).reshape(shape)


def launch(source: str, kernel: str, arguments: list, numbers: tuple[int, ...], cores: int,
           soc: str = SOC) -> KernelReport:  # fmt: skip
    tiling = struct.pack(f"{len(numbers)}I", *numbers)
    report = npufa.sim.profile(library(source).launch, kernel, arguments, tiling=tiling, block_dim=cores, soc=soc,
                               check=False)  # fmt: skip
    return report.kernels[0]


OWN_ROWS, QUARTERS, ALL_ROWS, ALL_STAGGERED = range(4)


@functools.cache
def copies(target: str, tile: tuple[int, int], shape: tuple[int, int] = (12288, 12288), order: int = OWN_ROWS,
           passes: int = 1, past_l2: bool = False) -> KernelReport:  # fmt: skip
    cores = 48 if target == "ub" else 24
    numbers = (*shape, *tile, cores, order, passes, int(past_l2))
    return launch("copies", f"copies_to_{target}", [device(shape)], numbers, cores)


@functools.cache
def banks(src0: int, src1: int, dst: int, src0_block: int = 1, src0_repeat: int = 8) -> KernelReport:
    return launch("vectors", "vector_banks", [device(512)], (src0, src1, dst, src0_block, src0_repeat, 1000), 1)


@functools.cache
def sums(cores: int, tile: int, buffers: int = 1, past_l2: bool = False, apart: bool = False) -> KernelReport:
    """`apart`: x and y begin 256 bytes apart in the banks, and z in the third."""
    matrices = [device((8192, 8192)) for _ in range(3)]
    step = 2 * 16384
    addresses = (0, 3 * step, step, 4 * step, 2 * step, 5 * step)
    if apart:
        addresses = (0, 2 * step, 2 * tile, 2 * step + 2 * tile, 4 * step, 4 * step + 2 * tile)
    numbers = (8192, 8192, cores, tile, buffers, int(past_l2), *addresses)
    return launch("vectors", "vector_sums", [*matrices[:2], Output(matrices[2])], numbers, cores)


@functools.cache
def fractals(pitch: int) -> KernelReport:
    source, target = device((8192, 8192)), device((8192, 8192))
    return launch("vectors", "vector_fractals", [source, Output(target)], (8192, 8192, 6, 144, 128, pitch), 48)


@functools.cache
def matmul(size: int, core_m: int, core_n: int) -> KernelReport:
    matrices = [device((size, size)) for _ in range(3)]
    return launch("matmul", "matmul", [*matrices[:2], Output(matrices[2])], (size, size, size, core_m, core_n), 24)


def copy_rows() -> list[Row]:
    to_ub, to_l1 = functools.partial(copies, "ub"), functools.partial(copies, "l1")
    ub, l1 = pipe("vector", "MTE2"), pipe("cube", "MTE2")
    odd, small = (12288, 12287), (6144, 512)

    def run(copy: Callable[..., KernelReport], *args: object, **kwargs: object) -> Callable[[], KernelReport]:
        return functools.partial(copy, *args, **kwargs)

    return [
        Row("UB rows of 128 B one by one", 548.2, run(to_ub, (1, 64)), ub),
        Row("UB 64 x 64", 220.8, run(to_ub, (64, 64)), ub),
        Row("UB 64 x 1024", 202.7, run(to_ub, (64, 1024)), ub),
        Row("UB 64 x 1024 of N 12287", 259.0, run(to_ub, (64, 1024), odd), ub),
        Row("UB 4 passes, no hits in L2", 816.1, run(to_ub, (64, 1024), passes=4), whole),
        Row("UB 4 passes, 75 % hits", 354.6, run(to_ub, (64, 1024), order=QUARTERS, passes=4), whole),
        Row("UB all cores the same rows past L2", 474.7, run(to_ub, (128, 64), small, ALL_ROWS, past_l2=True), ub),
        Row("UB the same, staggered", 307.4, run(to_ub, (128, 64), small, ALL_STAGGERED, past_l2=True), ub),
        Row("L1 64 x 64", 283.5, run(to_l1, (64, 64)), l1),
        Row("L1 64 x 256", 214.5, run(to_l1, (64, 256)), l1),
        Row("L1 64 x 256 of N 12287", 422.5, run(to_l1, (64, 256), odd), l1),
        Row("L1 4 passes, no hits in L2", 872.2, run(to_l1, (64, 1024), passes=4), whole),
        Row("L1 4 passes, 75 % hits", 397.8, run(to_l1, (64, 1024), order=QUARTERS, passes=4), whole),
        Row("L1 all cores the same rows past L2", 240.2, run(to_l1, (256, 64), small, ALL_ROWS, past_l2=True), l1),
        Row("L1 the same, staggered", 209.8, run(to_l1, (256, 64), small, ALL_STAGGERED, past_l2=True), l1),
    ]


def vector_rows() -> list[Row]:
    tick = 0.02  # us, of the counter that the measurement read

    def adds(name: str, ticks: int, *where: int) -> Row:
        return Row(f"1000 Adds, {name}", ticks * tick, functools.partial(banks, *where), whole)

    one, single = functools.partial(sums, 1, 4096), functools.partial(sums, 48)
    two = functools.partial(sums, 48, 16256, 2)
    bypass, spread = functools.partial(two, past_l2=True), functools.partial(two, past_l2=True, apart=True)
    v = pipe("vector", "V")
    return [
        adds("no conflict", 2390, 0, 0x10100, 0x20000),
        adds("read-read, one bank", 4167, 0, 0x4000, 0x10000),
        adds("read-read, one group", 4167, 0, 0x10000, 0x14100),
        adds("dst in the bank of src0", 2389, 0, 0x10100, 0x4000),
        adds("read-write", 3751, 0, 0x10100, 0x4020),
        adds("dst is src1", 2390, 0, 0x10100, 0x10100),
        adds("one block of src0, moving by 1", 3584, 0, 0x10100, 0x10100, 0, 1),
        adds("one block of src0, moving by 8", 2389, 0, 0x10100, 0x10100, 0, 8),
        Row("sum, 1 core", 6909.1, one, whole),
        Row("sum, 1 core, V", 761.7, one, v),
        Row("sum, 48 cores, 8 KB", 297.1, functools.partial(single, 4096), whole),
        Row("sum, 48 cores, 32 KB", 261.5, functools.partial(single, 16384), whole),
        Row("sum, 48 cores, 32 KB, V", 12.85, functools.partial(single, 16384), v),
        Row("sum, two buffers", 257.6, two, whole),
        Row("sum, two buffers, reads past L2", 185.2, bypass, whole),
        Row("sum, the same without conflicts", 178.5, spread, whole),
        Row("sum, the same without conflicts, V", 6.95, spread, v),
        Row("fractals, writes in one group", 138.0, functools.partial(fractals, 144), whole),
        Row("fractals, writes in one group, V", 47.79, functools.partial(fractals, 144), v),
        Row("fractals, writes spread", 131.4, functools.partial(fractals, 145), whole),
        Row("fractals, writes spread, V", 7.13, functools.partial(fractals, 145), v),
    ]


def matmul_rows() -> list[Row]:
    large, small = functools.partial(matmul, 8192, 2048, 1536), functools.partial(matmul, 6144, 1536, 1024)
    m = pipe("cube", "M")
    return [
        Row("matmul 8192^3, mean core", 3670.7, large, mean_core),
        Row("matmul 8192^3, slowest core", 4121.2, large, whole),
        Row("matmul 8192^3, M", 3081.7, large, m),
        Row("matmul 8192^3, MTE1", 2538.3, large, pipe("cube", "MTE1")),
        Row("matmul 8192^3, MTE2", 3552.2, large, pipe("cube", "MTE2", waits=True)),
        Row("matmul 8192^3, S", 337.3, large, pipe("cube", "S")),
        Row("matmul 8192^3, FIX without unit flag", 47.9, large, pipe("cube", "FIX")),
        Row("GEMM 6144^3", 1506.0, small, whole),
        Row("GEMM 6144^3, M", 1305.7, small, m),
    ]


def off(percent: float) -> bool:
    return not LEAST <= percent <= MOST


def attention() -> None:
    """Other programs: their best times beside our forward pass; for one head with the launch, on both sides."""
    from calibration.attention import CASES, modelled_us

    print(f"\n{'other programs, us':<44}{'measured':>10}{'ours, modelled':>16}{'':>8}")
    for case in CASES:
        ours = modelled_us(case)
        print(f"{case.name:<44}{case.measured_us:>10.1f}{ours:>16.1f}{100 * (ours / case.measured_us - 1):>+7.0f} %",
              flush=True)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", help="rows whose name holds every word")
    parser.add_argument("--attention", action="store_true", help="our forward pass beside other attention kernels")
    arguments = parser.parse_args()
    words = arguments.filter.split()
    failed = 0
    print(f"modelled on {SOC}\n\n{'us':<44}{'measured':>10}{'modelled':>10}{'error':>9}")
    for row in [*copy_rows(), *vector_rows(), *matmul_rows()]:
        if not all(word in row.name for word in words):
            continue
        modelled = row.read(row.run())
        error = 100 * (modelled / row.measured_us - 1)
        failed += off(error)
        verdict = "  off" if off(error) else ""
        print(f"{row.name:<44}{row.measured_us:>10.2f}{modelled:>10.2f}{error:>+7.1f} %{verdict}", flush=True)
    if arguments.attention:
        attention()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
