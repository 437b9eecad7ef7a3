"""DataCopy and DataCopyPad on every path, against layouts written from the documentation of each form."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
DTYPES = {"int8": np.int8, "half": np.float16, "float": np.float32, "int64": np.int64}


@dataclasses.dataclass
class Move:
    """The kernels' MoveTiling."""

    buffer_bytes: int = 4096
    offset: int = 0
    count: int = 1
    length: int = 1
    src_stride: int = 0
    dst_stride: int = 0
    left: int = 0
    right: int = 0
    is_pad: int = 0
    set_pad: int = 0
    pad_value: int = 0
    register_value: int = 0
    nd: tuple[int, ...] = (0,) * 8

    def pack(self) -> bytes:
        return struct.pack("=II8iqq8i", *dataclasses.astuple(self)[:-1], *self.nd)


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "data_moves.cpp")


def random_bytes(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-100, 100, count, dtype=np.int8)


def into_local(kernels, kernel: str, move: Move, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The local buffer before and after the movement."""
    before = random_bytes(1, move.buffer_bytes)
    after = np.zeros_like(before)
    kernels.launch(kernel, [before, source, sim.Output(after)], tiling=move.pack())
    return before, after


def out_of_local(kernels, kernel: str, move: Move, source: np.ndarray, before: np.ndarray) -> np.ndarray:
    after = before.copy()
    kernels.launch(kernel, [source, sim.Output(after, written=True)], tiling=move.pack())
    return after


def moved(before: np.ndarray, source: np.ndarray, pieces: list[tuple[int, int, int]]) -> np.ndarray:
    """`before` with source[src:src + n] at dst for each (dst, src, n)."""
    after = before.copy()
    for dst, src, n in pieces:
        after[dst : dst + n] = source[src : src + n]
    return after


def error_of(kernels, kernel: str, move: Move, arguments: list) -> sim.Finding:
    with pytest.raises(sim.KernelError) as caught:
        kernels.launch(kernel, arguments, tiling=move.pack())
    return caught.value.findings[0]


BLOCKS = [(1, 1, 0, 0), (3, 2, 0, 0), (4, 3, 5, 0), (5, 1, 0, 7), (2, 16, 9, 3), (0, 4, 0, 0), (3, 0, 1, 1)]


@pytest.mark.parametrize("count,length,src_gap,dst_gap", BLOCKS)
@pytest.mark.parametrize("kernel", ["gm_to_ub", "gm_to_l1"])
def test_blocks_into_local_memory(kernels, kernel, count, length, src_gap, dst_gap):
    source = random_bytes(2, 4096)
    move = Move(offset=32, count=count, length=length, src_stride=src_gap, dst_stride=dst_gap)
    before, after = into_local(kernels, kernel, move, source)
    pieces = [(64 + i * 32 * (length + dst_gap), i * 32 * (length + src_gap), 32 * length) for i in range(count)]
    np.testing.assert_array_equal(after, moved(before, source, pieces))


@pytest.mark.parametrize("count,length,src_gap,dst_gap", BLOCKS)
@pytest.mark.parametrize("kernel", ["ub_to_gm", "l1_to_gm"])
def test_blocks_out_of_local_memory(kernels, kernel, count, length, src_gap, dst_gap):
    source, before = random_bytes(2, 4096), random_bytes(3, 4096)
    move = Move(offset=16, count=count, length=length, src_stride=src_gap, dst_stride=dst_gap)
    after = out_of_local(kernels, kernel, move, source, before)
    pieces = [(i * 32 * (length + dst_gap), 32 + i * 32 * (length + src_gap), 32 * length) for i in range(count)]
    np.testing.assert_array_equal(after, moved(before, source, pieces))


def test_blocks_within_ub(kernels):
    source = random_bytes(2, 4096)
    move = Move(offset=1024, count=3, length=4, src_stride=2, dst_stride=1)
    after = np.zeros_like(source)
    kernels.launch("ub_to_ub", [source, sim.Output(after)], tiling=move.pack())
    pieces = [(2048 + i * 160, i * 192, 128) for i in range(3)]
    np.testing.assert_array_equal(after, moved(source, source, pieces))


def test_elements(kernels):
    source = random_bytes(2, 4096)
    before, after = into_local(kernels, "gm_to_ub_count", Move(offset=16, count=48), source)
    np.testing.assert_array_equal(after, moved(before, source, [(32, 0, 96)]))


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(
    "count,elements,gm_gap,ub_gap,left,right,is_pad,set_pad",
    [
        (1, 32, 0, 0, 0, 0, 0, 0),
        (3, 5, 24, 0, 0, 0, 0, 0),
        (3, 5, 8, 2, 0, 0, 1, 0),
        (2, 7, 16, 1, 1, 2, 1, 0),
        (2, 9, 0, 0, 0, 3, 1, 1),
        (4, 3, 40, 3, 2, 0, 0, 1),
    ],
)
def test_pad_into_ub(kernels, name, count, elements, gm_gap, ub_gap, left, right, is_pad, set_pad):
    dtype = DTYPES[name]
    size = np.dtype(dtype).itemsize
    value, register = (0, 0) if size == 8 else (7, 11)
    source = random_bytes(2, 4096)
    move = Move(
        offset=32 // size, count=count, length=elements * size, src_stride=gm_gap, dst_stride=ub_gap, left=left,
        right=right, is_pad=is_pad, set_pad=set_pad, pad_value=value, register_value=register,
    )  # fmt: skip
    before, after = into_local(kernels, f"pad_to_ub_{name}", move, source)
    expected = before.copy()
    whole = -(-(left + elements + right) * size // 32) * 32
    padding = np.array([value if is_pad else register], dtype).view(np.int8)
    for i in range(count):
        data = source[i * (elements * size + gm_gap) :][: elements * size]
        filling = padding if left + right else data[:size]
        block = np.tile(filling, whole // size)
        block[left * size : (left + elements) * size] = data
        at = 32 + i * (whole + 32 * ub_gap)
        expected[at : at + whole] = block
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("count,elements,ub_gap,gm_gap", [(1, 1, 0, 0), (3, 5, 0, 3), (4, 17, 2, 0), (2, 64, 1, 32)])
def test_pad_out_of_ub(kernels, name, count, elements, ub_gap, gm_gap):
    size = np.dtype(DTYPES[name]).itemsize
    source, before = random_bytes(2, 4096), random_bytes(3, 4096)
    move = Move(offset=32 // size, count=count, length=elements * size, src_stride=ub_gap, dst_stride=gm_gap)
    after = out_of_local(kernels, f"pad_to_gm_{name}", move, source, before)
    whole = -(-elements * size // 32) * 32
    pieces = [(i * (elements * size + gm_gap), 32 + i * (whole + 32 * ub_gap), elements * size) for i in range(count)]
    np.testing.assert_array_equal(after, moved(before, source, pieces))


@pytest.mark.parametrize("name", ["int8", "half", "float"])
@pytest.mark.parametrize(
    "matrices,rows,columns,src_matrix,src_row,c0_stride,n_stride,dst_matrix",
    [
        (1, 16, 23, 0, 32, 16, 1, 0),
        (1, 5, 64, 0, 80, 16, 1, 0),
        (2, 8, 23, 384, 32, 37, 2, 2560),
        (3, 4, 8, 100, 9, 4, 1, 512),
        (2, 3, 40, 0, 40, 3, 1, 1024),
        (1, 0, 8, 0, 8, 1, 1, 0),
    ],
)
def test_nd_to_nz(kernels, name, matrices, rows, columns, src_matrix, src_row, c0_stride, n_stride, dst_matrix):
    dtype = np.dtype(DTYPES[name])
    c0 = 32 // dtype.itemsize
    source = random_bytes(2, 8192)
    nd = (matrices, rows, columns, src_matrix, src_row, c0_stride, n_stride, dst_matrix)
    before, after = into_local(kernels, f"nd_to_nz_{name}", Move(buffer_bytes=32768, offset=c0, nd=nd), source)
    expected = before.copy()
    wide_columns = -(-columns // c0) * c0
    elements = source.view(np.int8).reshape(-1, dtype.itemsize)
    for matrix in range(matrices):
        for row in range(rows):
            for column in range(wide_columns):
                at = (column // c0 * c0_stride + row * n_stride + 1) * 32
                at += (matrix * dst_matrix + column % c0) * dtype.itemsize
                value = elements[matrix * src_matrix + row * src_row + column] if column < columns else 0
                expected[at : at + dtype.itemsize] = value
    np.testing.assert_array_equal(after, expected)


def test_nz_to_nd(kernels):
    matrices, rows, columns, src_matrix, src_column, dst_row, dst_matrix = 2, 4, 32, 3, 20, 50, 400
    source = random_bytes(2, 4096).view(np.float16).view(np.int16)
    before = random_bytes(3, 4096).view(np.int16)
    after = before.copy()
    nd = (matrices, rows, columns, src_matrix, src_column, dst_row, dst_matrix, 0)
    kernels.launch("nz_to_nd", [source, sim.Output(after, written=True)], tiling=Move(nd=nd).pack())
    expected = before.copy()
    for matrix in range(matrices):
        for row in range(rows):
            for column in range(columns):
                at = matrix * src_matrix * 256 + column // 16 * src_column * 16 + row * 16 + column % 16
                expected[matrix * dst_matrix + row * dst_row + column] = source[at]
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize("name", ["float", "half", "bfloat16", "int32", "int16", "int8"])
@pytest.mark.parametrize("kind", range(3), ids=["add", "max", "min"])
def test_atomic_writes_of_many_cores(kernels, name, kind):
    cores, elements = 6, 40
    rng = np.random.default_rng(5)
    values = rng.integers(-10, 10, (cores + 1, 64))
    dtype = {"float": np.float32, "half": np.float16, "int32": np.int32, "int16": np.int16, "int8": np.int8}.get(name)

    def encode(array):  # bfloat16 as the upper half of float32
        if dtype is not None:
            return array.astype(dtype)
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    source, out = np.ascontiguousarray(encode(values[:cores])), encode(values[cores]).copy()
    size = source.itemsize
    move = Move(buffer_bytes=64 * size, count=1, length=elements * size, set_pad=kind)
    kernels.launch(f"combine_{name}", [source, sim.Output(out, written=True)], tiling=move.pack(), block_dim=cores)
    expected = values[cores].copy()
    expected[:elements] = [np.sum, np.max, np.min][kind](values[:, :elements], axis=0)
    np.testing.assert_array_equal(out, encode(expected))


def test_atomic_add_of_bytes_saturates(kernels):
    source, out = np.full((2, 64), 100, np.int8), np.full(64, 50, np.int8)
    move = Move(buffer_bytes=64, length=64)
    kernels.launch("combine_int8", [source, sim.Output(out, written=True)], tiling=move.pack(), block_dim=2)
    assert (out == 127).all()


def test_atomic_add_needs_a_start(kernels):
    source, out = np.ones((1, 64), np.float32), np.zeros(64, np.float32)
    finding = error_of(kernels, "combine_float", Move(buffer_bytes=256, length=256), [source, sim.Output(out)])
    assert finding.check == "unwritten" and finding.space == "GM"


@pytest.mark.parametrize(
    "kernel,move,check,text",
    [
        ("gm_to_ub", Move(count=4096, length=1), "parameter", "blockCount is 4096"),
        ("gm_to_ub", Move(length=65536), "parameter", "blockLen is 65536"),
        ("gm_to_ub", Move(length=2, src_stride=70000, count=2), "parameter", "srcStride is 70000"),
        ("gm_to_ub", Move(length=1, dst_stride=-1, count=2), "parameter", "dstStride is -1"),
        ("gm_to_ub", Move(offset=8), "misaligned", "multiples of 32"),
        ("gm_to_ub", Move(length=129), "out-of-bounds", "4096 bytes"),
        ("gm_to_ub", Move(offset=16, length=128), "out-of-bounds", "[32, 4128)"),
        ("gm_to_l1", Move(offset=8), "misaligned", "multiples of 32"),
        ("gm_to_l1", Move(offset=16, length=128), "out-of-bounds", "[32, 4128)"),
        ("gm_to_ub_count", Move(count=17), "parameter", "count in bytes is 34"),
        ("pad_to_ub_half", Move(length=3), "parameter", "blockLen is 3"),
        ("pad_to_ub_half", Move(length=2097152), "parameter", "blockLen is 2097152"),
        ("pad_to_ub_half", Move(length=4, left=17, is_pad=1), "parameter", "leftPadding in bytes is 34"),
        ("pad_to_ub_float", Move(length=4, right=9, is_pad=1), "parameter", "rightPadding in bytes is 36"),
        ("pad_to_ub_int64", Move(length=8, right=1, is_pad=1, pad_value=3), "parameter", "paddingValue"),
        ("pad_to_ub_half", Move(length=4, offset=3), "misaligned", "multiples of 32"),
        ("pad_to_ub_half", Move(offset=2032, length=34), "out-of-bounds", "[4064, 4128)"),
        ("nd_to_nz_half", Move(nd=(1, 4, 32, 0, 70000, 16, 1, 0)), "parameter", "srcDValue is 70000"),
        ("nd_to_nz_half", Move(nd=(1, 4, 32, 0, 0, 16, 1, 0)), "parameter", "srcDValue is 0"),
        ("nd_to_nz_half", Move(nd=(1, 16, 32, 0, 32, 15, 1, 0)), "parameter", "dstNzC0Stride is 15"),
        ("nd_to_nz_half", Move(nd=(1, 16385, 8, 0, 8, 1, 1, 0)), "parameter", "nValue is 16385"),
        ("nd_to_nz_half", Move(nd=(4096, 1, 8, 0, 8, 1, 1, 0)), "parameter", "ndNum is 4096"),
        ("nd_to_nz_half", Move(nd=(1, 16, 128, 0, 128, 17, 1, 0)), "out-of-bounds", "4320"),
    ],
)
def test_faults_into_local_memory(kernels, kernel, move, check, text):
    out = np.zeros(4096, np.int8)
    finding = error_of(kernels, kernel, move, [random_bytes(1, 4096), random_bytes(2, 4096), sim.Output(out)])
    assert finding.check == check and text in finding.message
    assert finding.file.endswith("data_moves.cpp") and finding.line > 0


@pytest.mark.parametrize(
    "kernel,move,check,text",
    [
        ("ub_to_gm", Move(length=129), "out-of-bounds", "4096 bytes"),
        ("ub_to_gm", Move(offset=8), "misaligned", "multiples of 32"),
        ("pad_to_gm_half", Move(length=31), "parameter", "blockLen is 31"),
        ("pad_to_gm_half", Move(length=64, offset=1), "misaligned", "multiples of 32"),
        ("nz_to_nd", Move(nd=(1, 4, 24, 1, 4, 32, 1, 0)), "parameter", "dValue is 24"),
        ("combine_wrong_type", Move(length=4), "parameter", "half"),
    ],
)
def test_faults_out_of_local_memory(kernels, kernel, move, check, text):
    out = np.zeros(4096, np.int8)
    finding = error_of(kernels, kernel, move, [random_bytes(1, 4096), sim.Output(out, written=True)])
    assert finding.check == check and text in finding.message


def test_copy_of_an_unwritten_buffer(kernels):
    out = np.zeros(4096, np.int8)
    finding = error_of(kernels, "unwritten_to_gm", Move(length=4), [sim.Output(out)])
    assert finding.check == "unwritten" and finding.space == "UB"


def test_padding_of_unknown_value_is_unwritten(kernels):
    """isPad = false without SetPadValue: nobody knows what is in the padding, so showing it is reported."""
    out = np.zeros(4096, np.int8)
    move = Move(length=64, right=16)
    finding = error_of(kernels, "pad_to_ub_half", move, [random_bytes(1, 4096), random_bytes(2, 4096), sim.Output(out)])
    assert finding.check == "unwritten" and finding.instruction == "DataCopy"
