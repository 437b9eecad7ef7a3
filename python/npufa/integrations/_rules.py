"""Which keys a query row of one attention call sees."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

UNBOUNDED = 2**31 - 1  # "no limit" of pre_tokens and next_tokens


class Band(NamedTuple):
    """Query row i sees the keys `i + lower <= j <= i + upper`; None is no limit."""

    lower: int | None = None
    upper: int | None = None

    def sparse_mode(self, shift: int, padded: bool = False) -> tuple[int, int, int]:
        """Returns `sparse_mode`, `pre_tokens` and `next_tokens`.

        Args:
            shift: keys minus query rows, to which the operators align the diagonal.
            padded: the first key that counts is not the first one stored, so that the diagonal from the upper left
                is not that of the storage.
        """
        if self.lower is None:
            if self.upper is None:
                return 0, UNBOUNDED, UNBOUNDED
            if self.upper == 0 and not padded:
                return 2, UNBOUNDED, UNBOUNDED
            if self.upper == shift:
                return 3, UNBOUNDED, UNBOUNDED
        before = UNBOUNDED if self.lower is None else shift - self.lower
        after = UNBOUNDED if self.upper is None else self.upper - shift
        return 4, before, after

    def keys_of_first_row(self, keys: int) -> tuple[int, int]:
        """Returns the interval `[begin, end)` of keys that row 0 sees."""
        begin = 0 if self.lower is None else min(max(self.lower, 0), keys)
        end = keys if self.upper is None else min(max(self.upper + 1, begin), keys)
        return begin, end


FULL = Band()
CAUSAL = Band(upper=0)


class Intervals(NamedTuple):
    """Keys `starts[b] <= j < ends[b]` hold tokens of sequence b, the others padding."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def left_padded(self) -> bool:
        """All sequences end at the same key."""
        return len(set(self.ends)) == 1

    @property
    def right_padded(self) -> bool:
        """All sequences start at key 0."""
        return not any(self.starts)

    @property
    def lengths(self) -> list[int]:
        return [end - start for start, end in zip(self.starts, self.ends)]

    def expanded(self, batch: int) -> Intervals:
        """Returns the intervals of `batch` sequences, from one for all or one for each."""
        return Intervals(*(bounds * batch if len(bounds) == 1 else bounds for bounds in self))

    def clipped(self, begin: int, end: int) -> Intervals:
        """Returns the intervals within `[begin, end)`, counted from `begin`."""
        def clip(bounds: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(min(max(bound, begin), end) - begin for bound in bounds)

        return Intervals(clip(self.starts), clip(self.ends))


class Segments(NamedTuple):
    """Cumulative lengths of packed sequences, `(2, 5, 9)` for 2, 3 and 4 tokens, or a tensor of them."""

    query: tuple[int, ...] | Tensor
    key: tuple[int, ...] | Tensor


class Rules(NamedTuple):
    """What an attention call masks out, without a mask.

    Attributes:
        band: limits that move with the query row.
        shift: query row i is the token that key `i + shift` belongs to; read where padded query rows matter.
        padding: keys that are padding; None without any.
        segments: the sequences that the rows of the batch, one after the other, are packed from; the band then counts
            within a sequence, its last row and last key on the diagonal. None for one sequence per row of the batch.
    """

    band: Band
    shift: int = 0
    padding: Intervals | None = None
    segments: Segments | None = None
