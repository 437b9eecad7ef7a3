"""Packed sequences of which only the first tokens take part (`seqused_q`, `seqused_k`)."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from . import _check


class UsedTokens(NamedTuple):
    """The tokens that take part, and their cumulative lengths with a leading zero; all of them without an index."""

    ends: Tensor
    index: Tensor | None  # type: ignore[assignment]

    @classmethod
    def of(cls, name: str, argument: str, cu_seqlens: Tensor, used: Tensor | None) -> UsedTokens:
        if used is None:
            return cls(cu_seqlens, None)
        _check.integers(name, argument, used, [len(cu_seqlens) - 1], cu_seqlens.device)
        _check.lengths(name, argument, used, 0, cu_seqlens.diff())
        counts = used.tolist()
        tokens = [range(begin, begin + count) for begin, count in zip(cu_seqlens.tolist(), counts)]
        device = cu_seqlens.device
        return cls(torch.tensor([0, *itertools.accumulate(counts)], device=device),
                   torch.tensor([*itertools.chain(*tokens)], dtype=torch.int64, device=device))

    def taken(self, tensor: Tensor) -> Tensor:
        return tensor if self.index is None else tensor[self.index]

    def put_back(self, tensor: Tensor, axis: int, tokens: int, other: float) -> Tensor:
        """Where tokens do not take part is `other`."""
        if self.index is None:
            return tensor
        shape = [*tensor.shape]
        shape[axis] = tokens
        return tensor.new_full(shape, other).index_copy(axis, self.index, tensor)
