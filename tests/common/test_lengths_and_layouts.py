"""Sequence lengths and layouts of the shared core (op_host/common)."""

import npufa_test_common as common
import pytest
from hypothesis import given, strategies as st


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_cumulative_lengths_round_trip(lengths):
    cumulative = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    assert common.sequence_lengths(cumulative) == lengths


@pytest.mark.parametrize(
    ("cumulative", "lengths"),
    [([2, 5, 9], [2, 3, 4]), ([2, 5, 0, 0], [2, 3, 0, 0]), ([0, 0], [0, 0]), ([0, 3, 3], [0, 3, 0]), ([], [])],
)
def test_trailing_zeros_are_sequences_without_part(cumulative, lengths):
    assert common.sequence_lengths(cumulative) == lengths


def cumulative_legal(entries, tokens):
    while entries and entries[-1] == 0:
        entries = entries[:-1]
    return all(a <= b for a, b in zip([0] + entries, entries)) and (not entries or entries[-1] <= tokens)


def plain_legal(entries, tokens):
    return min(entries, default=0) >= 0 and (not entries or entries[-1] != 0) and sum(entries) == tokens


@st.composite
def packed_side(draw, count):
    """A list of lengths and a number of tokens that one of the readings often fits."""
    entries = draw(st.lists(st.integers(-1, 6), min_size=count, max_size=count))
    if draw(st.booleans()):
        entries = [sum(entries[: i + 1]) for i in range(count)]
    return entries, draw(st.sampled_from([sum(entries), max(entries, default=0), max(entries, default=0) + 3, 7]))


@given(st.data(), st.booleans(), st.booleans(), st.booleans())
def test_every_pair_of_lists_has_one_of_four_outcomes(data, plain_allowed, query_is_tensor, key_is_tensor):
    """SPEC section 2: cumulative, plain, two readings or none; never anything else."""
    count = data.draw(st.integers(0, 4))
    sides = [data.draw(packed_side(count)) for _ in range(2)]
    cumulative = all(cumulative_legal(*side) for side in sides)
    plain = not query_is_tensor and not key_is_tensor and all(plain_legal(*side) for side in sides)
    differ = any(entries and entries[-1] < tokens for entries, tokens in sides)
    call = lambda: common.are_plain(  # noqa: E731
        *sides[0], *sides[1], plain_allowed, query_is_tensor=query_is_tensor, key_is_tensor=key_is_tensor)
    if cumulative and not (plain and differ):
        assert call() is False
    elif plain and not cumulative and plain_allowed:
        assert call() is True
    else:
        what = "two readings" if cumulative else "holds plain lengths" if plain else "decreases|beyond|negative"
        with pytest.raises(RuntimeError, match=f"npufa::op: (query|key)_lengths .*({what}).* got .*; expected"):
            call()


@pytest.mark.parametrize(
    ("given_", "tokens", "what"), [([3, 2], 9, "decreases"), ([2, 10], 9, "beyond"), ([-1, 4], 9, "negative")])
@pytest.mark.parametrize("plain_allowed", [False, True])
def test_lists_without_a_reading_are_refused(given_, tokens, what, plain_allowed):
    with pytest.raises(RuntimeError, match=f"npufa::op: query_lengths .*{what}.* got .*; expected"):
        common.are_plain(given_, tokens, [1, 2], 2, plain_allowed)


def test_batch_lengths_broadcast_and_are_cut():
    assert common.batch_lengths([4], 3, 9) == [4]
    assert common.batch_lengths([4, 5, 6, 7], 3, 9) == [4, 5, 6]


def test_an_empty_batch_takes_an_empty_list():
    assert common.batch_lengths([], 0, 9) == []


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
        ("NTD", [4, 3, 5], [4, 3, 5]),
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
