"""Tile primitives that work on rows of scores - softmax, biases, masks, dropout - against float64 numpy, for every
table that the CPU running the tests can execute."""

import numpy as np
import pytest

from cpu.primitives_support import (
    NO_WINDOW,
    SIZES,
    TABLES,
    bf16_values,
    decode,
    pad,
    padded_rows,
    primitives,
    random_raw,
)

pytestmark = pytest.mark.parametrize("table", TABLES)


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


# --- exponentials and softmax ------------------------------------------------------------------------------------


def exp_of(table, x):
    row = np.zeros(pad(len(x)), np.float32)
    row[: len(x)] = x
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    primitives.exp_rows(table, 1, len(x), row, len(row), NO_WINDOW, 1.0, zero, one)
    return row[: len(x)]


def test_exp_accuracy(table, rng):
    x = np.concatenate([np.linspace(-103.9, 88.7, 300001), rng.uniform(-1, 1, 100000)]).astype(np.float32)
    y = exp_of(table, x).astype(np.float64)
    exact = np.exp(x.astype(np.float64))
    error = np.abs(y - exact) / np.spacing(exact.astype(np.float32))
    # Near the smallest normal number the result may be flushed to zero.
    error[(exact < 2.0**-125) & (y == 0)] = 0
    assert error.max() < 6
    assert error[np.abs(x) < 30].max() < 2


def test_exp_special_values(table):
    x = np.array([0, -0.0, -104, -104.5, -1e3, -3e38, -np.inf, np.inf, 89, 3e38, np.nan], np.float32)
    y = exp_of(table, x)
    assert y[0] == 1 and y[1] == 1
    assert (y[2:7] == 0).all() and (y[7:10] == np.inf).all() and np.isnan(y[10])


def softmax_reference(scores, scale, keep, row_max, row_sum):
    """float64 (p, max, sum, correction) of one online step; keep is the window as a matrix."""
    with np.errstate(invalid="ignore"):
        x = np.where(keep, scores.astype(np.float64) * scale, -np.inf)
    new_max = np.maximum(row_max, x.max(axis=1, initial=-np.inf))
    shift = np.where(np.isinf(new_max), 0.0, new_max)
    p = np.exp(x - shift[:, None])
    correction = np.where(np.isinf(new_max), 1.0, np.exp(row_max - shift))
    return p, new_max, row_sum * correction + p.sum(axis=1), correction


def run_softmax(table, scores, n, window, scale, row_max, row_sum, planes):
    """p as float64: the scores overwritten (no planes), or the sum of planes."""
    m, ld = scores.shape
    correction = np.full(m, np.nan, np.float32)
    split = np.full((planes, m, ld), 7, np.uint16)
    out = (split, ld, planes, m * ld) if planes else None
    primitives.softmax_rows(table, m, n, scores, ld, window, scale, row_max, row_sum, correction, out)
    p = scores
    if planes:
        assert (split[:, :, pad(n) :] == 7).all()
        p = bf16_values(split).astype(np.float64).sum(axis=0)
    assert (p[:, n : pad(n)] == 0).all()
    return p[:, :n], correction


def random_window(rng, m, n):
    begin = rng.integers(0, n + 1, m).astype(np.int32)
    end = rng.integers(0, n + 1, m).astype(np.int32)
    columns = np.arange(n)
    return (begin, end), (columns >= begin[:, None]) & (columns < end[:, None])


@pytest.mark.parametrize("planes", [0, 1, 2, 3])
@pytest.mark.parametrize("windowed", [False, True])
def test_softmax_rows(table, rng, planes, windowed):
    for n in SIZES:
        for m in (1, 16, 37):
            row_max, row_sum = np.full(m, -np.inf, np.float32), np.zeros(m, np.float32)
            want_max, want_sum = np.full(m, -np.inf), np.zeros(m)
            for scale in (0.125, 0.3, 2.0):
                values = (rng.standard_normal((m, n)) * 6).astype(np.float32)
                values[rng.random((m, n)) < 0.1] = -np.inf
                values[:2] = -np.inf
                window, keep = random_window(rng, m, n) if windowed else (NO_WINDOW, np.ones((m, n), bool))
                scores = padded_rows(values, fill=np.nan)
                p, correction = run_softmax(table, scores, n, window, scale, row_max, row_sum, planes)
                want = softmax_reference(values, float(np.float32(scale)), keep, want_max, want_sum)
                want_p, want_max, want_sum, want_correction = want
                assert (p[~keep | np.isneginf(values)] == 0).all()
                np.testing.assert_allclose(p, want_p, rtol=(1e-5, 2**-8, 2**-15, 1e-5)[planes], atol=3e-37)
                np.testing.assert_allclose(row_max, want_max, rtol=1e-6)
                np.testing.assert_allclose(row_sum, want_sum, rtol=5e-6)
                np.testing.assert_allclose(correction, want_correction, rtol=5e-6, atol=3e-37)


def test_softmax_rows_without_a_key_leave_the_statistics(table):
    n, m = 40, 3
    for row_max, row_sum in ((-np.inf, 0.0), (1.5, 2.0)):
        for values, window in (
            (np.full((m, n), -np.inf), NO_WINDOW),
            (np.full((m, n), np.nan), (np.full(m, 9, np.int32), np.full(m, 9, np.int32))),
            (np.full((m, n), np.nan), (np.full(m, 30, np.int32), np.full(m, 2, np.int32))),
        ):
            maxima, sums = np.full(m, row_max, np.float32), np.full(m, row_sum, np.float32)
            scores = padded_rows(values.astype(np.float32), fill=np.nan)
            p, correction = run_softmax(table, scores, n, window, 0.5, maxima, sums, 0)
            assert (p == 0).all() and (correction == 1).all() and (maxima == row_max).all() and (sums == row_sum).all()


def test_softmax_single_key_has_weight_one(table, rng):
    for score in rng.uniform(-80, 80, 50).astype(np.float32):
        maxima, sums = np.full(1, -np.inf, np.float32), np.zeros(1, np.float32)
        scores = padded_rows(np.array([[score]]), fill=np.nan)
        p, _ = run_softmax(table, scores, 1, NO_WINDOW, 0.125, maxima, sums, 0)
        assert p[0, 0] == 1 and sums[0] == 1 and maxima[0] == score * np.float32(0.125)


@pytest.mark.parametrize("planes", [0, 1, 2, 3])
def test_softmax_nan_and_infinity_reach_the_sum(table, rng, planes):
    n = 65
    values = rng.standard_normal((5, n)).astype(np.float32)
    values[0, 64] = np.nan
    values[1, :] = np.nan
    values[2, 3] = np.inf
    values[3, :] = -np.inf
    values[3, 7] = np.nan
    maxima, sums = np.full(5, -np.inf, np.float32), np.zeros(5, np.float32)
    p, _ = run_softmax(table, padded_rows(values), n, NO_WINDOW, 0.25, maxima, sums, planes)
    assert np.isnan(sums[:4]).all() and np.isfinite(sums[4])
    assert np.isnan(p[0, 64]) and np.isnan(p[1]).all() and np.isnan(p[2, 3]) and np.isnan(p[3, 7])
    assert np.isfinite(p[4]).all()
    # Neither may pass for a row without keys, then or after further tiles.
    assert not np.isneginf(maxima).any()
    p, _ = run_softmax(table, padded_rows(np.ones((5, n), np.float32)), n, NO_WINDOW, 0.25, maxima, sums, planes)
    assert np.isnan(sums[:4]).all() and np.isfinite(sums[4])


def test_softmax_ignores_nan_outside_the_window(table):
    values = np.full((1, 64), np.nan, np.float32)
    values[0, 20:25] = 1
    maxima, sums = np.full(1, -np.inf, np.float32), np.zeros(1, np.float32)
    window = (np.array([20], np.int32), np.array([25], np.int32))
    p, _ = run_softmax(table, values, 64, window, 1.0, maxima, sums, 0)
    assert sums[0] == 5 and (p[0, 20:25] == 1).all() and p.sum() == 5


@pytest.mark.parametrize("scale", [0.0, -0.5])
def test_softmax_scale_not_above_zero_keeps_masked_scores_masked(table, scale):
    values = np.array([[1.0, -np.inf, 3.0, -2.0] + [-np.inf] * 5], np.float32)
    maxima, sums = np.full(1, -np.inf, np.float32), np.zeros(1, np.float32)
    p, _ = run_softmax(table, padded_rows(values), 9, NO_WINDOW, scale, maxima, sums, 0)
    x = np.where(np.isneginf(values), -np.inf, np.where(np.isneginf(values), 0, values).astype(np.float64) * scale)
    np.testing.assert_allclose(p, np.exp(x - x.max()), rtol=1e-6)


@pytest.mark.parametrize("windowed", [False, True])
def test_exp_rows(table, rng, windowed):
    for n in SIZES:
        m = 5
        values = (rng.standard_normal((m, n)) * 4).astype(np.float32)
        values[rng.random((m, n)) < 0.1] = -np.inf
        shift = rng.standard_normal(m).astype(np.float32)
        shift[1] = np.inf
        factor = rng.uniform(0.5, 2, m).astype(np.float32)
        window, keep = random_window(rng, m, n) if windowed else (NO_WINDOW, np.ones((m, n), bool))
        row = padded_rows(values, fill=np.nan)
        primitives.exp_rows(table, m, n, row, row.shape[1], window, 0.3, shift, factor)
        x = values.astype(np.float64) * float(np.float32(0.3)) - shift[:, None]
        want = np.where(keep, np.exp(x) * factor[:, None], 0)
        np.testing.assert_allclose(row[:, :n], want, rtol=3e-6, atol=3e-37)
        assert (row[:, n : pad(n)] == 0).all() and np.isnan(row[:, pad(n) :]).all()


def test_softmax_grad_rows(table, rng):
    for n in SIZES:
        m = 3
        p, dp = (rng.standard_normal((m, n)).astype(np.float32) for _ in range(2))
        delta = rng.standard_normal(m).astype(np.float32)
        out = padded_rows(dp, fill=np.nan)
        ld = pad(n) + 16
        primitives.softmax_grad_rows(table, m, n, padded_rows(p, fill=np.nan), ld, out, ld, delta, 0.3)
        want = p.astype(np.float64) * (dp - delta[:, None].astype(np.float64)) * 0.3
        np.testing.assert_allclose(out[:, :n], want, rtol=2e-6, atol=2e-7)
        assert (out[:, n : pad(n)] == 0).all() and np.isnan(out[:, pad(n) :]).all()


# --- capping -----------------------------------------------------------------------------------------------------


def test_softcap_rows(table, rng):
    for n in SIZES:
        s = rng.standard_normal((3, n)).astype(np.float32) * 40
        out, slopes = padded_rows(s, fill=np.nan), padded_rows(np.zeros_like(s), fill=7.0)
        alone = out.copy()
        primitives.softcap_rows(table, 3, n, out, out.shape[1], 0.3, 5.0, slopes)
        primitives.softcap_rows(table, 3, n, alone, out.shape[1], 0.3, 5.0, None)
        tanh = np.tanh(s.astype(np.float64) * 0.3 / 5.0)
        np.testing.assert_allclose(out[:, :n], 5.0 * tanh, rtol=1e-6)
        np.testing.assert_allclose(slopes[:, :n], 1.0 - tanh**2, atol=1e-6)
        assert np.isnan(out[:, n:]).all() and (slopes[:, n:] == 7.0).all()
        np.testing.assert_array_equal(out, alone)


def capped(table, x, cap):
    row = x.astype(np.float32).copy()
    primitives.softcap_rows(table, 1, len(row), row, len(row), 1.0, cap, None)
    return row


def test_tanh_accuracy(table):
    x = np.concatenate([np.linspace(-10, 10, 400001), np.geomspace(1e-30, 1, 40001)]).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    error = np.abs(capped(table, x, 1.0) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() < 6


def test_softcap_special_values(table):
    got = capped(table, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e38, -1e38]), 2.0)
    np.testing.assert_allclose(got, [0, 0, 2, -2, np.nan, 2, -2], rtol=2e-7)
    small = np.array([1e-7, -3e-5, 7.0])
    np.testing.assert_allclose(capped(table, small, 2.0**100), small, rtol=1e-6)  # no cap for such scores
    np.testing.assert_allclose(capped(table, small, 2.0**-100), 2.0**-100 * np.sign(small), rtol=2e-7)


# --- rows of scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_bias_row(table, rng, dtype):
    for n in SIZES:
        s = rng.standard_normal(n + 1).astype(np.float32)
        bias = random_raw(rng, n, dtype)
        out = s.copy()
        primitives.bias_row(table, n, out, 0.3, bias, dtype, 1.7)
        want = s[:n].astype(np.float64) * 0.3 + decode(bias, dtype).astype(np.float64) * 1.7
        np.testing.assert_allclose(out[:n], want, rtol=1e-6, atol=1e-6)
        assert out[n] == s[n]


@pytest.mark.parametrize("square_root", [False, True])
def test_alibi_row(table, rng, square_root):
    for n in SIZES:
        for distance in (0, -n // 2, -100000, 77, 2**31 - 5, -(2**40)):
            s = rng.standard_normal(n + 1).astype(np.float32)
            out = s.copy()
            primitives.alibi_row(table, n, out, 0.3, 0.25, distance, square_root)
            far = np.abs(distance + np.arange(n)).astype(np.float64)
            want = s[:n].astype(np.float64) * 0.3 - 0.25 * (np.sqrt(far) if square_root else far)
            np.testing.assert_allclose(out[:n], want, rtol=1e-6, atol=1e-6)
            assert out[n] == s[n]


def test_mask_row(table, rng):
    for n in SIZES:
        s = rng.standard_normal(n + 1).astype(np.float32)
        s[n // 2] = np.nan
        mask = rng.choice(np.array([0, 0, 1, 255], np.uint8), n)
        out = s.copy()
        primitives.mask_row(table, n, out, mask)
        np.testing.assert_array_equal(out, np.append(np.where(mask != 0, np.float32(-np.inf), s[:n]), s[n]))


def test_quantize_row(table, rng):
    x = np.concatenate([np.arange(-140, 140, 0.5), [1e9, -1e9, np.inf, -np.inf]]).astype(np.float32)
    for scale in (1.0, 0.25):
        out = np.append(x, np.float32(7))
        primitives.quantize_row(table, len(x), out, scale)
        assert (out[:-1] == np.clip(np.round(x * np.float32(scale)), -128, 127)).all() and out[-1] == 7


def test_scale_rows(table, rng):
    for n in SIZES:
        x = rng.standard_normal((3, n + 2)).astype(np.float32)
        factor = rng.standard_normal(3).astype(np.float32)
        out = x.copy()
        primitives.scale_rows(table, 3, n, out, n + 2, factor)
        assert (out[:, :n] == x[:, :n] * factor[:, None]).all() and (out[:, n:] == x[:, n:]).all()


# --- dropout -----------------------------------------------------------------------------------------------------


def philox4x32_10(counter, key):
    """One block of Philox-4x32-10 (Salmon et al. 2011)."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def dropout_words(seed, offset, first, n):
    words = []
    for e in range(first, first + n):
        counter = (offset + e // 4) % 2**64
        block = philox4x32_10((counter % 2**32, counter >> 32, 0, 0), (seed % 2**32, seed >> 32))
        words.append(block[e % 4])
    return np.array(words, np.uint64)


def test_the_reference_philox_matches_random123(table):
    f = 0xFFFFFFFF
    vectors = [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((f, f, f, f), (f, f), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for counter, key, words in vectors:
        assert tuple(philox4x32_10(counter, key)) == words


def test_dropout_philox_row(table, rng):
    streams = [(0, 0, 0), (1234567890123, 5, 3), (2**64 - 1, 2**32 - 2, 1), (42, 2**64 - 3, 2), (7, 11, 2**33 + 5)]
    for seed, offset, first in streams:
        for n in (1, 2, 3, 4, 15, 17, 33, 64, 129):
            words = dropout_words(seed, offset, first, n)
            p = rng.standard_normal(n + 1).astype(np.float32)
            for threshold in (0, 1, 2**31, int(0.9 * 2**32), 2**32 - 1, 2**32):
                out = p.copy()
                primitives.dropout_philox_row(table, n, out, seed, offset, first, threshold, 1.25)
                want = np.where(words < threshold, p[:n] * np.float32(1.25), 0)
                assert (out[:n] == want).all() and out[n] == p[n]
            # The words themselves: each is dropped at its own value and kept one above.
            for j in {0, n - 1, n // 2}:
                for threshold, kept in ((int(words[j]), False), (int(words[j]) + 1, True)):
                    out = np.ones(n, np.float32)
                    primitives.dropout_philox_row(table, n, out, seed, offset, first, threshold, 1.0)
                    assert out[j] == kept


def test_dropout_removes_nan(table):
    out = np.full(64, np.nan, np.float32)
    primitives.dropout_philox_row(table, 64, out, 1, 1, 1, 0, 2.0)
    assert (out == 0).all()
    out = np.full(64, np.nan, np.float32)
    primitives.dropout_bits_row(table, 64, out, np.zeros(9, np.uint8), 3, 2.0)
    assert (out == 0).all()


def test_dropout_bits_row(table, rng):
    bits = rng.integers(0, 256, 64).astype(np.uint8)
    flat = np.unpackbits(bits, bitorder="little")
    for first in (0, 1, 7, 8, 13, 100):
        for n in SIZES:
            p = rng.standard_normal(n + 1).astype(np.float32)
            out = p.copy()
            primitives.dropout_bits_row(table, n, out, bits, first, 1.25)
            assert (out[:n] == np.where(flat[first : first + n], p[:n] * np.float32(1.25), 0)).all() and out[n] == p[n]
