"""Comparisons, selections and the CMPMASK register against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import KERNELS, Call, Form, Mask, elementwise, fault, first, launch, masks, place, raw

TYPES = {"half": np.float16, "float": np.float32, "int32": np.int32}
COMPARISONS = [np.less, np.greater, np.equal, np.less_equal, np.greater_equal, np.not_equal]
REPEATED_MASK, TENSOR_SCALAR, TENSOR_TENSOR = range(3)


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_select.cpp", optimise=False)


def small_numbers(kind: str, seed: int, count: int = 1024) -> np.ndarray:
    values = np.random.default_rng(seed).integers(-3, 4, count).astype(TYPES[kind])
    if kind != "int32":
        values[::37] = np.nan
    return values


def bits(truth: np.ndarray) -> np.ndarray:
    return np.packbits(truth, bitorder="little")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("mode", range(6))
def test_compare(kernels, kind, mode):
    a, b = small_numbers(kind, 1), small_numbers(kind, 2)
    dst = np.full(256, 0xA5, dtype=np.uint8)
    lanes = 256 // a.dtype.itemsize
    for op, other in [(0, b), (1, np.full_like(b, 1))]:
        for mask in [Mask(Form.COUNT, count=3 * lanes), first(5, 2), Mask(Form.BITS, bits=0b101, repeat=3)]:
            call = Call(op, mask, mode=mode, scalar=other[0].tobytes())
            if kind == "int32" and mode != 2:
                assert "cmpMode" in fault(kernels, f"compare_{kind}", call, dst, a, b).message
                continue
            repeats = 3 if mask.form is Form.COUNT else mask.repeat
            count = repeats * lanes  # masks have no effect
            wanted = dst.copy()
            wanted[: count // 8] = bits(COMPARISONS[mode](a, other)[:count])
            np.testing.assert_array_equal(launch(kernels, f"compare_{kind}", call, dst, a, b), wanted)


def test_compare_with_strides_leaves_no_gaps_in_the_result(kernels):
    a, b = small_numbers("float", 1), small_numbers("float", 2)
    dst = np.zeros(64, dtype=np.uint8)
    call = Call(0, first(64, 3), mode=0, block=(5, 2, 1), step=(9, 16, 0))
    index = [[place(r, e, 4, *s) // 4 for r in range(3) for e in range(64)] for s in [(2, 16), (1, 0)]]
    out = launch(kernels, "compare_float", call, dst, a, b)
    np.testing.assert_array_equal(out[:24], bits(a[index[0]] < b[index[1]]))
    assert not out[24:].any()


def test_compare_takes_whole_repeats(kernels):
    a = small_numbers("half", 1)
    call = Call(0, Mask(Form.COUNT, count=127))
    assert "count is 127" in fault(kernels, "compare_half", call, a, a, a).message


@pytest.mark.parametrize("kind", ["half", "float"])
def test_compare_to_the_register(kernels, kind):
    a, b = small_numbers(kind, 1), small_numbers(kind, 2)
    lanes = 256 // a.dtype.itemsize
    for mask in [first(lanes), first(3), Mask(Form.BITS, bits=0xF0F1)]:
        out = launch(kernels, f"compare_{kind}", Call(2, mask, mode=0), np.zeros(32, dtype=np.uint8), a, b)
        chosen = np.array([mask.bits >> i & 1 for i in range(lanes)], dtype=bool)
        np.testing.assert_array_equal(out[: lanes // 8], bits((a < b)[:lanes] & chosen))


def selected(call: Call, dst, a, b, selection, repeated: bool):
    """`b` may be a scalar."""
    lanes = 256 // dst.dtype.itemsize
    chosen = np.unpackbits(selection, bitorder="little").astype(bool)
    bit = np.array([e if repeated else r * lanes + e for r, e in call.mask.elements(lanes)], dtype=int)
    if np.ndim(b):
        return elementwise(call, dst, [a, b], lambda x, y, d: np.where(chosen[bit], x, y))
    return elementwise(call, dst, [a], lambda x, d: np.where(chosen[bit], x, b))


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("mode", [REPEATED_MASK, TENSOR_SCALAR, TENSOR_TENSOR])
def test_select(kernels, kind, mode):
    dtype = TYPES[kind]
    rng = np.random.default_rng(4)
    dst, a, b = (rng.standard_normal(1024).astype(dtype) for _ in range(3))
    selection = rng.integers(0, 256, 1024, dtype=np.uint8)
    scalar = dtype(-7.5)
    strides = [((1, 1, 1), (8, 8, 8)), ((1, 2, 0), (8, 16, 1)), ((2, 1, 1), (16, 0, 8))]
    for mask in masks(256 // a.dtype.itemsize):
        if mask.form in (Form.REGISTER, Form.COUNTER):
            continue
        for block, step in strides if mask.form is not Form.COUNT else strides[:1]:
            scalar_mode = mode == TENSOR_SCALAR
            call = Call(int(scalar_mode), mask, mode, block, step, scalar=scalar.tobytes())
            out = launch(kernels, f"select_{kind}", call, dst, a, np.concatenate([selection, raw(b)]))
            wanted = selected(call, dst, a, scalar if scalar_mode else b, selection, mode == REPEATED_MASK)
            np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("op", [2, 3])
def test_select_with_registers(kernels, kind, op):
    dtype = TYPES[kind]
    rng = np.random.default_rng(5)
    dst, a, b = (rng.standard_normal(1024).astype(dtype) for _ in range(3))
    selection = rng.integers(0, 256, 1024, dtype=np.uint8)
    lanes = 256 // a.dtype.itemsize
    call = Call(op, Mask(Form.REGISTER, bits=int("0111" * (lanes // 4), 2), repeat=3))
    out = launch(kernels, f"select_{kind}", call, dst, a, np.concatenate([selection, raw(b)]))
    wanted = selected(call, dst, a, b if op == 2 else b[0], selection, repeated=op == 2)
    np.testing.assert_array_equal(out, wanted)


def test_select_modes_and_reserved_memory(kernels):
    x = np.zeros(512, dtype=np.float32)
    two_tensors = Call(0, first(64), TENSOR_SCALAR)
    assert "selMode" in fault(kernels, "select_float", two_tensors, x, x, x).message
    scalar = Call(1, first(64), TENSOR_TENSOR)
    assert "selMode" in fault(kernels, "select_float", scalar, x, x, x).message
    for op, mode, reserved in [(0, REPEATED_MASK, False), (0, TENSOR_TENSOR, True), (1, TENSOR_SCALAR, True)]:
        call = Call(op, first(64), mode)
        if reserved:
            assert fault(kernels, "select_full_memory", call, x, x, x).check == "reserved-memory"
        else:
            launch(kernels, "select_full_memory", call, x, x, x)
