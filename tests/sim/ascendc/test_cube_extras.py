"""Sparse products, boundaries of loads, constants in L1 and their way back to GM, scales in L1, against numpy."""

from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).parent.parent / "kernels"


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "cube_extras.cpp", kernels=["sparse", "boundary"])


def zn(matrix):
    """Rows of K as fractals of 32 x 16, each column's K one after another."""
    k, n = matrix.shape
    return np.ascontiguousarray(matrix.reshape(k // 32, 32, n // 16, 16).transpose(0, 2, 3, 1))


@pytest.mark.parametrize("m,n,k", [(16, 16, 64), (32, 48, 128)])
def test_sparse_product(kernels, m, n, k):
    """Two of every four elements of K are there; the index of the second counts from the second place."""
    rng = np.random.default_rng(6)
    a = rng.integers(-9, 9, (m, k)).astype(np.int8)
    full = np.zeros((k, n), np.int8)
    there = np.zeros((k // 2, n), np.int8)
    index = np.zeros((k // 2, n), np.uint8)
    for group in range(k // 4):
        for column in range(n):
            first, second = sorted(rng.choice(4, 2, replace=False))
            values = rng.integers(1, 9, 2)
            full[4 * group + first, column], full[4 * group + second, column] = values
            there[2 * group : 2 * group + 2, column] = values
            index[2 * group : 2 * group + 2, column] = first, second - 1
    packed = zn(index).reshape(-1, 4)
    packed = (packed[:, 0] | packed[:, 1] << 2 | packed[:, 2] << 4 | packed[:, 3] << 6).astype(np.uint8)
    nz = np.ascontiguousarray(a.reshape(m, k // 32, 32).transpose(1, 0, 2))
    c = np.zeros((m, n), np.int32)
    kernels.launch("sparse", [nz, zn(there), packed, sim.Output(c), m, n, k])
    np.testing.assert_array_equal(c, a.astype(np.int32) @ full.astype(np.int32))


def test_boundary(kernels):
    x = np.arange(512, dtype=np.float16).reshape(32, 16)
    z = np.zeros((64, 16), np.float32)
    kernels.launch("boundary", [x, np.eye(16, dtype=np.float16), sim.Output(z), 1024])
    np.testing.assert_array_equal(z, np.concatenate([x, x]))
    with pytest.raises(sim.KernelError, match="boundaryValue is 512"):
        kernels.launch("boundary", [x, np.eye(16, dtype=np.float16), sim.Output(z), 512])


def test_constants_in_l1_and_back(kernels):
    z = np.zeros(512, np.float16)
    kernels.launch("fill_and_store", [sim.Output(z)])
    np.testing.assert_array_equal(z, np.repeat(np.array([1.5, -2, 1.5, -2], np.float16), 128))


def test_scales_are_fetched_before_results_take_their_place(kernels):
    rng = np.random.default_rng(8)
    a, b = rng.integers(-2, 3, (16, 16)).astype(np.float16), rng.integers(-2, 3, (16, 32)).astype(np.float16)
    factors = np.array([1, 2, 3, 4] * 8, np.float32)
    z = np.zeros((16, 32), np.int8)
    scales = factors.view(np.uint32).astype(np.uint64) | np.uint64(1 << 46)
    kernels.launch("over_the_scales", [a, np.ascontiguousarray(b.T), scales, sim.Output(z)])
    np.testing.assert_array_equal(z, np.clip(a.astype(np.float32) @ b.astype(np.float32) * factors, -128, 127))
