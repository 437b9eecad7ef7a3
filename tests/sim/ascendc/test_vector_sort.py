"""Sort32 and MrgSort against numpy."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).parent.parent / "kernels"


class MergeShape(ctypes.Structure):
    _fields_ = [("lengths", ctypes.c_uint16 * 4), ("valid", ctypes.c_uint16), ("repeat", ctypes.c_uint16),
                ("suspend", ctypes.c_uint32)]  # fmt: skip


@pytest.fixture(scope="module")
def kernels():
    names = ["sort_groups<float>", "sort_groups<half>", "merge"]
    return sim.compile_kernel(KERNELS / "vector_sort.cpp", kernels=names)


def by_score(scores, indices):
    """Both, falling by score; equal scores keep their order."""
    order = np.argsort(-scores.astype(np.float32), kind="stable")
    return scores[order], indices[order]


@pytest.mark.parametrize("dtype,kernel", [(np.float32, "sort_groups<float>"), (np.float16, "sort_groups<half>")])
def test_sort32(kernels, dtype, kernel):
    rng = np.random.default_rng(2)
    scores = rng.integers(-9, 9, 96).astype(dtype)
    indices = rng.permutation(96).astype(np.uint32)
    out = np.zeros(96 * 8, np.uint8)
    kernels.launch(kernel, [scores, indices, sim.Output(out), 96])
    pairs = out.reshape(96, 8)
    for group in range(3):
        part = slice(group * 32, group * 32 + 32)
        expected = by_score(scores[part], indices[part])
        size = scores.itemsize
        np.testing.assert_array_equal(np.ascontiguousarray(pairs[part, :size]).view(dtype)[:, 0], expected[0])
        np.testing.assert_array_equal(np.ascontiguousarray(pairs[part, 4:]).view(np.uint32)[:, 0], expected[1])


def sorted_lists(lengths, seed):
    rng = np.random.default_rng(seed)
    lists = []
    for length in lengths:
        pairs = np.zeros((length, 2), np.float32)
        pairs[:, 0] = np.sort(rng.integers(0, 50, length))[::-1]
        pairs[:, 1] = rng.permutation(length)
        lists.append(pairs)
    return lists


@pytest.mark.parametrize(
    "lengths,valid,repeat",
    [((32, 32, 32, 32), 15, 1), ((32, 16, 8, 0), 7, 1), ((40, 24, 0, 0), 3, 1), ((16, 16, 16, 16), 15, 2)],
)
def test_merge(kernels, lengths, valid, repeat):
    groups = [sorted_lists(lengths, seed) for seed in range(repeat)]
    source = np.concatenate([pairs for lists in groups for pairs in lists])
    out, taken = np.zeros_like(source), np.zeros(4, np.int32)
    shape = MergeShape((ctypes.c_uint16 * 4)(*lengths), valid, repeat, 0)
    kernels.launch("merge", [source, sim.Output(out), sim.Output(taken), shape])
    expected = []
    for lists in groups:
        together = np.concatenate(lists)
        expected.append(together[np.argsort(-together[:, 0], kind="stable")])
    np.testing.assert_array_equal(out, np.concatenate(expected))
    np.testing.assert_array_equal(taken, lengths)


def test_merge_stops_when_a_list_is_empty(kernels):
    lists = sorted_lists((8, 8, 0, 0), 5)
    lists[0][:, 0] += 100  # all of the first list comes first
    source = np.concatenate(lists)
    out, taken = np.zeros_like(source), np.zeros(4, np.int32)
    shape = MergeShape((ctypes.c_uint16 * 4)(8, 8, 0, 0), 3, 1, 1)
    findings = kernels.launch("merge", [source, sim.Output(out), sim.Output(taken), shape])
    np.testing.assert_array_equal(taken, (8, 0, 0, 0))
    np.testing.assert_array_equal(out[:8], lists[0])
    assert not findings


def test_number_of_lists(kernels):
    source = np.zeros((64, 2), np.float32)
    shape = MergeShape((ctypes.c_uint16 * 4)(32, 32, 0, 0), 1, 1, 0)
    with pytest.raises(sim.KernelError, match="validBit is 1"):
        kernels.launch("merge", [source, sim.Output(source.copy()), sim.Output(np.zeros(4, np.int32)), shape])
