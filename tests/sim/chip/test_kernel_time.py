"""Kernels that do one thing, compiled and run: the modelled time is what the chip's description allows."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

SOURCE = Path(__file__).resolve().parents[1] / "kernels" / "timed.cpp"
SOC = "Ascend910B3"
MB = 1 << 20
GM_ALIGNMENT = 512


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(SOURCE)


def aligned(shape, dtype) -> np.ndarray:
    """Memory as the device hands it out: starting at a multiple of 512 bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + GM_ALIGNMENT, np.int8)
    start = -memory.ctypes.data % GM_ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def run(kernels, kernel, arrays, number, cores):
    """Launch and report; the checks must find nothing."""
    launch = dict(block_dim=cores, tiling=struct.pack("I", number), soc=SOC)
    report = sim.profile(kernels.launch, kernel, arrays, **launch)
    assert report.result == []
    return report.kernels[0]


def copy(kernels, cores, share):
    source, target = aligned(cores * share, np.int8), aligned(cores * share, np.int8)
    source[:] = np.random.default_rng(1).integers(-128, 128, source.size, np.int8)
    kernel = run(kernels, "timed_copy", [source, sim.Output(target)], share, cores)
    assert (source == target).all()
    assert kernel.gm_read_bytes == kernel.gm_written_bytes == kernel.hbm_read_bytes == source.size
    return kernel


def test_copy_on_all_cores_reaches_hbm_bandwidth(kernels):
    kernel = copy(kernels, 40, MB)
    assert 84 <= kernel.hbm_percent <= 90  # of the peak; 90 are reached
    assert kernel.bound == "HBM"
    assert kernel.hbm_gb_per_s == pytest.approx(1600 * kernel.hbm_percent / 100)


def test_copy_on_one_core_runs_at_its_port(kernels):
    kernel = copy(kernels, 1, 4 * MB)
    assert kernel.bound == "vector MTE2"
    assert kernel.pipe("vector", "MTE2").busy_percent > 96
    assert kernel.gm_read_bytes / kernel.cycles == pytest.approx(58.6, rel=0.08)


def test_half_of_the_cores_are_enough_for_hbm(kernels):
    assert copy(kernels, 20, MB).us == pytest.approx(copy(kernels, 40, MB // 2).us, rel=0.1)


def products(kernels, cores, count):
    operands, result = aligned((2, 128, 128), np.float16), aligned((cores, 128, 128), np.float32)
    operands[:] = np.random.default_rng(2).integers(-2, 3, operands.shape)
    kernel = run(kernels, "timed_products", [operands, sim.Output(result)], count, cores)
    assert (result == result[0]).all() and abs(result).max() > count
    assert kernel.cube_flop == cores * count * 2 * 128**3
    return kernel


def test_products_on_all_cores_reach_the_peak_less_their_starts(kernels):
    kernel = products(kernels, 20, 100)
    ideal = 100 * 512 / 533
    assert 0.93 * ideal < kernel.cube_percent_of_peak < ideal
    assert kernel.cube_peak_tflops == pytest.approx(294.9, abs=0.05)
    assert kernel.cube_tflops == pytest.approx(kernel.cube_percent_of_peak * 2.949, rel=1e-3)
    assert kernel.bound == "cube M"


def test_store_of_the_sum_is_limited_by_the_fixpipe(kernels):
    kernel = products(kernels, 1, 1)
    cycles = kernel.pipe("cube", "FIX").busy_percent / 100 * kernel.cycles
    assert cycles == pytest.approx(15.5 + 4 * 128 * 128 / 67, abs=0.5)


def test_one_core_of_twenty_is_a_twentieth_of_the_peak(kernels):
    assert products(kernels, 1, 100).cube_percent_of_peak == pytest.approx(96 / 20, rel=0.06)


def test_doubled_products_take_twice_the_time(kernels):
    fixed = products(kernels, 1, 1).us
    once, twice = products(kernels, 1, 50).us - fixed, products(kernels, 1, 99).us - fixed
    assert twice == pytest.approx(2 * once, rel=0.01)


def adds(kernels, cores, count):
    result = aligned((cores, 8192), np.float32)
    kernel = run(kernels, "timed_adds", [sim.Output(result)], count, cores)
    assert (result == count).all()
    return kernel


def test_dependent_additions_pay_two_cycles_per_repeat_and_their_start(kernels):
    more, less = adds(kernels, 2, 90), adds(kernels, 2, 10)
    repeats = 8192 * 4 // 256
    assert (more.cycles - less.cycles) / 80 == pytest.approx(2 * repeats + 24, abs=1)
    assert more.vector_elements - less.vector_elements == 2 * 80 * 8192


def test_doubled_copy_takes_twice_the_time(kernels):
    assert copy(kernels, 40, MB).us == pytest.approx(2 * copy(kernels, 40, MB // 2).us, rel=0.04)


def test_hot_statements_are_those_of_the_kernel(kernels):
    kernel = products(kernels, 2, 20)
    assert kernel.hot[0].instruction == "Mmad" and kernel.hot[0].count == 40
    assert Path(kernel.hot[0].file) == SOURCE
    text = SOURCE.read_text().splitlines()
    assert "Mmad(" in text[kernel.hot[0].line - 1]


def test_trace_and_picture(kernels, tmp_path):
    source, target = aligned(4 * MB, np.int8), aligned(4 * MB, np.int8)
    report = sim.profile(kernels.launch, "timed_copy", [source, sim.Output(target)], block_dim=4,
                         tiling=struct.pack("I", MB))  # fmt: skip
    report.save_trace(tmp_path / "trace.json")
    assert '"DataCopy"' in (tmp_path / "trace.json").read_text()
    pytest.importorskip("PIL")
    report.save_timeline(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")
