"""A key/value cache: where its tokens stand, how they get there, and attention over them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from . import _attention, _check, rotary
from ._inputs import Inputs, Settings, Window


class Cache(NamedTuple):
    """Where a cache (pages, page size, Nkv, D) holds the tokens of each sequence.

    A cache with a row for each sequence has pages as long as a sequence can get.

    Attributes:
        name, spelling: of the function and its argument `table`, for messages.
        table: (B, pages per sequence), pages of each sequence; None where sequence b is page b.
        leftpad: (B,), first token of each sequence that counts.
    """

    name: str
    spelling: str
    pages: int
    page_size: int
    batch: int
    table: Tensor | None = None
    leftpad: Tensor | None = None

    @classmethod
    def of(cls, name: str, k_cache: Tensor, batch: int, spelling: str, table: Tensor | None,
           batch_idx: Tensor | None, leftpad: Tensor | None) -> Cache:
        """Checks the arguments of a cache."""
        pages, page_size = k_cache.shape[:2]
        device = k_cache.device
        if leftpad is not None:
            _check.integers(name, "cache_leftpad", leftpad, [batch], device)
            _check.lengths(name, "cache_leftpad", leftpad, 0, torch.iinfo(torch.int32).max)
        if table is not None:
            _check.integers(name, spelling, table, [batch, "blocks"], device)
            if batch_idx is not None:
                _check.fail(name, "cache_batch_idx", f"does not go with {spelling}", [*batch_idx.shape],
                            f"None, and the rows of {spelling} in its place")
        elif batch_idx is not None:
            _check.integers(name, "cache_batch_idx", batch_idx, [batch], device)
            _check.lengths(name, "cache_batch_idx", batch_idx, 0, pages - 1)
            table = batch_idx[:, None]
        elif pages < batch:
            _check.fail(name, "k_cache", f"has too few rows for the {batch} sequences of q", pages, f"{batch} rows")
        return cls(name, spelling, pages, page_size, batch, table, leftpad)

    @property
    def capacity(self) -> int:
        """Tokens that a sequence can have."""
        return self.page_size if self.table is None else self.page_size * self.table.shape[1]

    def lengths(self, cache_seqlens: int | Tensor | None, new: bool, device: torch.device) -> Tensor:
        """Tokens of each sequence before new ones are added, int64 (B,)."""
        if cache_seqlens is None:
            if new:
                _check.fail(self.name, "cache_seqlens", "is missing for new keys k", None, "the tokens before them")
            cache_seqlens = self.capacity
        if isinstance(cache_seqlens, Tensor):
            _check.integers(self.name, "cache_seqlens", cache_seqlens, [self.batch], device)
        else:
            cache_seqlens = torch.full((self.batch,), cache_seqlens, device=device)
        _check.lengths(self.name, "cache_seqlens", cache_seqlens, 0, self.capacity)
        return cache_seqlens.long()

    def page_table(self, device: torch.device) -> Tensor:
        return torch.arange(self.batch, device=device)[:, None] if self.table is None else self.table

    def places(self, sequence: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Page and offset of tokens."""
        page = self.page_table(position.device)[sequence, position // self.page_size].long()
        return page, position % self.page_size

    def gathered(self, inputs: Inputs, total: Tensor) -> tuple[Inputs, Tensor]:
        """Keys as (B, capacity, Nkv, D), the first one that counts first, and how many of them count."""
        position = torch.arange(self.capacity, device=total.device).expand(self.batch, -1)
        if self.leftpad is not None:
            position = (position + self.leftpad[:, None]).clamp(max=self.capacity - 1)
            total = (total - self.leftpad).clamp(min=0)
        sequence = torch.arange(self.batch, device=total.device)[:, None]
        page, offset = self.places(sequence, position)
        page = page.where(torch.arange(self.capacity, device=total.device) < total[:, None], 0)  # may hold anything
        _check.lengths(self.name, self.spelling, page, 0, self.pages - 1)
        return inputs.mapped(lambda t: t, lambda t: t[page, offset]), total


class NewTokens(NamedTuple):
    """Keys and values to be added, and the rotation of what is at their positions.

    Attributes:
        k, v: (B, Snew, Nkv, D), or packed (T, Nkv, D) with `cu_new`.
        cu_new, cu_q: cumulative lengths of packed new tokens and of a packed query.
        first: position of the first new token, where that is not its place in the cache.
    """

    k: Tensor | None
    v: Tensor | None
    cos: Tensor | None
    sin: Tensor | None
    interleaved: bool
    cu_new: Tensor | None = None
    cu_q: Tensor | None = None
    first: Tensor | None = None

    def append(self, q: Tensor, k_cache: Tensor, v_cache: Tensor, cache: Cache, start: Tensor, window: Window
               ) -> tuple[Tensor, Tensor]:
        """Writes keys and values behind `start`; returns the rotated query and the lengths with the new tokens."""
        name = cache.name
        if self.k is None or self.v is None:
            for argument, tensor in {"k": self.k, "v": self.v, "rotary_cos": self.cos, "rotary_sin": self.sin}.items():
                if tensor is not None:
                    _check.fail(name, argument, "does not go without new keys and values", "k or v None", "k and v")
            return q, start
        k, v, sequence, offset, count = self._tokens(name, k_cache, v_cache, cache.batch)
        position = start[sequence] + offset
        _check.lengths(name, "cache_seqlens", start, 0, cache.capacity - count)
        page, place = cache.places(sequence, position)
        _check.lengths(name, cache.spelling, page, 0, cache.pages - 1)
        if self.cos is not None or self.sin is not None:
            rotary.check(name, "rotary_cos", "rotary_sin", q, self.cos, self.sin)
            first = start if self.first is None else self.first
            k = self._rotated(name, k, first[sequence] + offset)
            q = self._rotated(name, q, self._query_positions(q, first, window))
        k_cache.index_put_((page, place), k)
        v_cache.index_put_((page, place), v)
        return q, start + count

    def _tokens(self, name: str, k_cache: Tensor, v_cache: Tensor, batch: int
                ) -> tuple[Tensor, Tensor, Tensor, Tensor, int | Tensor]:
        """Checked keys and values, sequence and offset in it of each, and how many a sequence gets."""
        rows: list[int | str] = ["T"] if self.cu_new is not None else [batch, "Snew"]
        _check.tensor(name, "k", self.k, [*rows, *k_cache.shape[2:]], (k_cache.dtype,), k_cache.device)
        k, v = self.k, self.v
        assert k is not None
        _check.tensor(name, "v", v, [*k.shape[:-2], *v_cache.shape[2:]], (v_cache.dtype,), v_cache.device)
        assert v is not None
        if self.cu_new is None:
            sequence = torch.arange(batch, device=k.device)[:, None]
            return k, v, sequence, torch.arange(k.shape[1], device=k.device), k.shape[1]
        _check.cumulative(name, "cu_seqlens_k_new", self.cu_new, k.shape[0], k.device, batch)
        k, v = (t[:int(self.cu_new[-1])] for t in (k, v))
        return k, v, *rotary.sequences(self.cu_new, k.shape[0]), self.cu_new.diff()

    def _query_positions(self, q: Tensor, first: Tensor, window: Window) -> Tensor:
        if self.cu_q is not None:
            sequence, offset = rotary.sequences(self.cu_q, q.shape[0])
        else:
            sequence = torch.arange(q.shape[0], device=q.device)[:, None]
            offset = torch.arange(q.shape[1], device=q.device)
        position = first[sequence] if window == Window() else first[sequence] + offset
        return position if self.cu_q is None or self.cos is None else position.clamp(max=len(self.cos) - 1)

    def _rotated(self, name: str, x: Tensor, positions: Tensor) -> Tensor:
        assert self.cos is not None and self.sin is not None
        _check.lengths(name, "rotary_cos", positions, 0, len(self.cos) - 1)
        return rotary.rotate(x, self.cos, self.sin, positions, self.interleaved)


def attend_cache(
    inputs: Inputs, settings: Settings, cache: Cache, total: Tensor, cu_q: Tensor | None = None
) -> _attention.Result:
    """Attention of (B, Sq, N, D), or of (T, N, D) with `cu_q`, to the first `total` tokens of each sequence."""
    by_training = inputs.needs_training_operator(settings)
    if by_training or cache.leftpad is not None:
        inputs, total = cache.gathered(inputs, total)
        cache = Cache(cache.name, cache.spelling, cache.batch, cache.capacity, cache.batch)
    if by_training:
        return _packed(inputs, settings, total, cu_q)
    if cu_q is None and cache.table is None:
        inputs = inputs.mapped(lambda t: t, lambda t: t[:cache.batch])
        return _attention.infer(inputs, settings, "BSND", None, total)
    pages = {"block_table": cache.page_table(total.device).int(), "block_size": cache.page_size}
    if cu_q is None:
        return _attention.infer(inputs, settings, "BSND", None, total, **pages)
    return _attention.infer(inputs, settings, "TND", cu_q[1:], total, **pages)


def _packed(inputs: Inputs, settings: Settings, total: Tensor, cu_q: Tensor | None) -> _attention.Result:
    """The operators for training take lengths of packed sequences only."""
    lengths, device = total.tolist(), total.device
    batch, rows = len(lengths), inputs.query.shape[1]
    ends = torch.tensor([0, *itertools.accumulate(lengths)], device=device)
    inputs = inputs.mapped(lambda t: t if cu_q is not None else t.flatten(0, 1),
                           lambda t: torch.cat([t[b, :length] for b, length in enumerate(lengths)]))
    if cu_q is not None:
        return _attention.packed(inputs, settings, cu_q, ends)
    out, lse = _attention.packed(inputs, settings, torch.arange(batch + 1, device=device) * rows, ends)
    return out.unflatten(0, (batch, rows)), None if lse is None else lse.unflatten(1, (batch, rows)).transpose(0, 1)
