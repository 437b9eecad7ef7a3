"""ALiBi whose slopes or shifts differ from sequence to sequence: the operator has one of each, so one call each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ._inputs import Inputs, Result, Settings

Attend = Callable[[Inputs, Settings], Result]


def _slopes(settings: Settings, sequence: int) -> Settings:
    slopes = settings.slopes
    return settings if slopes is None or slopes.dim() == 1 else settings._replace(slopes=slopes[sequence])


def by_sequence(
    attend: Attend, inputs: Inputs, settings: Settings, lengths: Sequence[int] | None = None
) -> Result:
    """Attention of (B, S, N, D) tensors, of which the first `lengths[b]` keys count."""
    results = []
    for b in range(inputs.query.shape[0]):
        row = slice(b, b + 1)
        keys = slice(None if lengths is None else lengths[b])
        part = inputs.mapped(lambda t: t[row], lambda t: t[row, keys])
        results.append(attend(part, _slopes(settings, b)))
    return _joined(results, torch.cat, torch.cat)


def packed_by_sequence(
    attend: Attend, inputs: Inputs, settings: Settings, q_ends: Sequence[int], k_ends: Sequence[int]
) -> Result:
    """Attention of (T, N, D) tensors, the cumulative lengths with their leading zero."""
    results = []
    for b in range(len(q_ends) - 1):
        rows, keys = slice(q_ends[b], q_ends[b + 1]), slice(k_ends[b], k_ends[b + 1])
        part = inputs.mapped(lambda t: t[None, rows], lambda t: t[None, keys])
        results.append(attend(part, _slopes(settings, b)))
    return _joined(results, lambda outs: torch.cat(outs, 1)[0], lambda lses: torch.cat(lses, 2)[0])


def _joined(
    results: list[Result], outputs: Callable[[list[Tensor]], Tensor],
    statistics: Callable[[list[Tensor]], Tensor]
) -> Result:
    lses = [lse for _, lse in results if lse is not None]
    return outputs([out for out, _ in results]), statistics(lses) if lses else None
