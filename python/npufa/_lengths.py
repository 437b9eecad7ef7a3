"""How the lists of lengths of a packed call are read, once the operator has accepted it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def used(lengths: Sequence[int]) -> list[int]:
    """Returns the entries without trailing zeros, which are sequences without part."""
    entries = list(lengths)
    while entries and entries[-1] == 0:
        entries.pop()
    return entries


def are_plain(*lists: Sequence[int]) -> bool:
    """Returns whether the lists of an accepted call hold plain lengths; otherwise they are cumulative.

    The operator refuses lists with two readings (SPEC section 2), so one that decreases tells.
    """
    return any(a > b for lengths in lists for a, b in itertools.pairwise(used(lengths)))


def sizes(lengths: Sequence[int], plain: bool) -> list[int]:
    """Returns the tokens of each sequence, without those that take no part."""
    entries = used(lengths)
    return entries if plain else [end - begin for begin, end in itertools.pairwise([0, *entries])]
