"""Sequence lengths and layouts of the shared core (op_host/common)."""

import npufa_test_common as common
import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 5))
def test_cumulative_lengths_round_trip(lengths, padding):
    cumulative = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    assert common.packed_lengths(cumulative, sum(lengths) + padding) == (lengths, False)


@pytest.mark.parametrize(
    ("given_", "tokens", "lengths"),
    [([2, 5, 9], 9, [2, 3, 4]), ([2, 5, 0, 0], 9, [2, 3, 0, 0]), ([0, 0], 4, [0, 0]), ([0, 3, 3], 3, [0, 3, 0])],
)
def test_trailing_zeros_are_sequences_without_part(given_, tokens, lengths):
    assert common.packed_lengths(given_, tokens) == (lengths, False)


def test_plain_lengths_are_recognised_where_allowed():
    plain = [100, 200, 150, 550]
    assert common.packed_lengths(plain, 1000, allow_plain=True) == (plain, True)
    with pytest.raises(RuntimeError, match="decreases"):
        common.packed_lengths(plain, 1000)


@pytest.mark.parametrize(
    ("given_", "tokens", "what"),
    [([3, 2], 9, "decreases"), ([2, 10], 9, "beyond"), ([-1, 4], 9, "negative"), ([], 9, "empty")],
)
@pytest.mark.parametrize("allow_plain", [False, True])
def test_other_packed_lists_are_refused(given_, tokens, what, allow_plain):
    with pytest.raises(RuntimeError, match=f"npufa::op: lengths .*{what}.* got .*; expected"):
        common.packed_lengths(given_, tokens, allow_plain=allow_plain)


def test_batch_lengths_broadcast_and_are_cut():
    assert common.batch_lengths([4], 3, 9) == [4]
    assert common.batch_lengths([4, 5, 6, 7], 3, 9) == [4, 5, 6]


@pytest.mark.parametrize("given_", [[], [1, 2], [1, 2, 10], [1, -2, 3]])
def test_other_batch_lists_are_refused(given_):
    with pytest.raises(RuntimeError, match="npufa::op: lengths .* got .*; expected"):
        common.batch_lengths(given_, 3, 9)


@pytest.mark.parametrize(
    ("name", "query", "output"),
    [
        ("BSH", [2, 3, 20], [2, 3, 20]),
        ("SBH", [3, 2, 20], [3, 2, 20]),
        ("BSND", [2, 3, 4, 5], [2, 3, 4, 5]),
        ("BNSD", [2, 4, 3, 5], [2, 4, 3, 5]),
        ("TND", [3, 4, 5], [3, 4, 5]),
        ("BNSD_BSND", [2, 4, 3, 5], [2, 3, 4, 5]),
        ("BSH_NBSD", [2, 3, 20], [4, 2, 3, 5]),
        ("BSND_NBSD", [2, 3, 4, 5], [4, 2, 3, 5]),
        ("BNSD_NBSD", [2, 4, 3, 5], [4, 2, 3, 5]),
        ("TND_NTD", [3, 4, 5], [4, 3, 5]),
        ("NTD_TND", [4, 3, 5], [3, 4, 5]),
    ],
)
def test_layout_axes(name, query, output):
    assert common.layout_sizes(name, 2, 3, 4, 5) == (query, output)
