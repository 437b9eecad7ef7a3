"""Cast in every rounding mode the chip has, against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import (
    BLOCK,
    KERNELS,
    Call,
    Form,
    Mask,
    fault,
    few_masks,
    first,
    launch,
    masks,
    place,
    raw,
)

NONE, RINT, FLOOR, CEIL, ROUND, TRUNC, ODD = range(7)
FIVE = [RINT, FLOOR, CEIL, ROUND, TRUNC]
# Bits, and for floating formats the bits of the fraction and the smallest exponent of a normal number.
BITS = {"float": 32, "half": 16, "bfloat16": 16}
BITS |= {"int4": 4, "int8": 8, "uint8": 8, "int16": 16, "int32": 32, "int64": 64}
FRACTION = {"float": (23, -126), "half": (10, -14), "bfloat16": (7, -126)}
PAIRS = {
    ("float", "float"): FIVE,
    ("float", "half"): [NONE, *FIVE, ODD],
    ("float", "bfloat16"): FIVE,
    ("float", "int16"): FIVE,
    ("float", "int32"): FIVE,
    ("float", "int64"): FIVE,
    ("half", "float"): [NONE],
    ("half", "int4"): [NONE, *FIVE],
    ("half", "int8"): [NONE, *FIVE],
    ("half", "uint8"): [NONE, *FIVE],
    ("half", "int16"): FIVE,
    ("half", "int32"): FIVE,
    ("bfloat16", "float"): [NONE],
    ("bfloat16", "int32"): FIVE,
    ("int4", "half"): [NONE],
    ("int8", "half"): [NONE],
    ("uint8", "half"): [NONE],
    ("int16", "half"): [NONE, *FIVE],
    ("int16", "float"): [NONE],
    ("int32", "float"): [NONE, *FIVE],
    ("int32", "int16"): [NONE],
    ("int32", "int64"): [NONE],
    ("int64", "int32"): [NONE],
    ("int64", "float"): FIVE,
}


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_cast.cpp", optimise=False)


def whole(x: Fraction, mode: int) -> int:
    """x rounded to an integer."""
    low = math.floor(x)
    rest = x - low
    if rest == 0:
        return low
    if mode in (NONE, RINT):
        return low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1))
    if mode == FLOOR:
        return low
    if mode == CEIL:
        return low + 1
    if mode == ROUND:
        return low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and x > 0))
    if mode == TRUNC:
        return low if x > 0 else low + 1
    return low if low % 2 == 1 else low + 1


def rounded(x: Fraction, kind: str, mode: int) -> float:
    """x in a floating format; the largest number where a directed mode may not pass it, else infinity."""
    fraction, smallest = FRACTION[kind]
    if x == 0:
        return 0.0
    exponent = round(math.log2(abs(x)))
    exponent = max(exponent if abs(x) >= Fraction(2) ** exponent else exponent - 1, smallest)
    unit = Fraction(2) ** (exponent - fraction)
    result = whole(x / unit, mode) * unit
    largest = (2 - Fraction(1, 2**fraction)) * Fraction(2) ** (1 - smallest)
    if abs(result) <= largest:
        return float(result)
    inwards = mode in (TRUNC, ODD) or (mode == FLOOR and x > 0) or (mode == CEIL and x < 0)
    return math.copysign(float(largest) if inwards else math.inf, x)


def decode(data: np.ndarray, kind: str) -> list:
    """Values of a buffer of bytes."""
    if kind == "int4":
        nibbles = [n for byte in data for n in (int(byte) & 15, int(byte) >> 4)]
        return [n - 16 if n > 7 else n for n in nibbles]
    if kind == "bfloat16":
        return [float(v) for v in (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)]
    dtype = {"half": np.float16, "float": np.float32}.get(kind) or np.dtype(kind)
    return data.view(dtype).tolist()


def expected(value, src: str, dst: str, mode: int):
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        if dst in FRACTION:
            return value
        if math.isnan(value):
            return 0
        limits = limits_of(dst)
        return limits[1] if value > 0 else limits[0]
    exact = Fraction(value)
    if dst in FRACTION:
        return float(whole(exact, mode)) if src == dst else rounded(exact, dst, mode)
    low, high = limits_of(dst)
    return min(max(whole(exact, mode), low), high)


def limits_of(kind: str) -> tuple[int, int]:
    bits = BITS[kind]
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def sources(kind: str, dst: str) -> np.ndarray:
    """Bytes with values between representable ones, ties, ends of the ranges and special values."""
    rng = np.random.default_rng(3)
    if kind in FRACTION:
        halves = np.arange(-40, 40) * 0.5
        scale = {"half": 60, "bfloat16": 3e5}.get(kind, 60 if dst in ("half",) else 3e5)
        near = rng.standard_normal(200) * scale
        special = [np.inf, -np.inf, np.nan, 0, 127.5, -128.5, 255.5, 32767.5, -32769, 65504, 65519, 65520, 1e5, -7e4]
        special += [1e-7, 3e-8, 2.9e-8, -6e-8, 6.1e-5, 2**31, -(2**31), 3e9, 1e20, 0.49999997, 2**24 + 2.0]
        ties = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-25, 3 * 2.0**-25, -(2.0**-25)]
        with np.errstate(over="ignore"):
            values = np.concatenate([halves, near, special, ties]).astype(np.float16 if kind == "half" else np.float32)
        if kind == "bfloat16":
            values = (values.view(np.uint32) >> 16).astype(np.uint16)
        return raw(np.resize(values, 512))
    if kind == "int4":
        return rng.integers(0, 256, 256, dtype=np.uint8)
    info = np.iinfo(kind)
    values = rng.integers(info.min, info.max, 512, dtype=kind, endpoint=True)
    if BITS[kind] > 8:
        values[:8] = [info.max, info.min, 0, -1, 2**11 + 1, 2**11 + 3, -(2**12) - 2, 4098]
    if BITS[kind] > 16:
        values[8:14] = [2**25 + 3, 2**25 + 2, 2**24 + 1, -(2**24) - 1, 2**24 + 3, 32768]
    return raw(values)


def same(actual: list, wanted: list) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(actual, wanted))


@pytest.mark.parametrize("src,dst,mode", [(s, d, m) for (s, d), modes in PAIRS.items() for m in modes])
def test_values(kernels, src, dst, mode):
    data = sources(src, dst)
    count = len(data) * 8 // BITS[src]
    before = np.zeros(count * BITS[dst] // 8, dtype=np.uint8)
    call = Call(mask=Mask(Form.COUNT, count=count), mode=mode)
    out = launch(kernels, f"{src}_to_{dst}", call, before, data, data)
    values = decode(data, src)
    wanted = [expected(v, src, dst, mode) for v in values]
    actual = decode(out, dst)
    assert len(actual) == len(wanted)
    wrong = [(v, a, w) for v, a, w in zip(values, actual, wanted) if not same([a], [w])]
    assert not wrong, f"(source, result, expected): {wrong[:5]}"


@pytest.mark.parametrize("src,dst", [p for p in PAIRS if "int4" not in p])
def test_masks_and_strides(kernels, src, dst):
    """A repeat has as many elements as 256 bytes hold of the wider type."""
    wide = max(BITS[src], BITS[dst])
    lanes = 2048 // wide
    data = np.resize(sources(src, dst), 8192)
    before = np.full(8192, 0x5A, dtype=np.uint8)
    step = (8 * BITS[dst] // wide, 8 * BITS[src] // wide, 8)
    for mask in masks(lanes):
        gaps = [((2, 1, 1), (20, 9, 8)), ((1, 3, 1), (8, 24, 8))]
        for block, steps in [((1, 1, 1), step), *(gaps if mask in few_masks(lanes)[1:] else [])]:
            call = Call(mask=mask, mode=PAIRS[src, dst][0], block=block, step=steps)
            out = launch(kernels, f"{src}_to_{dst}", call, before, data, data)
            wanted = before.copy()
            size = BITS[dst] // 8
            full = launch_all(kernels, src, dst, call.mode, data)
            for repeat, element in mask.elements(lanes):
                at = place(repeat, element, size, block[0], steps[0])
                source = place(repeat, element, BITS[src] / 8, block[1], steps[1]) * 8 // BITS[src]
                wanted[at : at + size] = full[source * size : source * size + size]
            np.testing.assert_array_equal(out, wanted)


_converted: dict = {}


def launch_all(kernels, src: str, dst: str, mode: int, data: np.ndarray) -> np.ndarray:
    """The whole source converted in the count form, as test_values has checked it."""
    key = (src, dst, mode)
    if key not in _converted:
        count = len(data) * 8 // BITS[src]
        before = np.zeros(count * BITS[dst] // 8, dtype=np.uint8)
        call = Call(mask=Mask(Form.COUNT, count=count), mode=mode)
        _converted[key] = launch(kernels, f"{src}_to_{dst}", call, before, data, data[:BLOCK])
    return _converted[key]


def test_int32_to_half_with_a_scale(kernels):
    values = np.array([1, -7, 1000, 70000, 2**30, -(2**31), 3, 0] * 8, dtype=np.int32)
    before = np.zeros(64, dtype=np.float16)
    call = Call(op=1, mask=Mask(Form.COUNT, count=64), scalar=np.float16(0.25).tobytes())
    out = launch(kernels, "int32_to_half", call, before, values, values).view(np.float16)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(out, (values * 0.25).astype(np.float16))
    finding = fault(kernels, "int32_to_half", Call(mask=call.mask), before, values, values)
    assert "SetDeqScale" in finding.message


def test_unsupported_rounding_and_half_bytes(kernels):
    x = np.zeros(256, dtype=np.float32)
    assert "roundMode is 6" in fault(kernels, "float_to_int32", Call(mask=first(8), mode=ODD), x, x, x).message
    assert "roundMode is 1" in fault(kernels, "half_to_float", Call(mask=first(8), mode=RINT), x, x, x).message
    assert "even for int4b_t" in fault(kernels, "half_to_int4", Call(mask=first(7)), x, x, x).message
    bits = Mask(Form.BITS, bits=0b110110)
    assert "both elements" in fault(kernels, "int4_to_half", Call(mask=bits), x, x, x).message


def test_int4_in_repeats(kernels):
    data = np.arange(256, dtype=np.uint8)
    before = np.zeros(512, dtype=np.float16)
    call = Call(mask=first(128, 4), step=(8, 2, 8))
    out = launch(kernels, "int4_to_half", call, before, data, data).view(np.float16)
    np.testing.assert_array_equal(out, decode(data, "int4"))
    back = launch(kernels, "half_to_int4", Call(mask=first(128, 4), step=(2, 8, 8)), data * 0, out, data)
    np.testing.assert_array_equal(back, data)
