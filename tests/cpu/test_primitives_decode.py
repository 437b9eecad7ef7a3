"""Products of decode that take the cache as it is stored: bfloat16 pairs and int8 in integers."""

import numpy as np
import pytest

from cpu.primitives_support import SIZES, TABLES, bf16_bits, bf16_values, pad, primitives, random_raw, scattered

BF16_TABLES = [t for t in TABLES if primitives.bf16_rows(t)]
INT8_TABLES = [t for t in TABLES if primitives.int8_rows(t)]
ROWS = [1, 2, 3, 5, 8, 11]
FIXED = 64
NAN_BITS = 0x7FC0


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def shapes(rng, count=25, channels=512):
    """Rows, keys and channels; every row count and awkward sizes occur."""
    for i in range(count):
        n, d = (int(rng.choice([*SIZES, 2, 3, 31])) for _ in range(2))
        yield ROWS[i % len(ROWS)], n, min(d, channels)


def to_fixed(x):
    m, n = x.shape
    ld = -(-n // FIXED) * FIXED + 3
    high, low = (np.full((m, ld), 99, np.int8) for _ in range(2))
    unit = np.zeros(m, np.float32)
    primitives.fixed_rows(INT8_TABLES[0], m, n, np.ascontiguousarray(x), n, high, low, ld, unit)
    return high, low, ld, unit


@pytest.mark.parametrize("table", BF16_TABLES)
def test_dot_rows_bf16(table, rng):
    for m, n, d in shapes(rng):
        raw = random_raw(rng, (n, d), "bfloat16")
        q = np.full((m, d + 5), NAN_BITS, np.uint16)  # what lies behind a row is not read
        q[:, :d] = random_raw(rng, (m, d), "bfloat16")
        s = np.full((m, n + 2), 7.0, np.float32)
        primitives.dot_rows_bf16(table, m, n, d, q, d + 5, scattered(raw, rng), s, n + 2)
        a, b = bf16_values(q[:, :d]).astype(np.float64), bf16_values(raw).astype(np.float64)
        bound = 1e-6 * (np.abs(a) @ np.abs(b).T) + 1e-30
        assert (np.abs(s[:, :n] - a @ b.T) <= bound).all(), (m, n, d)
        assert (s[:, n:] == 7.0).all()


@pytest.mark.parametrize("table", BF16_TABLES)
def test_accumulate_rows_bf16(table, rng):
    for m, n, d in shapes(rng):
        raw = random_raw(rng, (n, d), "bfloat16")
        p = np.full((m, pad(n) + 4), NAN_BITS, np.uint16)
        p[:, :n] = bf16_bits(rng.random((m, n)).astype(np.float32))
        o = rng.standard_normal((m, d + 2)).astype(np.float32)
        before = o.copy()
        primitives.accumulate_rows_bf16(table, m, n, d, p, pad(n) + 4, scattered(raw, rng), o, d + 2)
        a, b = bf16_values(p[:, :n]).astype(np.float64), bf16_values(raw).astype(np.float64)
        bound = 1e-6 * (np.abs(before[:, :d]) + a @ np.abs(b)) + 1e-30
        assert (np.abs(o[:, :d] - (before[:, :d] + a @ b)) <= bound).all(), (m, n, d)
        assert (o[:, d:] == before[:, d:]).all()


@pytest.mark.parametrize("table", BF16_TABLES)
def test_the_last_of_an_odd_number_of_rows_has_no_partner(table):
    """An infinite value stays infinite: no zero weight is multiplied with it."""
    o = np.zeros((1, 32), np.float32)
    value = np.full(32, 0x7F80, np.uint16)
    primitives.accumulate_rows_bf16(table, 1, 1, 32, np.full(16, 0x3F80, np.uint16), 16, [value], o, 32)
    assert (o == np.inf).all()


@pytest.mark.skipif(not INT8_TABLES, reason="no integer products here")
def test_fixed_rows(rng):
    for n in (1, 63, 64, 65, 200):
        x = (rng.standard_normal((3, n)) * 10.0 ** rng.integers(-20, 20, (3, 1))).astype(np.float32)
        x[1] = 0.0
        high, low, ld, unit = to_fixed(x)
        whole = 256 * high.astype(np.int64) + low
        assert (np.abs(whole[:, :n] * unit[:, None].astype(np.float64) - x) <= 0.501 * unit[:, None]).all()
        assert (np.abs(whole) <= 32512).all()
        padded = -(-n // FIXED) * FIXED
        assert (whole[:, n:padded] == 0).all() and (high[:, padded:] == 99).all()
    for strange in (np.nan, np.inf, -np.inf):
        assert np.isnan(to_fixed(np.array([[1.0, strange]], np.float32))[3]).all()


@pytest.mark.parametrize("table", INT8_TABLES)
def test_dot_rows_int8(table, rng):
    for m, n, d in [*shapes(rng), (4, 17, 512)]:
        raw = random_raw(rng, (n, d), "int8")
        if d == 512:
            raw[:] = -128  # the largest sums
        q = rng.standard_normal((m, d)).astype(np.float32) if d < 512 else np.ones((m, d), np.float32)
        high, low, ld, unit = to_fixed(q)
        s = np.full((m, n + 2), 7.0, np.float32)
        primitives.dot_rows_int8(table, m, n, d, high, low, ld, unit, scattered(raw, rng), s, n + 2)
        fixed = (256 * high[:, :d].astype(np.int64) + low[:, :d]) @ raw.astype(np.int64).T
        want = fixed * unit[:, None].astype(np.float64)
        assert (np.abs(s[:, :n] - want) <= 2e-7 * np.abs(want)).all(), (m, n, d)
        assert (s[:, n:] == 7.0).all()


@pytest.mark.parametrize("table", INT8_TABLES)
def test_accumulate_rows_int8(table, rng):
    """Weights of either sign, as scales per token may make them; groups of 64 rows have a unit of their own."""
    for m, n, d in shapes(rng):
        raw = random_raw(rng, (n, d), "int8")
        p = (rng.random((m, n + 3)) - 0.2).astype(np.float32)
        p[:, :64] *= 1e-4
        o = rng.standard_normal((m, d + 2)).astype(np.float32)
        before = o.copy()
        primitives.accumulate_rows_int8(table, m, n, d, p, n + 3, scattered(raw, rng), o, d + 2)
        want = before[:, :d] + p[:, :n].astype(np.float64) @ raw.astype(np.float64)
        # Half a unit of its group for every weight, and float32 sums.
        unit = [np.abs(p[:, b : min(b + 64, n)]).max(1, keepdims=True) / 32512 for b in range(0, n, 64)]
        rounding = sum(0.51 * u * np.abs(raw[64 * i : 64 * i + 64]).sum(0) for i, u in enumerate(unit))
        bound = rounding + 1e-6 * (np.abs(before[:, :d]) + np.abs(p[:, :n]) @ np.abs(raw.astype(np.float64)))
        assert (np.abs(o[:, :d] - want) <= bound).all(), (m, n, d)
        assert (o[:, d:] == before[:, d:]).all()


@pytest.mark.parametrize("table", TABLES)
def test_unpack_int4(table, rng):
    for n, d in ((1, 2), (7, 8), (3, 130), (70, 64)):
        data = rng.integers(0, 256, (n, d // 2)).astype(np.uint8)
        out = np.full(n * d + 1, 99, np.int8)
        primitives.unpack_int4(table, n, d, scattered(data, rng), out)
        nibbles = np.stack([data & 15, data >> 4], -1).reshape(-1).astype(np.int64)
        assert (out[:-1] == np.where(nibbles > 7, nibbles - 16, nibbles)).all() and out[-1] == 99
