"""Reductions against numpy: values bit by bit in the documented order of additions, indices of the first extreme."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import KERNELS, Call, Form, Mask, fault, first, launch, masks, place, raw

TYPES = {"half": np.float16, "float": np.float32}
INDEX = {"half": np.uint16, "float": np.uint32}
VALUE_INDEX, INDEX_VALUE, ONLY_VALUE, ONLY_INDEX = range(4)


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_reduce.cpp", optimise=False)


def numbers(kind: str, seed: int, count: int = 2048) -> np.ndarray:
    """With many equal values."""
    return (np.random.default_rng(seed).integers(-40, 40, count) / 3).astype(TYPES[kind])


def tree(values: np.ndarray) -> np.ndarray:
    """Neighbours are added until one is left; every sum is rounded to the type."""
    values = values.copy()
    while len(values) > 1:
        values = values[0::2] + values[1::2]
    return values[0]


def repeats_of(mask: Mask, lanes: int) -> list[list[int]]:
    """Elements of each repeat."""
    rows: dict[int, list[int]] = {}
    for repeat, element in mask.elements(lanes):
        rows.setdefault(repeat, []).append(element)
    return [rows[r] for r in sorted(rows)]


def row_values(src: np.ndarray, call: Call, repeat: int, elements: list[int], neutral: float = 0) -> np.ndarray:
    """A repeat with `neutral` for elements that take no part."""
    size = src.dtype.itemsize
    values = np.full(256 // size, neutral, dtype=src.dtype)
    for e in elements:
        values[e] = src[place(repeat, e, size, call.block[1], call.step[1]) // size]
    return values


def not_count(lanes: int) -> list[Mask]:
    return [m for m in masks(lanes) if m.form is not Form.COUNT]


SOURCES = [(1, 8), (2, 20), (1, 4), (1, 0)]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize("op,best", [(0, np.argmax), (1, np.argmin)])
def test_extreme_of_each_repeat(kernels, kind, order, op, best):
    src, dst = numbers(kind, 1), np.full(512, 99, dtype=TYPES[kind])
    size = src.dtype.itemsize
    unit = {VALUE_INDEX: 2 * size, INDEX_VALUE: 2 * size, ONLY_VALUE: size, ONLY_INDEX: 4}[order]
    for mask in not_count(256 // size):
        for (block, step), dst_step in zip(SOURCES, [1, 3, 1, 2]):
            call = Call(op, mask, order, (1, block, 1), (dst_step, step, 0))
            wanted = raw(dst).copy()
            for r, elements in enumerate(repeats_of(mask, 256 // size)):
                picked = row_values(src, call, r, elements)[elements]
                value, index = picked[best(picked)].tobytes(), elements[best(picked)]
                small = INDEX[kind](index).tobytes()
                result = [value + small, small + value, value, np.uint32(index).tobytes()][order]
                wanted[r * dst_step * unit :][:unit] = np.frombuffer(result, dtype=np.uint8)
            np.testing.assert_array_equal(launch(kernels, f"reduce_{kind}", call, dst, src, src), wanted)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("op", [2, 30])
def test_sum_of_each_repeat(kernels, kind, op):
    src, dst = numbers(kind, 1), np.full(512, 99, dtype=TYPES[kind])
    size = src.dtype.itemsize
    for mask in not_count(256 // size):
        if op == 30 and mask.form is Form.BITS:
            continue
        for (block, step), dst_step in zip(SOURCES, [1, 3, 1, 2]):
            call = Call(op, mask, 0, (1, block, 1), (dst_step, step, 0))
            wanted = dst.copy()
            for r, elements in enumerate(repeats_of(mask, 256 // size)):
                wanted[r * dst_step] = tree(row_values(src, call, r, elements))
            np.testing.assert_array_equal(launch(kernels, f"reduce_{kind}", call, dst, src, src), raw(wanted))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("op", [10, 11, 12, 13])
def test_blocks_and_pairs(kernels, kind, op):
    src, dst = numbers(kind, 1), np.full(1024, 99, dtype=TYPES[kind])
    size = src.dtype.itemsize
    lanes, group = 256 // size, 2 if op == 13 else 32 // size
    neutral, fold = {10: (-np.inf, np.max), 11: (np.inf, np.min), 12: (0, tree), 13: (0, tree)}[op]
    for mask in not_count(lanes):
        for (block, step), dst_step in zip(SOURCES, [1, 3, 1, 2]):
            call = Call(op, mask, 0, (1, block, 1), (dst_step, step, 0))
            wanted = dst.copy()
            for r, elements in enumerate(repeats_of(mask, lanes)):
                values = row_values(src, call, r, elements, neutral).reshape(-1, group)
                for g in sorted({e // group for e in elements}):
                    wanted[r * dst_step * lanes // group + g] = fold(values[g])
            np.testing.assert_array_equal(launch(kernels, f"reduce_{kind}", call, dst, src, src), raw(wanted))


def everything(lanes: int) -> list[tuple[Mask, int]]:
    """Masks and source repeat strides of the reductions of a whole tensor."""
    half_of = int("10" * (lanes // 2), 2)
    counts = [1, 7, lanes, lanes + 1, 3 * lanes, 5 * lanes - 3, 16 * lanes]
    return [(Mask(Form.COUNT, count=c), 8) for c in counts] + [
        (first(lanes, 4), 8),
        (first(lanes - 3, 3), 8),
        (first(5, 1), 8),
        (Mask(Form.BITS, bits=half_of, repeat=5), 8),
        (first(lanes // 2, 6), 4),
    ]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("with_index", [0, 1])
@pytest.mark.parametrize("op,best", [(20, np.argmax), (21, np.argmin)])
def test_extreme_of_everything(kernels, kind, with_index, op, best):
    src, dst, work = numbers(kind, 3), np.full(32, 99, dtype=TYPES[kind]), np.zeros(256, dtype=TYPES[kind])
    size = src.dtype.itemsize
    for mask, step in everything(256 // size):
        call = Call(op, mask, with_index, step=(1, step, 0))
        index = np.array([place(r, e, size, 1, step) // size for r, e in mask.elements(256 // size)])
        at = index[best(src[index])]
        wanted = dst.copy()
        wanted[0] = src[at]
        if with_index:
            wanted.view(INDEX[kind])[1] = at
        np.testing.assert_array_equal(launch(kernels, f"reduce_{kind}", call, dst, src, work), raw(wanted))


@pytest.mark.parametrize("kind", TYPES)
def test_sum_of_everything(kernels, kind):
    """The count form adds the sums of the repeats in order, the others as a tree."""
    src, dst, work = numbers(kind, 3), np.full(32, 99, dtype=TYPES[kind]), np.zeros(64, dtype=TYPES[kind])
    lanes = 256 // src.dtype.itemsize
    for mask, step in everything(lanes):
        call = Call(22, mask, step=(1, step, 0))
        sums = [tree(row_values(src, call, r, e)) for r, e in enumerate(repeats_of(mask, lanes))]
        total = sums[0]
        if mask.form is Form.COUNT:
            for value in sums[1:]:
                total = total + value
        else:
            total = tree(np.array(sums + [0] * (lanes - len(sums)), dtype=src.dtype))
        wanted = dst.copy()
        wanted[0] = total
        np.testing.assert_array_equal(launch(kernels, f"reduce_{kind}", call, dst, src, work), raw(wanted))


def test_sum_orders_itself(kernels):
    src, dst, work = numbers("float", 3), np.zeros(8, dtype=np.float32), np.zeros(8, dtype=np.float32)
    out = launch(kernels, "sum_then_add", Call(mask=Mask(Form.COUNT, count=64)), dst, src, work).view(np.float32)
    assert out[0] == tree(src[:64]) + 1


def test_work_tensor_and_limits(kernels):
    src, dst = numbers("float", 3), np.zeros(64, dtype=np.float32)

    def error(call: Call, work_elements: int = 8) -> str:
        finding = fault(kernels, "reduce_float", call, dst, src, np.zeros(work_elements, dtype=np.float32))
        return f"{finding.check}: {finding.operand} {finding.message}"

    # 16 repeats give 32 values and indices; with an index another 2 follow in a block of their own.
    for with_index, needed in [(0, 32), (1, 40)]:
        call = Call(20, first(64, 16), with_index, step=(1, 8, 0))
        launch(kernels, "reduce_float", call, dst, src, np.zeros(needed, dtype=np.float32))
        assert error(call, needed - 8).startswith("out-of-bounds: sharedTmpBuffer")
    assert "repeatTime is 256" in error(Call(0, first(64, 256)))
    assert "src repeat stride is 65536" in error(Call(0, first(64), step=(1, 65536, 0)))
    assert error(Call(0, first(64), offset=(4, 0, 0), step=(1, 8, 0))).startswith("misaligned: dst")
    launch(kernels, "reduce_float", Call(2, first(64), offset=(4, 0, 0), step=(1, 8, 0)), dst, src, src)
    assert error(Call(10, first(64), offset=(16, 0, 0), step=(1, 8, 0))).startswith("misaligned: dst")
