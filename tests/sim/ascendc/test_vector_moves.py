"""Instructions that place elements rather than compute them, against loops written from their documentation."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import (
    BLOCK,
    KERNELS,
    Call,
    Form,
    Mask,
    elementwise,
    fault,
    first,
    launch,
    masks,
    place,
    raw,
)

WORDS = {"half": np.uint16, "bfloat16": np.uint16, "uint16": np.uint16, "float": np.uint32, "int32": np.uint32}
NUMBERS = {"half": np.float16, "float": np.float32, "int16": np.int16, "int32": np.int32}
PATTERNS = [None, "1010", "0101", "1000", "0100", "0010", "0001", "1111"]


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_moves.cpp", optimise=False)


def words(kind: str, seed: int, count: int = 2048) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**14, count).astype(WORDS[kind])


@pytest.mark.parametrize("kind", WORDS)
def test_duplicate(kernels, kind):
    dst = words(kind, 1)
    scalar = WORDS[kind](0x3C15)
    for mask in masks(256 // dst.itemsize):
        for block, step in [(1, 8), (3, 24)][: 1 if mask.form is Form.COUNT else 2]:
            call = Call(0, mask, block=(block, 1, 1), step=(step, 8, 8), scalar=scalar.tobytes())
            wanted = elementwise(call, dst, [], lambda d: np.full_like(d, scalar))
            np.testing.assert_array_equal(launch(kernels, f"fill_{kind}", call, dst, dst, dst), wanted)


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("repeat,block,step", [(2, 1, 8), (3, 2, 20), (2, 8, 1), (0, 1, 8)])
def test_brcb(kernels, kind, repeat, block, step):
    dst, src = words(kind, 1), words(kind, 2)
    call = Call(1, first(1, repeat), block=(block, 1, 1), step=(step, 8, 8))
    wanted = raw(dst).copy()
    for r in range(repeat):
        for b in range(8):
            at = (r * step + b * block) * BLOCK
            wanted[at : at + BLOCK] = raw(np.resize(src[r * 8 + b], BLOCK // src.itemsize))
    np.testing.assert_array_equal(launch(kernels, f"fill_{kind}", call, dst, src, src), wanted)


@pytest.mark.parametrize("kind", ["half", "float"])
def test_copy(kernels, kind):
    dst, src = words(kind, 1), words(kind, 2)
    lanes = 256 // dst.itemsize
    for mask in masks(lanes):
        if mask.form in (Form.COUNT, Form.COUNTER):
            continue
        for block, step in [((1, 1, 1), (8, 8, 8)), ((1, 1, 1), (1, 8, 8)), ((2, 3, 1), (18, 24, 8))]:
            call = Call(2, mask, block=block, step=step)
            wanted = elementwise(call, dst, [src], lambda s, d: s)
            np.testing.assert_array_equal(launch(kernels, f"fill_{kind}", call, dst, src, src), wanted)


def test_copy_in_counter_mode_counts_per_repeat(kernels):
    dst, src = words("float", 1), words("float", 2)
    for count in (5, 64, 100):
        call = Call(2, Mask(Form.COUNTER, count=count, repeat=3), step=(16, 20, 8))
        wanted = dst.copy()
        for r in range(3):
            wanted[r * 128 : r * 128 + count] = src[r * 160 : r * 160 + count]
        np.testing.assert_array_equal(launch(kernels, "fill_float", call, dst, src, src), raw(wanted))
    too_far = Call(2, first(64, 2), step=(4096, 8, 8))
    assert "dst repeat stride is 4096" in fault(kernels, "fill_float", too_far, dst, src, src).message


@pytest.mark.parametrize("kind", NUMBERS)
def test_index(kernels, kind):
    dtype = np.dtype(NUMBERS[kind])
    dst = np.zeros(1024, dtype=dtype)
    lanes = 256 // dtype.itemsize
    for mask in masks(lanes):
        if mask.form in (Form.REGISTER, Form.COUNTER):
            continue
        call = Call(0, mask, scalar=dtype.type(17).tobytes())
        index = np.array([r * lanes + e for r, e in mask.elements(lanes)])
        wanted = elementwise(call, dst, [], lambda d: index + 17)
        np.testing.assert_array_equal(launch(kernels, f"index_{kind}", call, dst, dst, dst), wanted)


@pytest.mark.parametrize("kind", NUMBERS)
def test_progression(kernels, kind):
    dtype = np.dtype(NUMBERS[kind])
    dst = np.zeros(256, dtype=dtype)
    call = Call(1, Mask(Form.COUNT, count=201), scalar=dtype.type(-9).tobytes(), scalar2=dtype.type(3).tobytes())
    wanted = dst.copy()
    wanted[:201] = np.arange(201) * 3 - 9
    np.testing.assert_array_equal(launch(kernels, f"index_{kind}", call, dst, dst, dst), raw(wanted))


@pytest.mark.parametrize("kind", ["half", "float"])
def test_gather(kernels, kind):
    dst, src = words(kind, 1), words(kind, 2)
    size, lanes = dst.itemsize, 256 // dst.itemsize
    base = 3 * size
    offsets = np.random.default_rng(3).integers(0, 1024, 2048).astype(np.uint32) * size
    for mask in masks(lanes):
        if mask.form in (Form.REGISTER, Form.COUNTER):
            continue
        for step in [8, 11][: 1 if mask.form is Form.COUNT else 2]:
            call = Call(0, mask, step=(step, 8, 8), scalar=np.uint32(base).tobytes())
            at = np.array([r * lanes + e for r, e in mask.elements(lanes)], dtype=int)
            wanted = elementwise(call, dst, [], lambda d: src[(base + offsets[at]) // size])
            np.testing.assert_array_equal(launch(kernels, f"collect_{kind}", call, dst, src, offsets), wanted)


def test_gather_faults(kernels):
    src = words("float", 2)
    offsets = np.array([0, 4, 8192, 4, 4, 4, 4, 4], dtype=np.uint32)
    call = Call(0, Mask(Form.COUNT, count=8))
    assert fault(kernels, "collect_float", call, src, src, offsets).check == "out-of-bounds"
    offsets[2] = 6
    assert fault(kernels, "collect_float", call, src, src, offsets).check == "misaligned"
    too_many = Call(0, Mask(Form.COUNT, count=9))
    finding = fault(kernels, "collect_float", too_many, src, src, offsets * 0)
    assert (finding.check, finding.operand) == ("out-of-bounds", "srcOffset")
    odd_base = Call(0, Mask(Form.COUNT, count=8), scalar=b"\2")
    assert "srcBaseAddr is 2" in fault(kernels, "collect_float", odd_base, src, src, offsets).message


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("repeat,block,step", [(2, 1, 8), (3, 2, 17), (2, 0, 8)])
def test_gather_blocks(kernels, kind, repeat, block, step):
    dst, src = words(kind, 1), words(kind, 2)
    offsets = np.random.default_rng(3).integers(0, 32, 32).astype(np.uint32) * BLOCK
    call = Call(1, first(1, repeat), block=(block, 1, 1), step=(step, 8, 8))
    wanted = raw(dst).copy()
    for i in range(repeat * 8):
        at = (i // 8 * step + i % 8 * max(block, 1)) * BLOCK
        wanted[at : at + BLOCK] = raw(src)[offsets[i] : offsets[i] + BLOCK]
    np.testing.assert_array_equal(launch(kernels, f"collect_{kind}", call, dst, src, offsets), wanted)


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("pattern", range(8))
@pytest.mark.parametrize("count", [0, 70])
def test_gather_mask(kernels, kind, pattern, count):
    """Pattern 0: bits from a tensor. count: elements of each repeat in counter mode."""
    dst, src = words(kind, 1), words(kind, 2)
    size = dst.itemsize
    bits = np.random.default_rng(3).integers(0, 256, 256, dtype=np.uint8)
    repeat, block, step, bits_step = 3, 2, 40, 1
    mask = Mask(Form.PREFIX, count=count, repeat=repeat)
    call = Call(2 if pattern else 3, mask, pattern, (1, block, 1), (8, step, bits_step))
    kept = []
    for r in range(repeat):
        own = np.unpackbits(bits[r * bits_step * BLOCK :][:BLOCK], bitorder="little")
        for i in range(count or 256 // size):
            if PATTERNS[pattern][i % 4] == "1" if pattern else own[i]:
                kept.append(src[place(r, i, size, block, step) // size])
    out = launch(kernels, f"collect_{kind}", call, dst, src, bits)
    wanted = raw(dst).copy()
    wanted[: len(kept) * size] = np.array(kept).view(np.uint8)
    assert list(out[-8:].view(np.uint32)) == [len(kept)] * 2
    np.testing.assert_array_equal(out[:-8], wanted[:-8])


def test_gather_mask_pattern(kernels):
    x = words("float", 1)
    for pattern in (0, 8):
        call = Call(2, Mask(Form.PREFIX, repeat=1), pattern)
        assert "src1Pattern" in fault(kernels, "collect_float", call, x, x, x).message


def test_transpose(kernels):
    src = words("half", 1, 256)
    out = launch(kernels, "transpose_half", Call(), src * 0, src, src)
    np.testing.assert_array_equal(out.view(np.uint16).reshape(16, 16), src.reshape(16, 16).T)


@pytest.mark.parametrize("addresses", [0, 1])
@pytest.mark.parametrize("kind,repeat", [("uint8", 1), ("uint8", 2), ("half", 1), ("half", 3), ("float", 2)])
def test_blocks_of_16(kernels, addresses, kind, repeat):
    dtype = {"uint8": np.uint8, "half": np.uint16, "float": np.uint32}[kind]
    per_block = BLOCK // np.dtype(dtype).itemsize
    rng = np.random.default_rng(1)
    src, dst = (rng.integers(0, 200, (128, per_block)).astype(dtype) for _ in range(2))
    blocks, steps = ((2, 4, 1), (0, 0, 8)) if repeat == 1 else ((1, 4, 1), (16, 1, 8))
    for mode in range(4 if kind == "uint8" else 1):
        dst_high, src_high = mode & 1, mode >> 1
        call = Call(addresses, Mask(Form.PREFIX, repeat=repeat), mode, blocks, steps)
        wanted = dst.copy()
        for r in range(repeat):
            rows = src[np.arange(16) * blocks[1] + r * steps[1]]
            targets = np.arange(16) * blocks[0] + r * steps[0]
            if kind == "uint8":
                columns = slice(16 * dst_high, 16 * dst_high + 16)
                wanted[targets, columns] = rows[:, 16 * src_high : 16 * src_high + 16].T
            elif kind == "half":
                wanted[targets] = rows.T
            else:
                wanted[targets] = rows.T.reshape(16, 8)
        out = launch(kernels, f"blocks_{kind}", call, dst, src, src)
        np.testing.assert_array_equal(out, raw(wanted))
