"""What the tests of the tile primitives share: the module, the tables it can run here, and numpy number formats."""

import os
import pathlib
import sys

import numpy as np
import pytest

MODULES = os.environ.get("NPUFA_TEST_MODULES", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "tests"))
sys.path.insert(0, MODULES)
primitives = pytest.importorskip("npufa_test_primitives", reason=f"not built in {MODULES}")

NAMES = ("generic", "avx2", "avx512", "avx512_bf16", "amx", "neon_dot", "neon_bf16")
USABLE = [t for t in NAMES if primitives.usable(t)]
# With amx emulated where the CPU lacks it alone.
TABLES = [*USABLE, "amx"] if "amx" not in USABLE and primitives.offer_amx() else USABLE
PLANES = {"bfloat16": (1,), "float16": (2, 3), "float32": (1, 2, 3)}
SIZES = [1, 15, 16, 17, 33, 63, 64, 65, 127, 129, 256]
LANE = 16
DTYPES = ["float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2"]
EPS = 2.0**-24
NO_WINDOW = (None, None)


def pad(n):
    return -(-n // LANE) * LANE


def bf16_bits(x):
    """float32 to bfloat16 bit patterns, nearest even."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16
    return np.where(np.isnan(x), (u >> 16) | 0x40, rounded).astype(np.uint16)


def bf16_values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float8_values(bits, exponent_bits, bias):
    """Decodes an 8-bit float field by field. e4m3fn has NaN only at S1111111, e5m2 follows IEEE."""
    mantissa_bits = 7 - exponent_bits
    out = []
    for b in bits.ravel().tolist():
        sign = -1.0 if b & 0x80 else 1.0
        exponent = (b & 0x7F) >> mantissa_bits
        mantissa = b & ((1 << mantissa_bits) - 1)
        if exponent_bits == 4 and b & 0x7F == 0x7F:
            value = float("nan")
        elif exponent_bits == 5 and exponent == 31:
            value = float("nan") if mantissa else float("inf")
        elif exponent == 0:
            value = mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            value = (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
        out.append(sign * value)
    return np.array(out, np.float32).reshape(bits.shape)


def decode(raw, dtype):
    if dtype == "bfloat16":
        return bf16_values(raw)
    if dtype == "float8_e4m3fn":
        return float8_values(raw, 4, 7)
    if dtype == "float8_e5m2":
        return float8_values(raw, 5, 15)
    return raw.astype(np.float32)


def random_raw(rng, shape, dtype):
    """Finite random elements as they lie in memory."""
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    if dtype == "float16":
        return rng.standard_normal(shape).astype(np.float16)
    if dtype == "bfloat16":
        return bf16_bits(rng.standard_normal(shape).astype(np.float32))
    if dtype == "int8":
        return rng.integers(-128, 128, shape).astype(np.int8)
    raw = rng.integers(0, 0x78, shape) | (rng.integers(0, 2, shape) << 7)
    return raw.astype(np.uint8)


def padded_rows(x, extra=16, fill=7.0):
    """x in a buffer whose rows are longer; returns the buffer."""
    buffer = np.full((x.shape[0], pad(x.shape[1]) + extra), fill, x.dtype)
    buffer[:, : x.shape[1]] = x
    return buffer


def split(x, count):
    """The bfloat16 planes of float32 values, bit patterns (count, *shape): each rounds what those before it leave."""
    planes = np.empty((count, *x.shape), np.uint16)
    rest = np.array(x, np.float32)
    for plane in planes:
        plane[...] = bf16_bits(rest)
        rest = rest - bf16_values(plane)
    return planes


def scattered(raw, rng):
    """The rows of raw as separate arrays, in places unrelated to their order."""
    order = rng.permutation(len(raw))
    store = np.empty_like(raw)
    store[order] = raw
    return [store[i] for i in order]
