"""Recognises the rule that a dense mask spells out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

WHOLE = 1 << 24  # elements up to which a mask is read as a whole
_EDGE_ROWS, _ROWS = 32, 64


class MaskRule(NamedTuple):
    """A rule equal to a mask.

    Attributes:
        arguments: to pass instead, in words.
        whole: all rows were compared.
        causal: every row sees the keys up to the diagonal, or the last few of these.
    """

    arguments: str
    whole: bool
    causal: bool = False


def recognise(mask: Tensor, rows: int, keys: int) -> MaskRule | None:
    """Returns the rule of a full mask (..., Sq or 1, Skv), True masked out, or None.

    A mask beyond 16 million elements is compared in the first and last 32 rows and 64 evenly spaced ones.
    """
    mask = mask.bool()[..., :rows, :keys].expand(*mask.shape[:-2], rows, keys)
    whole = mask.numel() <= WHOLE
    index = torch.arange(rows, device=mask.device) if whole else _sample(rows).to(mask.device)
    keep = ~mask[..., index, :].reshape(-1, len(index), keys)
    if keep.all():
        return MaskRule("no atten_mask", whole)
    if bool((keep == keep[:, :1]).all()):
        # The same keys for every row: padding at the end of each sequence.
        lengths = keep[:, 0].sum(-1)
        if bool((keep[:, 0] == (torch.arange(keys, device=mask.device) < lengths[:, None])).all()):
            return MaskRule(f"the key/value lengths {lengths.tolist()}", whole)
    if not bool((keep == keep[:1]).all()):
        return None
    return _of_window(keep[0], index, rows, keys, whole)


def _sample(rows: int) -> Tensor:
    edge = torch.arange(_EDGE_ROWS)
    return torch.cat([edge, rows - 1 - edge, torch.linspace(0, rows - 1, _ROWS).long()]).unique()


def _of_window(keep: Tensor, index: Tensor, rows: int, keys: int, whole: bool) -> MaskRule | None:
    """A window `[i + low, i + high]` that moves with row i, clipped to the keys."""
    i, j = index[:, None], torch.arange(keys, device=keep.device)[None]
    distance = (j - i)[keep]
    delta = keys - rows
    low, high = int(distance.min()), int(distance.max())
    below = bool((keep == (j - i <= high)).all())
    causal = rows > 1 and low < high and high in (0, delta)
    if below and high == delta:
        return MaskRule("sparse_mode=3", whole, causal)
    if below and high == 0:
        return MaskRule("sparse_mode=2", whole, causal)
    if bool((keep == ((j - i >= low) & (j - i <= high))).all()):
        return MaskRule(f"sparse_mode=4 with {delta - low} tokens before and {high - delta} after", whole, causal)
    return None
