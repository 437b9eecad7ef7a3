"""Tile primitives of the CPU backend (framework/cpu/primitives/primitives.h) against float64 numpy, for every table
that the CPU running the tests can execute: products, packing, conversion, decode."""

import ctypes
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

from cpu.primitives_support import (
    DTYPES,
    EPS,
    MODULES,
    PLANES,
    SIZES,
    TABLES,
    USABLE,
    bf16_bits,
    bf16_values,
    decode,
    pad,
    primitives,
    random_raw,
    scattered,
    split,
)

pytestmark = pytest.mark.parametrize("table", TABLES)


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


# --- matrix products ---------------------------------------------------------------------------------------------


def check_gemm(a, b, c, c_before, accumulate, n):
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = (np.abs(a).astype(np.float64) @ np.abs(b)) * (a.shape[1] + 4) * EPS + 1e-30
    if accumulate:
        exact = exact + c_before[:, :n]
        bound = bound + np.abs(c_before[:, :n]) * 2 * EPS
    assert (np.abs(c[:, :n] - exact) <= bound).all()
    assert (c[:, n:] == c_before[:, n:]).all(), "wrote beyond n columns"


@pytest.mark.parametrize("order", ["row", "column", "any"])
def test_gemm_f32(table, rng, order):
    shapes = [(m, n, k) for m in list(range(1, 28)) + [48, 64, 65] for n in (16, 48, 144) for k in (1, 17)]
    shapes += [(64, 256, 129), (96, 512, 64), (48, 64, 512), (7, 272, 256), (5, 32, 0)]
    for m, n, k in shapes:
        a = rng.standard_normal((m, k)).astype(np.float32)
        if order == "row":
            stored, a_row, a_col = np.pad(a, ((0, 0), (0, 3))), k + 3, 1
        elif order == "column":
            stored, a_row, a_col = np.pad(a.T, ((0, 0), (0, 5))), 1, m + 5
        else:
            stored, a_row, a_col = np.repeat(a, 2, axis=1), 2 * k, 2
        b = rng.standard_normal((k, n + 16)).astype(np.float32)
        for accumulate in (False, True):
            before = rng.standard_normal((m, n + 16)).astype(np.float32)
            c = before.copy()
            if not accumulate:
                c[:, :n] = np.nan
            primitives.gemm_f32(
                table, m, n, k, np.ascontiguousarray(stored), a_row, a_col, b, n + 16, c, n + 16, accumulate
            )
            check_gemm(a, b[:, :n], c, before, accumulate, n)


def in_pairs(rows, ld):
    """(k, n) as pairs of rows (k / 2, ld, 2)."""
    k, n = rows.shape
    packed = np.zeros((k // 2, ld, 2), rows.dtype)
    packed[:, :n] = rows.reshape(k // 2, 2, n).transpose(0, 2, 1)
    return packed


GEMM_BF16_SHAPES = [(m, n, k) for m in list(range(1, 28)) + [48, 64, 65] for n in (16, 48, 144) for k in (2, 18)]
GEMM_BF16_SHAPES += [(64, 256, 130), (96, 512, 64), (48, 64, 512), (7, 272, 256), (5, 32, 0)]


def test_gemm_bf16(table, rng):
    for m, n, k in GEMM_BF16_SHAPES:
        a = bf16_bits(rng.standard_normal((m, k + 2)).astype(np.float32))
        b = bf16_bits(rng.standard_normal((k, n)).astype(np.float32))
        ldb = n + 16
        packed = in_pairs(b, ldb)
        for accumulate in (False, True):
            before = rng.standard_normal((m, n + 16)).astype(np.float32)
            c = before.copy()
            if not accumulate:
                c[:, :n] = np.nan
            primitives.gemm_bf16(table, m, n, k, (a, k + 2), (packed, ldb), c, n + 16, accumulate)
            check_gemm(bf16_values(a[:, :k]), bf16_values(b), c, before, accumulate, n)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gemm_of_planes(table, rng, count):
    """Relative to |a| |b|, the products of planes that are left out are below 2^-8 of the last plane."""
    for m, n, k in [(1, 16, 2), (17, 48, 18), (31, 80, 34), (33, 96, 64), (48, 144, 96), (96, 64, 130)]:
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
        ldb = n + 16
        left, right = split(a, count), np.stack([in_pairs(plane, ldb) for plane in split(b, count)])
        for accumulate in (False, True):
            before = rng.standard_normal((m, n + 16)).astype(np.float32)
            c = before.copy()
            a_planes, b_planes = (left, k, count, left[0].size), (right, ldb, count, right[0].size)
            primitives.gemm_bf16(table, m, n, k, a_planes, b_planes, c, n + 16, accumulate)
            exact = a.astype(np.float64) @ b + (before[:, :n] if accumulate else 0.0)
            size = np.abs(a).astype(np.float64) @ np.abs(b) + np.abs(before[:, :n])
            assert (np.abs(c[:, :n] - exact) <= size * (2.0 ** (-8 * count) + (k + 4) * EPS)).all()
            assert (c[:, n:] == before[:, n:]).all(), "wrote beyond n columns"


def test_gemm_propagates_special_values(table):
    a = np.ones((3, 2), np.float32)
    b = np.ones((2, 16), np.float32)
    b[0, 1], b[0, 2], b[1, 3] = np.nan, np.inf, -np.inf
    c = np.zeros((3, 16), np.float32)
    primitives.gemm_f32(table, 3, 16, 2, a, 2, 1, b, 16, c, 16, False)
    half = np.zeros((3, 16), np.float32)
    packed = np.ascontiguousarray(bf16_bits(b).T)
    primitives.gemm_bf16(table, 3, 16, 2, (bf16_bits(a), 2), (packed, 16), half, 16, False)
    for out in (c, half):
        assert np.isnan(out[:, 1]).all()
        assert (out[:, 2] == np.inf).all() and (out[:, 3] == -np.inf).all()
        assert (out[:, 4:] == 2).all()


# --- packing and conversion --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_pack_f32(table, rng, dtype):
    for d in SIZES:
        for n in (1, 5):
            raw = random_raw(rng, (n, d), dtype)
            dst = np.full((n, pad(d) + 16), 7, np.float32)
            primitives.pack_f32(table, scattered(raw, rng), dtype, n, d, dst, pad(d) + 16)
            assert (dst[:, :d] == decode(raw, dtype)).all()
            assert (dst[:, d : pad(d)] == 0).all() and (dst[:, pad(d) :] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_pack_transposed_f32(table, rng, dtype):
    for d in SIZES:
        for n in (1, 16, 17, 63, 64):
            raw = random_raw(rng, (n, d), dtype)
            dst = np.full((d + 1, pad(n) + 16), 7, np.float32)
            primitives.pack_transposed_f32(table, scattered(raw, rng), dtype, n, d, dst, pad(n) + 16)
            assert (dst[:d, :n] == decode(raw, dtype).T).all()
            assert (dst[:d, n : pad(n)] == 0).all() and (dst[:, pad(n) :] == 7).all() and (dst[d] == 7).all()


def planes_of(raw, dtype, count):
    return raw[None] if dtype == "bfloat16" else split(decode(raw, dtype), count)


SPLIT = pytest.mark.parametrize("dtype, count", [(dtype, count) for dtype in PLANES for count in PLANES[dtype]])


@SPLIT
def test_pack_bf16(table, rng, dtype, count):
    for d in SIZES:
        for n in (1, 16, 17, 64):
            raw = random_raw(rng, (n, d), dtype)
            ld = pad(d) + 16
            dst = np.full((count, n + 1, ld), 7, np.uint16)
            primitives.pack_bf16(table, scattered(raw, rng), dtype, n, d, (dst, ld, count, dst[0].size))
            expected = np.full(dst.shape, 7, np.uint16)
            expected[:, :n, : pad(d)] = 0
            expected[:, :n, :d] = planes_of(raw, dtype, count)
            assert (dst == expected).all()


@SPLIT
def test_pack_vnni_bf16(table, rng, dtype, count):
    for d in SIZES:
        for n in (1, 2, 16, 17, 64):
            raw = random_raw(rng, (n, d), dtype)
            ld, pairs = pad(d) + 16, (n + 1) // 2
            dst = np.full((count, pairs + 1, ld, 2), 7, np.uint16)
            primitives.pack_vnni_bf16(table, scattered(raw, rng), dtype, n, d, (dst, ld, count, dst[0].size))
            expected = np.zeros((count, 2 * pairs, pad(d)), np.uint16)
            expected[:, :n, :d] = planes_of(raw, dtype, count)
            in_order = expected.reshape(count, pairs, 2, -1).transpose(0, 1, 3, 2)
            assert (dst[:, :pairs, : pad(d)] == in_order).all()
            assert (dst[:, :, pad(d) :] == 7).all() and (dst[:, pairs:] == 7).all()


@SPLIT
def test_pack_transposed_vnni_bf16(table, rng, dtype, count):
    for d in SIZES:
        for n in (1, 2, 16, 17, 64):
            raw = random_raw(rng, (n, d), dtype)
            ld, pairs = pad(n) + 16, (d + 1) // 2
            dst = np.full((count, pairs + 1, ld, 2), 7, np.uint16)
            primitives.pack_transposed_vnni_bf16(table, scattered(raw, rng), dtype, n, d, (dst, ld, count, dst[0].size))
            expected = np.zeros((count, pad(n), 2 * pairs), np.uint16)
            expected[:, :n, :d] = planes_of(raw, dtype, count)
            in_order = expected.reshape(count, -1, pairs, 2).transpose(0, 2, 1, 3)
            assert (dst[:, :pairs, : pad(n)] == in_order).all()
            assert (dst[:, :, pad(n) :] == 7).all() and (dst[:, pairs:] == 7).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_round_and_transpose_bf16(table, rng, count):
    for m in (1, 2, 15, 16, 17, 48, 65):
        for n in (1, 15, 16, 17, 64, 129):
            src = rng.standard_normal((m, n + 3)).astype(np.float32)
            src[0, 0] = np.nan
            bits = split(src[:, :n], count)
            dst = np.full((count, m + 1, pad(n) + 16), 7, np.uint16)
            primitives.round_bf16(table, m, n, src, n + 3, (dst, pad(n) + 16, count, dst[0].size))
            assert np.isnan(bf16_values(dst[:, 0, 0])).all()
            dst[:, 0, 0] = bits[:, 0, 0]
            assert (dst[:, :m, :n] == bits).all() and (dst[:, :m, n : pad(n)] == 0).all()
            assert (dst[:, :, pad(n) :] == 7).all() and (dst[:, m:] == 7).all()

            even = m + m % 2
            dst = np.full((count, n + 1, even + 3), 7, np.uint16)
            primitives.transpose_bf16(table, m, n, src, n + 3, (dst, even + 3, count, dst[0].size))
            dst[:, 0, 0] = bits[:, 0, 0]
            assert (dst[:, :n, :m] == bits.transpose(0, 2, 1)).all() and (dst[:, :n, m:even] == 0).all()
            assert (dst[:, :, even:] == 7).all() and (dst[:, n:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_f32_of_every_pattern(table, dtype):
    if dtype in ("float16", "bfloat16"):
        bits = np.arange(65536, dtype=np.uint16)
        raw = bits.view(np.float16) if dtype == "float16" else bits
    elif dtype == "float32":
        raw = np.array([0.0, -0.0, 1.5, -np.inf, np.inf, np.nan, 1e-45, 3.4e38] * 33, np.float32)
    else:
        raw = np.arange(256, dtype=np.uint8)
        raw = raw.view(np.int8) if dtype == "int8" else raw
    expected = decode(raw, dtype)
    for n in (len(raw), 1, 15, 17, 33):
        for start in (0, len(raw) - n):
            dst = np.full(n + 1, 7, np.float32)
            primitives.to_f32(table, n, raw[start:], dtype, dst)
            want = expected[start : start + n]
            assert (np.isnan(dst[:n]) == np.isnan(want)).all()
            finite = ~np.isnan(want)
            assert (dst[:n].view(np.uint32) == want.view(np.uint32))[finite].all() and dst[n] == 7


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_from_f32(table, rng, dtype):
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 65504.0, 65519.99, 65520.0, 1e9, 3.4028235e38]
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)]
    # Every float16, the points half way to its neighbour, and those just beside the half-way points.
    ordered = np.sort(halves)
    half_way = (ordered[1:] + ordered[:-1]) / 2
    beside = [np.nextafter(half_way, np.float32(s)) for s in (-np.inf, np.inf)]
    patterns = rng.integers(0, 2**32, 20000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([np.array(special, np.float32), halves, half_way, *beside, patterns]).astype(np.float32)
    target = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]
    for factor in (1.0, 0.7):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = x * np.float32(factor)
            expected = bf16_bits(scaled) if dtype == "bfloat16" else scaled.astype(target)
        out = np.zeros(len(x), target)
        primitives.from_f32(table, len(x), x, factor, dtype, out)
        assert (np.isnan(decode(out, dtype)) == np.isnan(decode(expected, dtype))).all()
        kept = ~np.isnan(decode(expected, dtype))
        assert (out.view(f"u{out.itemsize}") == expected.view(f"u{out.itemsize}"))[kept].all()
    for n in SIZES:
        out = np.full(n + 1, 7, target)
        primitives.from_f32(table, n, np.arange(n, dtype=np.float32), 2.0, dtype, out)
        assert (decode(out, dtype)[:n] == 2 * np.arange(n)).all() and out[n] == 7


# --- decode ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot_rows(table, rng, dtype):
    cases = [(m, n, 64) for m in range(1, 10) for n in (1, 3, 16, 17, 70)]
    cases += [(m, n, d) for m in (1, 3, 8) for n in (5, 33) for d in SIZES]
    for m, n, d in cases:
        q = rng.standard_normal((m, d + 3)).astype(np.float32)
        raw = random_raw(rng, (n, d), dtype)
        s = np.full((m, n + 2), 7, np.float32)
        primitives.dot_rows(table, m, n, d, q, d + 3, scattered(raw, rng), dtype, s, n + 2)
        k = decode(raw, dtype).astype(np.float64)
        bound = np.abs(q[:, :d]).astype(np.float64) @ np.abs(k.T) * (d + 4) * EPS
        assert (np.abs(s[:, :n] - q[:, :d].astype(np.float64) @ k.T) <= bound).all() and (s[:, n:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_accumulate_rows(table, rng, dtype):
    cases = [(m, n, 64) for m in range(1, 10) for n in (1, 3, 16, 17, 70)]
    cases += [(m, n, d) for m in (1, 3, 8) for n in (5, 33) for d in SIZES]
    for m, n, d in cases:
        p = rng.standard_normal((m, n + 3)).astype(np.float32)
        raw = random_raw(rng, (n, d), dtype)
        before = rng.standard_normal((m, d + 2)).astype(np.float32)
        o = before.copy()
        primitives.accumulate_rows(table, m, n, d, p, n + 3, scattered(raw, rng), dtype, o, d + 2)
        v = decode(raw, dtype).astype(np.float64)
        bound = (np.abs(p[:, :n]).astype(np.float64) @ np.abs(v) + np.abs(before[:, :d])) * (n + 4) * EPS
        want = before[:, :d] + p[:, :n].astype(np.float64) @ v
        assert (np.abs(o[:, :d] - want) <= bound).all() and (o[:, d:] == before[:, d:]).all()


# --- memory and selection ----------------------------------------------------------------------------------------


class GuardedPage:
    """Memory that ends at an inaccessible page: reading one byte beyond an array placed at the end is fatal."""

    def __init__(self):
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, 4 * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert libc.mprotect(address + 3 * page, page, 0) == 0
        self._usable = 3 * page

    def place(self, array):
        out = np.frombuffer(self._map, array.dtype, array.size, self._usable - array.nbytes).reshape(array.shape)
        out[...] = array
        return out


def test_nothing_behind_the_inputs_is_read(table, rng):
    guard = GuardedPage()
    for d in (1, 2, 15, 17, 31, 33, 65):
        for dtype in DTYPES:
            row = guard.place(random_raw(rng, d, dtype))
            primitives.pack_f32(table, [row], dtype, 1, d, np.zeros(pad(d), np.float32), pad(d))
            primitives.pack_transposed_f32(table, [row] * 17, dtype, 17, d, np.zeros((d, 32), np.float32), 32)
            primitives.dot_rows(
                table, 2, 3, d, np.zeros((2, d), np.float32), d, [row] * 3, dtype, np.zeros((2, 3), np.float32), 3
            )
            primitives.accumulate_rows(
                table, 2, 3, d, np.zeros((2, 3), np.float32), 3, [row] * 3, dtype, np.zeros((2, d), np.float32), d
            )
            primitives.to_f32(table, d, row, dtype, np.zeros(d, np.float32))
            primitives.bias_row(table, d, np.zeros(d, np.float32), 1.0, row, dtype, 1.0)
        row = guard.place(random_raw(rng, d, "bfloat16"))
        if primitives.bf16_rows(table):
            q, s = np.zeros(2 * d, np.uint16), np.zeros((2, 3), np.float32)
            primitives.dot_rows_bf16(table, 2, 3, d, q, d, [row] * 3, s, 3)
            p, o = np.zeros(2 * 16, np.uint16), np.zeros((2, d), np.float32)
            primitives.accumulate_rows_bf16(table, 2, 3, d, p, 16, [row] * 3, o, d)
        if primitives.int8_rows(table):
            byte = guard.place(random_raw(rng, d, "int8"))
            q, s, unit = np.zeros(256, np.int8), np.zeros((1, 3), np.float32), np.ones(1, np.float32)
            primitives.dot_rows_int8(table, 1, 3, d, q, q, 256, unit, [byte] * 3, s, 3)
            p, o = np.zeros((1, 3), np.float32), np.zeros((1, d), np.float32)
            primitives.accumulate_rows_int8(table, 1, 3, d, p, 3, [byte] * 3, o, d)
        row = guard.place(random_raw(rng, d, "bfloat16"))
        for dtype, count in (("bfloat16", 1), ("float16", 2), ("float32", 3)):
            row = guard.place(random_raw(rng, d, dtype))
            dst = np.zeros((count, 64 * (d + 1)), np.uint16)
            wide, narrow = (dst, pad(d), count, dst[0].size), (dst, 32, count, dst[0].size)
            primitives.pack_bf16(table, [row], dtype, 1, d, wide)
            primitives.pack_vnni_bf16(table, [row] * 3, dtype, 3, d, wide)
            primitives.pack_transposed_vnni_bf16(table, [row] * 17, dtype, 17, d, narrow)
        floats = guard.place(np.zeros(d, np.float32))
        primitives.dot_rows(
            table, 1, 1, d, floats, d, [np.zeros(d, np.float32)], "float32", np.zeros(1, np.float32), 1
        )
        dst = np.zeros((3, 2 * pad(d)), np.uint16)
        primitives.round_bf16(table, 1, d, floats, d, (dst, pad(d), 3, 2 * pad(d)))
        primitives.transpose_bf16(table, 1, d, floats, d, (dst, 2, 3, 2 * pad(d)))
        primitives.from_f32(table, d, floats, 1.0, "bfloat16", np.zeros(d, np.uint16))
        primitives.mask_row(table, d, np.zeros(d, np.float32), guard.place(np.zeros(d, np.uint8)))
        for first in (0, 3, 8):
            bits = guard.place(np.zeros(-(-(first + d) // 8), np.uint8))
            primitives.dropout_bits_row(table, d, np.zeros(d, np.float32), bits, first, 1.0)
        a = guard.place(np.ones((3, d), np.float32))
        b = GuardedPage().place(np.ones((d, 16), np.float32))
        primitives.gemm_f32(table, 3, 16, d, a, d, 1, b, 16, np.zeros((3, 16), np.float32), 16, False)
        primitives.gemm_f32(table, 3, 16, d, a.reshape(d, 3), 1, 3, b, 16, np.zeros((3, 16), np.float32), 16, False)


def test_the_environment_chooses_the_table(table):
    if table not in USABLE:
        pytest.skip(f"this CPU has no {table}")

    def best(value):
        code = f"import sys; sys.path.insert(0, {MODULES!r}); import npufa_test_primitives as p; print(p.best())"
        env = {**os.environ, "NPUFA_CPU_CAPABILITY": value}
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)

    assert best(table).stdout.strip() == table
    assert best("").stdout.strip() == USABLE[-1]
    wrong = best("mmx")
    listed = ", ".join(reversed(USABLE))
    message = f"npufa: NPUFA_CPU_CAPABILITY is not usable here, got mmx; expected one of {listed}"
    assert message in wrong.stderr
