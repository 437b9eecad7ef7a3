"""Loads into L0, Mmad and Fixpipe: whole matrix products against numpy, in every layout the documentation describes."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
FLOATS = {"half": np.float16, "float": np.float32}
NO_QUANT, F322F16, F322BF16, DEQF16, VDEQF16, QF322B8, VQF322B8, REQ8, VREQ8 = range(9)


@dataclasses.dataclass
class Case:
    """The kernel's ProductTiling."""

    m: int
    n: int
    k: int
    left: int = 0
    right: int = 0
    rounds: int = 1
    bias: int = 0
    output: int = 0
    relu: int = 0
    split: int = 0
    atomic: int = 0
    hf32: int = 0
    per_column: int = 0
    quant: int = NO_QUANT
    dst_stride: int = 0
    scale: int = 0

    def pack(self) -> bytes:
        values = list(dataclasses.astuple(self))
        values[-2] = self.dst_stride or self.n
        return struct.pack("=3H10BIIQ", *values)


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "matrix_product.cpp")


@pytest.fixture(scope="module")
def corners():
    return sim.compile_kernel(KERNELS / "cube_corners.cpp")


def ceil(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def encode(values: np.ndarray, name: str) -> np.ndarray:
    """Integers in the chip's format; int4 packed in pairs along rows, the first in the low half."""
    values = np.ascontiguousarray(values)
    if name == "bfloat16":
        return to_bfloat16(values)
    if name == "int4":
        return (values[:, ::2] & 15 | (values[:, 1::2] & 15) << 4).astype(np.uint8)
    return values.astype({"half": np.float16, "float": np.float32, "int8": np.int8}[name])


def operands(case: Case, name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Small integers, so that every product and sum is exact in float."""
    rng = np.random.default_rng(seed)
    low, high = (-7, 8) if name == "int4" else (-9, 10)
    return rng.integers(low, high, (case.m, case.k)), rng.integers(low, high, (case.k, case.n))


def run(kernels, case: Case, kernel: str, a, b, extra=None, out_dtype=np.float32, out_shape=None, start=None):
    name = kernel.split("_")[0]
    left = encode(a if case.left < 2 else a.T, name)
    right = encode(b.T if case.right < 1 else b, name)
    out = np.zeros(out_shape or (case.m, case.dst_stride or case.n), out_dtype) if start is None else start
    arguments = [left, right, np.zeros(1) if extra is None else extra, sim.Output(out, written=start is not None)]
    kernels.launch(f"product_{kernel}", arguments, tiling=case.pack())
    return out


SHAPES = [(16, 16, 16), (128, 128, 128), (40, 50, 70), (17, 33, 15), (2, 100, 31), (64, 16, 200), (5, 5, 1)]


@pytest.mark.parametrize("m,n,k", SHAPES)
@pytest.mark.parametrize("left", range(5))
def test_left_matrix_of_half(kernels, m, n, k, left):
    case = Case(m, n, k, left=left)
    a, b = operands(case, "half")
    np.testing.assert_array_equal(run(kernels, case, "half_float", a, b), a @ b)


@pytest.mark.parametrize("m,n,k", SHAPES)
@pytest.mark.parametrize("right", range(4))
def test_right_matrix_of_half(kernels, m, n, k, right):
    case = Case(m, n, k, right=right)
    a, b = operands(case, "half")
    np.testing.assert_array_equal(run(kernels, case, "half_float", a, b), a @ b)


@pytest.mark.parametrize("m,n,k", [(40, 50, 70), (2, 3, 5), (100, 30, 64)])
@pytest.mark.parametrize("left,right", [(0, 0), (1, 3), (4, 0), (4, 3), (2, 1)])
def test_bfloat16(kernels, m, n, k, left, right):
    case = Case(m, n, k, left=left, right=right)
    a, b = operands(case, "bfloat16")
    np.testing.assert_array_equal(run(kernels, case, "bfloat16_float", a, b), a @ b)


@pytest.mark.parametrize("m,n,k", [(40, 50, 70), (3, 3, 36), (48, 24, 44), (64, 64, 64)])
@pytest.mark.parametrize("left,right", [(0, 0), (1, 0), (4, 0), (0, 3), (4, 3)])
def test_float(kernels, m, n, k, left, right):
    case = Case(m, n, k, left=left, right=right)
    a, b = operands(case, "float")
    np.testing.assert_array_equal(run(kernels, case, "float_float", a, b), a @ b)


@pytest.mark.parametrize("m,n,k", [(40, 50, 70), (33, 32, 64), (20, 70, 300)])
@pytest.mark.parametrize("left,right", [(0, 0), (1, 0), (3, 0), (0, 2), (3, 2)])
def test_int8(kernels, m, n, k, left, right):
    case = Case(m, n, k, left=left, right=right)
    a, b = operands(case, "int8")
    np.testing.assert_array_equal(run(kernels, case, "int8_int32", a, b, out_dtype=np.int32), a @ b)


def test_int8_sums_beyond_the_precision_of_float(kernels):
    case = Case(2, 3, 4000)
    a, b = np.full((2, 4000), -128), np.full((4000, 3), -127)
    a[:, ::7] = -127
    np.testing.assert_array_equal(run(kernels, case, "int8_int32", a, b, out_dtype=np.int32), a @ b)


@pytest.mark.parametrize("m,n,k,right", [(20, 32, 64, 0), (40, 64, 128, 0), (40, 64, 128, 2)])
def test_int4(kernels, m, n, k, right):
    case = Case(m, n, k, right=right)
    a, b = operands(case, "int4")
    np.testing.assert_array_equal(run(kernels, case, "int4_int32", a, b, out_dtype=np.int32), a @ b)


def test_vector_times_matrix(corners):
    """With m = 1 the cube takes L0A as k elements one after another, 256 to a fractal."""
    case = Case(1, 40, 250)
    a, b = operands(case, "half")
    row = np.zeros(256)
    row[:250] = a
    out = np.zeros((1, 40), np.float32)
    arguments = [encode(row, "half"), encode(b.T, "half"), sim.Output(out)]
    corners.launch("gemv", arguments, tiling=struct.pack("3H", 1, 40, 250))
    np.testing.assert_array_equal(out, a @ b)


@pytest.mark.parametrize("name", ["half", "float"])
@pytest.mark.parametrize("transpose,right", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    "m_start,k_start,m,k,stride,times,mode",
    [
        (0, 0, 48, 32, 0, 1, 0),
        (5, 16, 32, 16, 0, 1, 0),
        (30, 32, 7, 32, 0, 1, 0),
        (0, 16, 16, 16, 2, 2, 0),
        (16, 0, 32, 16, 32, 2, 1),
    ],
)
def test_windows_of_a_matrix(corners, name, transpose, right, m_start, k_start, m, k, stride, times, mode):
    """LoadData 3D: rows [m_start, m_start + m), columns [k_start, k_start + k) of what lies in L1, repeated downwards
    (stride in 16 rows) or to the right (stride in 32 bytes)."""
    c0 = 32 // np.dtype(FLOATS[name]).itemsize
    rng = np.random.default_rng(4)
    matrix = rng.integers(-50, 50, (48, 64))
    if mode == 1:
        stride //= c0
    rows = [m_start + r * stride * 16 + i for r in range(times if mode == 0 else 1) for i in range(m)]
    columns = [k_start + r * stride * c0 + i for r in range(times if mode == 1 else 1) for i in range(k)]
    expected = matrix[np.ix_(rows, columns)]
    if transpose and not right:
        expected = expected.T
    out = np.zeros(expected.shape, np.float32)
    values = [*expected.shape, 48, 64, m_start, k_start, m, k, stride, times, mode, transpose, right]
    arguments = [encode(matrix, name), np.eye(64, dtype=FLOATS[name]), sim.Output(out)]
    corners.launch(f"window_{name}", arguments, tiling=struct.pack("13i", *values))
    np.testing.assert_array_equal(out, expected)


def show_fractals(corners, name, source, start, repeats, stride, gap, fractal_gap, falling, transpose):
    """Elements of the first fractals of L0A, fractal by fractal."""
    out = np.zeros((16, 128), np.float32)
    values = [start, repeats, stride, gap, fractal_gap, falling, transpose, source.nbytes]
    arguments = [source, np.eye(64, dtype=source.dtype), sim.Output(out)]
    corners.launch(f"fractals_{name}", arguments, tiling=struct.pack("8i", *values))
    c0 = 32 // source.itemsize
    return out.reshape(16, 128 // c0, c0).transpose(1, 0, 2)


@pytest.mark.parametrize("name,transpose", [("half", 0), ("half", 1), ("float", 0)])
@pytest.mark.parametrize("start,repeats,stride,gap", [(0, 4, 1, 0), (3, 3, 2, 1), (5, 2, 0, 2)])
def test_fractals_one_by_one(corners, name, transpose, start, repeats, stride, gap):
    c0 = 32 // np.dtype(FLOATS[name]).itemsize
    source = np.random.default_rng(6).integers(-99, 99, (16, 16, c0)).astype(FLOATS[name])
    out = show_fractals(corners, name, source, start, repeats, stride, gap, 0, 0, transpose)
    expected = np.zeros_like(out)
    for i in range(repeats):
        fractal = source[start + i * stride]
        expected[i * (1 + gap)] = fractal.T if transpose else fractal
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    "name,start,repeats,stride,gap,fractal_gap,falling",
    [("half", 1, 3, 2, 1, 0, 0), ("half", 6, 3, 2, 0, 0, 1), ("float", 1, 2, 2, 1, 0, 0), ("float", 0, 3, 1, 0, 3, 0),
     ("float", 5, 2, 3, 2, 1, 1)],
)  # fmt: skip
def test_squares_transposed(corners, name, start, repeats, stride, gap, fractal_gap, falling):
    """Two fractals of float make a square: its left and its right 8 columns."""
    source = np.random.default_rng(7).integers(-99, 99, (8, 16, 16)).astype(FLOATS[name])
    halves = 2 if name == "float" else 1
    fractals = source.reshape(8, 16, halves, 16 // halves).transpose(0, 2, 1, 3).copy()
    out = show_fractals(corners, name, fractals, start, repeats, stride, gap, fractal_gap, falling, 2)
    expected = np.zeros_like(out)
    for i in range(repeats):
        square = source[start + i * stride * (-1 if falling else 1)].T
        for j in range(halves):
            width = 16 // halves
            expected[i * (1 + gap) + j * (1 + fractal_gap)] = square[:, j * width : (j + 1) * width]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("start,repeats,stride,gap,falling", [(0, 5, 2, 1, 0), (9, 4, 3, 0, 1), (2, 3, 0, 2, 0)])
def test_fractals_into_l1(corners, start, repeats, stride, gap, falling):
    source = np.arange(16 * 256).astype(np.float16).reshape(16, 256)
    out = np.zeros((32, 256), np.float16)
    tiling = struct.pack("8i", start, repeats, stride, gap, 0, falling, 0, 0)
    corners.launch("fractals_to_l1", [source, sim.Output(out)], tiling=tiling)
    expected = np.zeros_like(out)
    for i in range(repeats):
        expected[i * (1 + gap)] = source[start + i * stride * (-1 if falling else 1)]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name,bias,dtype", [("half", 1, np.float32), ("half", 2, np.float16), ("int8", 1, np.int32)])
@pytest.mark.parametrize("n", [16, 50, 128])
def test_bias(kernels, name, bias, dtype, n):
    case = Case(33, n, 64, bias=bias)
    a, b = operands(case, name)
    row = np.random.default_rng(1).integers(-50, 50, ceil(n, 64)).astype(dtype)
    kernel, out = ("int8_int32", np.int32) if name == "int8" else ("half_float", np.float32)
    np.testing.assert_array_equal(run(kernels, case, kernel, a, b, row, out_dtype=out), a @ b + row[:n])


@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("m,n", [(16, 16), (128, 256), (50, 70)])
def test_accumulation_over_k(kernels, m, n, bias):
    case = Case(m, n, 192, rounds=3, bias=bias)
    a, b = operands(case, "half")
    row = np.arange(ceil(n, 16), dtype=np.float32)
    expected = a @ b + (row[:n] if bias else 0)
    np.testing.assert_array_equal(run(kernels, case, "half_float", a, b, row), expected)


def test_products_of_random_floats(kernels):
    """Rounding is that of float sums over exact products."""
    case = Case(90, 80, 300)
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((90, 300)).astype(np.float16), rng.standard_normal((300, 80)).astype(np.float16)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    error = np.abs(run(kernels, case, "half_float", a, b) - expected) / scale
    assert error.max() < 300 * 2.0**-24 / 2


@pytest.mark.parametrize("zero", ["left", "right"])
@pytest.mark.parametrize("other", [3.0, -3.0, np.inf, np.nan])
@pytest.mark.parametrize("start", [None, 5.0, 0.0, -0.0])
def test_products_with_zeros(kernels, zero, other, start):
    """Zero times a number adds a zero with its sign, zero times an infinity or NaN a NaN."""
    case = Case(33, 50, 64, bias=start is not None)
    a, b = np.zeros((33, 64), np.float32), np.zeros((64, 50), np.float32)
    (b if zero == "left" else a)[...] = 1
    (b if zero == "left" else a)[7, 7] = other
    row = np.full(64, 0 if start is None else start, np.float32)
    out = run(kernels, case, "half_float", a, b, row)
    expected = np.zeros((33, 50), np.float32) if start is None else np.tile(row[:50], (33, 1))
    with np.errstate(invalid="ignore"):
        for k in range(64):
            expected += a[:, k : k + 1] * b[k]
    np.testing.assert_array_equal(out, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(out[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("mode", [1, 2])
def test_hf32(kernels, mode):
    """11 bits of fraction, to nearest; ties to even or towards zero."""
    case = Case(16, 16, 8, hf32=mode)
    bits = np.float32(1.0).view(np.uint32) + np.array([0x7FF, 0x800, 0x801, 0x1800, 0x2800, 0x1000, 0xFFF, 0x17FF],
                                               np.uint32)
    a = np.tile(bits.view(np.float32), (16, 1))
    out = run(kernels, case, "float_float", a, np.eye(8, 16, dtype=np.float32))
    quotient, rest = bits >> 12, bits & 0xFFF
    up = rest > 0x800 if mode == 2 else (rest > 0x800) | ((rest == 0x800) & (quotient & 1 == 1))
    expected = ((quotient + up) << 12).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(out[:, :8], np.tile(expected, (16, 1)))


# Moving the result out.


def fractal_columns(matrix: np.ndarray, width: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of NZ and whether each belongs to the matrix: columns of `width` elements `stride` bytes apart, their rows
    one after another; a narrower last column has narrower rows."""
    m, n = matrix.shape
    out = np.zeros(-(-n // width) * stride, np.uint8)
    used = np.zeros(out.size, bool)
    for i, column in enumerate(range(0, n, width)):
        block = np.ascontiguousarray(matrix[:, column : column + width]).view(np.uint8).ravel()
        out[i * stride :][: block.size] = block
        used[i * stride :][: block.size] = True
    return out, used


def aligned(count: int) -> np.ndarray:
    """Bytes at an address like those of device memory."""
    memory = np.zeros(count + 512, np.uint8)
    return memory[-memory.ctypes.data % 512 :][:count]


@pytest.mark.parametrize("m,n", [(16, 16), (40, 50), (17, 7), (128, 130)])
@pytest.mark.parametrize("kernel,quant,dtype", [
    ("half_float", NO_QUANT, np.float32), ("half_half", F322F16, np.float16), ("half_bfloat16", F322BF16, np.uint16)])
@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("output", [0, 3])
def test_rows_out(kernels, m, n, kernel, quant, dtype, relu, output):
    case = Case(m, n, 64, quant=quant, relu=relu, output=output, dst_stride=n + 3)
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal(shape).astype(np.float16) for shape in ((m, 64), (64, n)))
    exact = run(kernels, dataclasses.replace(case, quant=0, relu=0, output=0), "half_float", a, b)[:, :n]
    expected = np.maximum(exact, 0) if relu else exact
    expected = {NO_QUANT: expected, F322F16: expected.astype(np.float16), F322BF16: to_bfloat16(expected)}[quant]
    out = run(kernels, case, kernel, a, b, out_dtype=dtype)
    np.testing.assert_array_equal(out[:, :n], expected)
    assert (out[:, n:] == 0).all()


@pytest.mark.parametrize("m,n", [(16, 16), (40, 48), (17, 80)])
@pytest.mark.parametrize(
    "output,kernel,quant,dtype",
    [
        (1, "half_float", NO_QUANT, np.float32),
        (1, "half_half", F322F16, np.float16),
        (2, "half_half", F322F16, np.float16),
        (1, "int8_half", DEQF16, np.float16),
        (2, "int8_half", DEQF16, np.float16),
        (1, "half_int8", QF322B8, np.int8),
    ],
)
def test_fractals_out(kernels, m, n, output, kernel, quant, dtype):
    """8-bit results fill rows of 32 bytes from two fractals of L0C; an odd last one stays 16 wide."""
    size = np.dtype(dtype).itemsize
    width = 32 if size == 1 else 16
    stride = ceil(m, 16) * width * size
    case = Case(m, n, 32, quant=quant, output=output, dst_stride=stride // 32, scale=0x3F800000 | 1 << 46)
    a, b = (np.sign(x) for x in operands(case, kernel.split("_")[0]))
    out = run(kernels, case, kernel, a, b, start=aligned(ceil(m, 16) * ceil(n, 32) * size))
    expected, used = fractal_columns((a @ b).astype(dtype), width, stride)
    np.testing.assert_array_equal(out[: used.size][used], expected[used])
    if output == 1:  # out of L1 come whole fractals
        assert (out[: used.size][~used] == 0).all()


def test_channel_split(kernels):
    case = Case(40, 24, 32, output=1, split=1, dst_stride=48)
    a, b = operands(case, "half")
    out = run(kernels, case, "half_float", a, b, start=aligned(3 * 48 * 32))
    np.testing.assert_array_equal(out, fractal_columns((a @ b).astype(np.float32), 8, 48 * 32)[0])


def quantise(values: np.ndarray, factor: np.ndarray, offset: int, signed: bool, relu: bool) -> np.ndarray:
    """8-bit results: times the factor, rounded to 9 bits, plus the offset, saturated."""
    scaled = np.where(relu & (values < 0), 0, values.astype(np.float32) * factor.astype(np.float32))
    nine = np.rint(np.clip(scaled, -256, 255)).astype(int) + offset
    return np.clip(nine, -128, 127).astype(np.int8) if signed else np.clip(nine, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("per_column", [0, 1])
@pytest.mark.parametrize("output", [0, 3])
@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("kernel,offset", [("int8_int8", 5), ("half_int8", -3), ("half_uint8", 100)])
def test_bytes_out(kernels, per_column, output, relu, kernel, offset):
    m, n = 33, 40
    quant = (REQ8 if kernel.startswith("int8") else QF322B8) + per_column
    signed = not kernel.endswith("uint8")
    factors = (np.arange(1, n + 1) / 16 if per_column else np.full(n, 0.375)).astype(np.float32)
    parameters = factors.view(np.uint32).astype(np.uint64) | np.uint64((offset & 0x1FF) << 37 | signed << 46)
    case = Case(m, n, 48, quant=quant, output=output, relu=relu, per_column=per_column, scale=int(parameters[0]))
    a, b = operands(case, kernel.split("_")[0])
    table = np.zeros(ceil(n, 16), np.uint64)
    table[:n] = parameters
    out = run(kernels, case, kernel, a, b, table, out_dtype=np.int8 if signed else np.uint8)
    np.testing.assert_array_equal(out, quantise(a @ b, factors, offset, signed, bool(relu)))


@pytest.mark.parametrize("per_column", [0, 1])
def test_half_from_integers(kernels, per_column):
    """The chip takes 10 bits of the factor's fraction."""
    m, n = 20, 64
    factors = np.linspace(0.01, 2, n).astype(np.float32) if per_column else np.full(n, 1 / 3, np.float32)
    case = Case(m, n, 64, quant=DEQF16 + per_column, per_column=per_column, scale=int(factors.view(np.uint32)[0]))
    a, b = operands(case, "int8")
    out = run(kernels, case, "int8_half", a, b, factors.view(np.uint32).astype(np.uint64), out_dtype=np.float16)
    kept = (factors.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    np.testing.assert_array_equal(out, ((a @ b).astype(np.float32) * kept).astype(np.float16))


def test_atomic_add_out(kernels):
    case = Case(20, 30, 16, atomic=1)
    a, b = operands(case, "half")
    start = np.arange(600, dtype=np.float32).reshape(20, 30)
    out = run(kernels, case, "half_float", a, b, start=start.copy())
    np.testing.assert_array_equal(out, start + a @ b)


def test_several_matrices(corners):
    """ndNum matrices side by side in L0C, srcNdStride fractals apart."""
    case = Case(32, 16, 16)
    a, b = operands(case, "half")
    out = np.full((3, 32, 20), -1, np.float32)
    arguments = [encode(a, "half"), encode(b.T, "half"), sim.Output(out, written=True)]
    corners.launch("several_matrices", arguments, tiling=case.pack())
    np.testing.assert_array_equal(out[:, :, :16], np.stack([a @ b * factor for factor in (1, 2, 3)]))
    assert (out[:, :, 16:] == -1).all()


def test_constant_fill(corners):
    out = np.zeros((16, 16), np.float32)
    corners.launch("filled", [sim.Output(out)])
    np.testing.assert_array_equal(out, np.full((16, 16), 16 * 3 * 0.5))


@pytest.mark.parametrize(
    "kernel,check,instruction,text",
    [
        ("mmad_too_large", "parameter", "Mmad", "m is 4096"),
        ("mmad_padding_read", "unwritten", "Fixpipe", "has not written"),
        ("mmad_unwritten_left", "unwritten", "Mmad", "has not written"),
        ("mmad_wrong_order", "unwritten", "Mmad", "has not written"),
        ("mmad_without_barrier", "race", "Mmad", "read after write"),
        ("mmad_misaligned", "misaligned", "Mmad", "1024"),
        ("load_misaligned", "misaligned", "LoadData", "512"),
        ("load_beyond", "out-of-bounds", "LoadData", "bytes"),
        ("load_transposed_float", "parameter", "LoadData", "ifTranspose"),
        ("load_window_beyond", "parameter", "LoadData", "mStartPt + mExtension is 48"),
        ("load_filter", "unsupported", "LoadData", "filter"),
        ("fixpipe_wrong_mode", "parameter", "Fixpipe", "quantPre"),
        ("fixpipe_overlapping_rows", "parameter", "Fixpipe", "dstStride is 15"),
        ("fixpipe_beyond", "out-of-bounds", "Fixpipe", "bytes"),
        ("fixpipe_without_flag", "race", "Fixpipe", "read after write"),
        ("fixpipe_odd_fractals", "parameter", "Fixpipe", "multiple of 16"),
        ("fixpipe_unit_flag", None, None, None),
        ("bias_two_blocks", "parameter", "DataCopy", "blockCount is 2"),
        ("ub_on_the_cube", None, None, None),
    ],
)
def test_faults(corners, kernel, check, instruction, text):
    out = np.zeros((16, 16), np.float32)
    arguments = [np.ones((64, 64), np.float16), sim.Output(out)]
    if check is None:
        corners.launch(kernel, arguments)
        return
    with pytest.raises(sim.KernelError) as caught:
        corners.launch(kernel, arguments)
    finding = caught.value.findings[0]
    assert (finding.check, finding.instruction) == (check, instruction) and text in finding.message


@pytest.mark.parametrize("kernel", ["mmad_with_barrier", "mmad_large_without_barrier"])
def test_accumulating_back_to_back(corners, kernel):
    corners.launch(kernel, [np.ones((64, 64), np.float16), sim.Output(np.zeros((16, 16), np.float32))])


def test_time_of_unit_flags_without_checks(corners):
    """Mmad and Fixpipe wait for each other, whether the program is checked or not."""
    arguments = [np.ones((64, 64), np.float16), sim.Output(np.zeros((16, 16), np.float32))]
    times = [sim.profile(corners.launch, "fixpipe_unit_flag", arguments, check=check).us for check in (True, False)]
    assert times[0] == times[1]
