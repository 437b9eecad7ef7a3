"""Sparse modes as windows (op_host/common/mask_window.h) against the rule table of SPEC section 4, pair by pair."""

import npufa_test_common as common
import pytest
from hypothesis import given, strategies as st

SIZES = st.integers(0, 40)
SHIFTS = st.integers(-50, 50)


def kept(mode, i, j, q_len, kv_len, pre, next_, prefix, edge):
    """SPEC section 4, without a dense mask."""
    delta = kv_len - q_len
    band = i + delta - pre <= j <= i + delta + next_
    right_down = j <= i + delta
    return {
        0: True,
        2: j <= i,
        3: right_down,
        4: band,
        5: right_down or j < prefix,
        6: right_down or j < prefix,
        7: band if edge else right_down,
        8: band if edge else j <= i,
    }[mode]


@pytest.mark.parametrize("mode", [0, 2, 3, 4, 5, 6, 7, 8])
@given(q_len=st.integers(1, 40), kv_len=SIZES, pre=SHIFTS, next_=SHIFTS, prefix=SIZES, edge=st.booleans())
def test_rows_keep_what_the_rule_keeps(mode, q_len, kv_len, pre, next_, prefix, edge):
    band = common.band(mode, pre, next_, q_len=q_len, kv_len=kv_len, prefix=min(prefix, kv_len), edge=edge)
    for i in range(q_len):
        begin, end = band.row(i, kv_len)
        assert 0 <= begin <= end <= kv_len
        expected = [j for j in range(kv_len) if kept(mode, i, j, q_len, kv_len, pre, next_, min(prefix, kv_len), edge)]
        assert list(range(begin, end)) == expected


@given(q_len=st.integers(1, 40), kv_len=SIZES, pre=SHIFTS, next_=SHIFTS, shift=SHIFTS)
def test_mode_0_with_a_mask_is_a_band_of_storage_positions(q_len, kv_len, pre, next_, shift):
    band = common.band(0, pre, next_, dense_mask=True, q_len=q_len, kv_len=kv_len, storage_shift=shift)
    for i in range(q_len):
        begin, end = band.row(i, kv_len)
        assert list(range(begin, end)) == [j for j in range(kv_len) if i + shift - pre <= j <= i + shift + next_]


@pytest.mark.parametrize("mode", [1, 5])
def test_a_dense_mask_leaves_the_window_open(mode):
    band = common.band(mode, 0, 0, dense_mask=True, q_len=5, kv_len=7)
    assert [band.row(i, 7) for i in range(5)] == [(0, 7)] * 5


@pytest.mark.parametrize("value", [2**31 - 1, 2**62, -(2**62)])
def test_extreme_token_counts_do_not_overflow(value):
    band = common.band(4, value, value, q_len=3, kv_len=9)
    rows = [band.row(i, 9) for i in range(3)]
    assert rows == ([(0, 9)] * 3 if value > 0 else [(9, 9)] * 3)


@pytest.mark.parametrize("mode", [0, 2, 3, 4, 5])
@given(q_len=st.integers(1, 40), kv_len=st.integers(1, 40), pre=SHIFTS, next_=SHIFTS, data=st.data())
def test_tiles_are_classified_by_their_pairs(mode, q_len, kv_len, pre, next_, data):
    band = common.band(mode, pre, next_, q_len=q_len, kv_len=kv_len, prefix=min(3, kv_len))
    q0 = data.draw(st.integers(0, q_len - 1))
    q1 = data.draw(st.integers(q0 + 1, q_len))
    k0 = data.draw(st.integers(0, kv_len - 1))
    k1 = data.draw(st.integers(k0 + 1, kv_len))
    pairs = []
    for i in range(q0, q1):
        begin, end = band.row(i, kv_len)
        pairs += [begin <= j < end for j in range(k0, k1)]
    kind = common.classify(band, kv_len, q0, q1, k0, k1)
    if kind == "skipped":
        assert not any(pairs)
    elif kind == "full":
        assert all(pairs)
    else:
        assert not all(pairs)
