"""Arithmetic instructions against numpy, in every mask form, with strides and tails."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import (
    KERNELS,
    Call,
    Form,
    Mask,
    compare,
    elementwise,
    fault,
    few_masks,
    first,
    launch,
    masks,
)

TYPES = {"half": np.float16, "float": np.float32, "int16": np.int16, "int32": np.int32}


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_arith.cpp", optimise=False)


def numbers(dtype, seed: int, count: int = 2048) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
    return (rng.standard_normal(count) * 4).astype(dtype)


def wide(function):
    """Evaluates in float64 and rounds once; integers keep their low bits."""

    def rounded(*args):
        if np.issubdtype(args[0].dtype, np.integer):
            return function(*[a.astype(np.int64) for a in args])
        with np.errstate(all="ignore"):
            return function(*[a.astype(np.float64) for a in args])

    return rounded


def relu(x):
    return np.maximum(x, 0)


BINARY = {
    "Add": (0, lambda a, b, d: a + b),
    "Sub": (1, lambda a, b, d: a - b),
    "Mul": (2, lambda a, b, d: a * b),
    "Max": (3, lambda a, b, d: np.maximum(a, b)),
    "Min": (4, lambda a, b, d: np.minimum(a, b)),
    "AddRelu": (5, lambda a, b, d: relu((a + b).astype(np.int16) if a.dtype == np.int64 else a + b)),
    "SubRelu": (6, lambda a, b, d: relu((a - b).astype(np.int16) if a.dtype == np.int64 else a - b)),
    "Div": (7, lambda a, b, d: a / b),
    "FusedMulAdd": (8, lambda a, b, d: a * d + b),
    "FusedMulAddRelu": (9, lambda a, b, d: relu(a * d + b)),
    "MulAddDst": (10, lambda a, b, d: a * b + d),
}
FLOAT_ONLY = {"Div", "FusedMulAdd", "FusedMulAddRelu", "MulAddDst"}


def binary_cases():
    for name in BINARY:
        for kind in TYPES:
            if kind.startswith("int") and name in FLOAT_ONLY or kind == "int32" and "Relu" in name:
                continue
            yield name, kind


@pytest.mark.parametrize("name,kind", list(binary_cases()))
def test_two_tensors(kernels, name, kind):
    dtype, (op, function) = TYPES[kind], BINARY[name]
    dst, a, b = (numbers(dtype, seed) for seed in range(3))
    lanes = 256 // np.dtype(dtype).itemsize
    for mask in masks(lanes) if name in ("Add", "MulAddDst") else few_masks(lanes):
        call = Call(op, mask)
        expected = elementwise(call, dst, [a, b], wide(function))
        compare(launch(kernels, f"arith_{kind}", call, dst, a, b), expected, dtype)


STRIDES = [
    ((1, 1, 0), (8, 8, 1)),  # a block per repeat, broadcast
    ((1, 1, 1), (8, 8, 0)),  # a row, broadcast
    ((2, 1, 3), (17, 8, 1)),
    ((1, 2, 1), (9, 16, 8)),
    ((8, 1, 1), (1, 8, 8)),  # transposes blocks
]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("block,step", STRIDES)
def test_strides(kernels, kind, block, step):
    dtype = TYPES[kind]
    dst, a, b = (numbers(dtype, seed, 4096) for seed in range(3))
    lanes = 256 // np.dtype(dtype).itemsize
    for mask in masks(lanes):
        if mask.form is Form.COUNT:
            continue
        call = Call(0, mask, block=block, step=step)
        expected = elementwise(call, dst, [a, b], wide(BINARY["Add"][1]))
        compare(launch(kernels, f"arith_{kind}", call, dst, a, b), expected, dtype)


def test_later_repeats_overwrite_earlier_ones(kernels):
    dst, a, b = (numbers(np.float32, seed) for seed in range(3))
    for mask in [first(60, 5), Mask(Form.BITS, bits=0xF0F0F0F0F0F0F0F1, repeat=4), Mask(Form.COUNTER, count=200)]:
        call = Call(0, mask, step=(2, 8, 8))
        wanted = dst.copy()
        for repeat, element in mask.elements(64):
            source = repeat * 64 + element
            wanted[repeat * 16 + element] = a[source] + b[source]
        np.testing.assert_array_equal(launch(kernels, "arith_float", call, dst, a, b).view(np.float32), wanted)


SCALAR = {
    "Adds": (20, lambda s: lambda a, d: a + s),
    "Muls": (21, lambda s: lambda a, d: a * s),
    "Maxs": (22, lambda s: lambda a, d: np.maximum(a, s)),
    "Mins": (23, lambda s: lambda a, d: np.minimum(a, s)),
    "LeakyRelu": (24, lambda s: lambda a, d: np.where(a >= 0, a, a * s)),
    "Axpy": (25, lambda s: lambda a, d: a * s + d),
}


SCALAR_CASES = [(n, k) for n in SCALAR for k in TYPES if k in ("half", "float") or n not in ("LeakyRelu", "Axpy")]


@pytest.mark.parametrize("name,kind", SCALAR_CASES)
def test_tensor_and_scalar(kernels, name, kind):
    dtype, (op, make) = np.dtype(TYPES[kind]), SCALAR[name]
    dst, a = numbers(dtype, 0), numbers(dtype, 1)
    scalar = dtype.type(-3 if kind.startswith("int") else -0.37)
    function = make(int(scalar) if kind.startswith("int") else float(scalar))
    lanes = 256 // dtype.itemsize
    for mask in masks(lanes) if name == "Muls" else few_masks(lanes):
        call = Call(op, mask, scalar=scalar.tobytes())
        compare(launch(kernels, f"arith_{kind}", call, dst, a, a), elementwise(call, dst, [a], wide(function)), dtype)


UNARY = {
    "Relu": (40, relu, 0),
    "Exp": (41, np.exp, 1),
    "Ln": (42, np.log, 1),
    "Abs": (43, np.abs, 0),
    "Reciprocal": (44, lambda a: 1 / a, 0),
    "Sqrt": (45, np.sqrt, 0),
    "Rsqrt": (46, lambda a: 1 / np.sqrt(a), 1),
}


@pytest.mark.parametrize("name,kind", [("Relu", "int32"), *((n, k) for n in UNARY for k in ("half", "float"))])
def test_one_tensor(kernels, name, kind):
    dtype, (op, function, ulp) = TYPES[kind], UNARY[name]
    dst, a = numbers(dtype, 0), numbers(dtype, 1)
    lanes = 256 // np.dtype(dtype).itemsize
    for mask in masks(lanes) if name == "Exp" else few_masks(lanes):
        call = Call(op, mask)
        expected = elementwise(call, dst, [a], wide(lambda x, d: function(x)))
        compare(launch(kernels, f"arith_{kind}", call, dst, a, a), expected, dtype, ulp)


def test_exp_over_the_whole_range(kernels):
    x = np.concatenate([np.linspace(-110, 90, 2**13 - 8), [-np.inf, np.inf, np.nan, 0, -0.0, 1, -104, 88.73]])
    x = x.astype(np.float32)
    out = launch(kernels, "arith_float", Call(41, Mask(Form.COUNT, count=len(x))), x, x, x).view(np.float32)
    with np.errstate(over="ignore"):
        expected = np.exp(x.astype(np.float64)).astype(np.float32)
    normal = expected >= np.finfo(np.float32).tiny
    np.testing.assert_array_max_ulp(out[normal], expected[normal], maxulp=1)
    np.testing.assert_allclose(out[~normal], expected[~normal], rtol=0, atol=2e-45)
    assert np.isnan(out[-6])


def overlap_of(kernels, call: Call, size: int = 1024) -> list[str]:
    x = np.ones(size, dtype=np.float32)
    buffers = [x.view(np.uint8)] * 3
    tiling = call.pack([x.nbytes] * 3)
    out = sim.Output(np.zeros_like(buffers[0]))
    findings = kernels.launch("arith_accumulate", [*buffers, out], tiling=tiling, raise_on_findings=False)
    return [f.message for f in findings if f.check == "overlap"]


def test_overlap(kernels):
    assert not overlap_of(kernels, Call(1, first(64, 4)))  # in place
    assert not overlap_of(kernels, Call(0, first(64, 4), step=(0, 8, 0)))  # documented for the second source
    assert "later repeat" in overlap_of(kernels, Call(1, first(64, 4), step=(0, 0, 8)))[0]
    assert "later repeat" in overlap_of(kernels, Call(1, first(64, 4), step=(8, 4, 8)))[0]
    assert not overlap_of(kernels, Call(2, first(64, 4), mode=256))  # apart
    assert "same repeat" in overlap_of(kernels, Call(2, first(64, 4), mode=8))[0]
    assert not overlap_of(kernels, Call(2, first(8, 4), mode=32))  # blocks in the gaps


def error_of(kernels, kind: str = "float", **fields) -> str:
    x = np.ones(1024, dtype=TYPES[kind])
    finding = fault(kernels, f"arith_{kind}", Call(0, **fields), x, x, x)
    assert finding.file.endswith("vector_arith.cpp") and finding.instruction == "Add"
    return f"{finding.check}: {finding.operand} {finding.message}"


def test_faults_name_the_parameter(kernels):
    assert "repeatTime is 256" in error_of(kernels, mask=first(64, 256))
    assert "mask is 65, must be at most" in error_of(kernels, mask=first(65))
    assert "dst block stride is 256" in error_of(kernels, mask=first(64), block=(256, 1, 1))
    assert "src1 repeat stride is 300" in error_of(kernels, mask=first(64), step=(8, 8, 300))
    assert "dst block stride is 0" in error_of(kernels, mask=first(64), block=(0, 1, 1))
    assert "count is -1" in error_of(kernels, mask=Mask(Form.COUNT, count=-1))
    assert error_of(kernels, mask=first(64), offset=(0, 16, 0)).startswith("misaligned: src0")
    assert error_of(kernels, mask=Mask(Form.COUNT, count=1025)).startswith("out-of-bounds: dst")
    assert error_of(kernels, mask=first(64, 17)).startswith("out-of-bounds")
    assert error_of(kernels, mask=first(64), block=(20, 1, 1)).startswith("out-of-bounds: dst")
    assert error_of(kernels, mask=first(64), block=(1, 20, 1)).startswith("out-of-bounds: src0")
    assert error_of(kernels, mask=first(64, 9), step=(16, 8, 8)).startswith("out-of-bounds: dst")
    assert error_of(kernels, mask=first(64, 9), step=(8, 8, 16)).startswith("out-of-bounds: src1")


def test_half_overflows_to_infinity_and_rounds_after_each_instruction(kernels):
    a = np.array([65504, 2048, 1, 1e-7] * 32, dtype=np.float16)
    b = np.array([65504, 1, 2**-11, 1e-7] * 32, dtype=np.float16)
    out = launch(kernels, "arith_half", Call(0, Mask(Form.COUNT, count=128)), a, a, b).view(np.float16)
    assert out[0] == np.inf and out[1] == 2048 and out[2] == 1 and out[3] == np.float16(2) * a[3]


@pytest.mark.parametrize("op", [10, 25])
def test_half_sources_into_float(kernels, op):
    dst, a, b = numbers(np.float32, 0), numbers(np.float16, 1), numbers(np.float16, 2)
    scalar = np.float16(0.3)
    for mask in masks(64):
        call = Call(op, mask, scalar=scalar.tobytes(), step=(8, 4, 4))
        if op == 10:
            expected = elementwise(call, dst, [a, b], wide(lambda x, y, d: x * y + d))
        else:
            expected = elementwise(call, dst, [a], wide(lambda x, d: x * float(scalar) + d))
        compare(launch(kernels, "arith_mixed", call, dst, a, b), expected, np.float32)


@pytest.mark.parametrize("kind", ["int16", "uint16"])
@pytest.mark.parametrize("op,function", [(60, np.bitwise_and), (61, np.bitwise_or), (62, lambda a, b: ~a)])
def test_logic(kernels, kind, op, function):
    dtype = np.dtype(kind)
    dst, a, b = (numbers(dtype, seed) for seed in range(3))
    for mask in few_masks(128):
        call = Call(op, mask)
        expected = elementwise(call, dst, [a, b], lambda x, y, d: function(x, y))
        compare(launch(kernels, f"logic_{kind}", call, dst, a, b), expected, dtype)


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("op", [70, 71, 72])
def test_shifts(kernels, kind, op):
    dtype = np.dtype(kind)
    dst, a = numbers(dtype, 0), numbers(dtype, 1)
    bits = dtype.itemsize * 8
    for distance in (0, 1, 5, bits - 1, bits):

        def function(x, d):
            exact = [int(v) for v in x]
            if op == 70:
                shifted = [v << distance for v in exact]
            else:
                carry = [(v >> (distance - 1)) & 1 if op == 72 and distance else 0 for v in exact]
                shifted = [(v >> distance) + c for v, c in zip(exact, carry)]
            return np.array([v & (2**bits - 1) for v in shifted], dtype=f"uint{bits}").view(dtype)

        mask = first(dtype.itemsize * 8, 2)
        call = Call(op, mask, scalar=dtype.type(distance).tobytes())
        compare(launch(kernels, f"shift_{kind}", call, dst, a, a), elementwise(call, dst, [a], function), dtype)
    call = Call(op, first(8), scalar=np.array(bits + 1, dtype=dtype).tobytes())
    assert fault(kernels, f"shift_{kind}", call, dst, a, a).check == "parameter"


def test_accumulation_over_repeats(kernels):
    """Add(dst, src0, dst) with repeat stride 0 for dst and src1 sums the repeats of src0."""
    a = numbers(np.float32, 1, 256)
    zero = np.zeros(64, dtype=np.float32)
    call = Call(0, first(64, 4), step=(0, 8, 0))
    total = np.zeros(64, dtype=np.float32)
    for row in a.reshape(4, 64):
        total = row + total
    out = launch(kernels, "arith_accumulate", call, zero, a, zero)
    np.testing.assert_array_equal(out.view(np.float32), total)
