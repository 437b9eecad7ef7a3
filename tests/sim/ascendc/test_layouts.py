"""Slices, transposes, pools, lists of tensors and the reductions' names of CANN 9, against numpy."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).parent.parent / "kernels"
NCHW_TO_NHWC, NHWC_TO_NCHW = 11, 12


class TransposeParamsExt(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint16) for name in ("n", "c", "h", "w")] + [("type", ctypes.c_uint8)]


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "layouts.cpp", kernels=["transpose"])


def test_slices(kernels):
    x = np.arange(3 * 87, dtype=np.float32).reshape(3, 87)
    z = np.zeros((2, 48), np.float32)
    kernels.launch("slices", [x, sim.Output(z)])
    np.testing.assert_array_equal(z, np.concatenate([x[::2, 16:40], x[::2, 47:71]], axis=1))


@pytest.mark.parametrize("kind,axes", [(NCHW_TO_NHWC, (0, 2, 3, 1)), (NHWC_TO_NCHW, (0, 3, 1, 2))])
def test_transpose(kernels, kind, axes):
    n, c, h, w = 2, 3, 4, 8
    x = np.arange(n * c * h * w, dtype=np.float16).reshape((n, c, h, w) if kind == NCHW_TO_NHWC else (n, h, w, c))
    z = np.zeros_like(x)
    kernels.launch("transpose", [x, sim.Output(z), TransposeParamsExt(n, c, h, w, kind)])
    np.testing.assert_array_equal(z.ravel(), x.transpose(axes).ravel())


def test_pools(kernels):
    x = np.arange(256, dtype=np.float32)
    z = np.zeros((3, 256), np.float32)
    kernels.launch("pools", [x, sim.Output(z)])
    np.testing.assert_array_equal(z, np.stack([x + 1] * 3))


def test_pool_that_is_too_small(kernels):
    with pytest.raises(sim.KernelError, match="the pool has no room"):
        kernels.launch("small_pool", [])


def test_list_of_tensors(kernels):
    values = np.array([30, 12], np.int64)
    first, last = values.ctypes.data, values.ctypes.data + 8
    # Offset of the pointers, a tensor of one dimension, one of two dimensions, the pointers.
    words = np.array([6 * 8, 1, 5, 2 | 1 << 32, 7, 9, first, last], np.uint64)
    z = np.zeros(3, np.int64)
    kernels.launch("list_of_tensors", [words, sim.Output(z)])
    np.testing.assert_array_equal(z, (42, 2, 7))


def test_names_of_cann_9(kernels):
    x = np.random.default_rng(4).random(256, np.float32)
    z = np.zeros((6, 2, 64), np.float32)
    kernels.launch("new_names", [x, sim.Output(z)])
    np.testing.assert_array_equal(z[:, 0].view(np.uint32)[:5], z[:, 1].view(np.uint32)[:5])
    np.testing.assert_allclose(z[0, 0, :4], x.reshape(4, 64).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(z[1, 0, 0:8:2], x.reshape(4, 64).max(1))
    np.testing.assert_array_equal(z[2, 0, :32], x.reshape(32, 8).min(1))
    np.testing.assert_array_equal(z[3, 0, :64], x[:128].reshape(64, 2).sum(1))
    np.testing.assert_array_equal(z[4, 0].view(np.uint8)[:32], np.packbits(x > 0.5, bitorder="little"))
    assert z[5, 0, 0] == z[5, 1, 0] != 0
