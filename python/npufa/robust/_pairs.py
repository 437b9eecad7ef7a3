"""Which rows and keys of one sequence take part, and the bias they get: SPEC sections 3 to 5, dense."""

from __future__ import annotations

import torch
from torch import Tensor

from ._call import Call

ALIBI_ROWS = 1024
_FAR = 1 << 40  # beyond any position, far from overflow


def kept(call: Call, sequence: int, rows: Tensor, columns: Tensor, first_row: int) -> Tensor:
    """Returns bool (1 or N, R, C), True where row and key take part.

    Args:
        rows: (R,) positions of query rows in storage.
        columns: (C,) positions of the keys.
        first_row: storage position of the sequence's first row that counts.
    """
    mask, mode = call["atten_mask"], call["sparse_mode"] or 0
    shape = (1, len(rows), len(columns))
    if call.is_decode:
        if mask is not None and not call.has_compressed_mask:
            return ~_decode_mask(mask, sequence)[..., columns].expand(-1, len(rows), -1)
        mask, mode = None, 1 if mode == 2 else mode  # mode 2 would keep one key: ignored
    full = None if mask is None or call.has_compressed_mask else _full_mask(mask, sequence)
    if full is not None:
        full = full[:, :, columns].expand(-1, len(rows), -1) if full.shape[1] == 1 else full[:, rows][:, :, columns]
    if full is not None and mode in (1, 5):
        return ~full
    if mode in (0, 1):
        if full is None:
            return torch.ones(shape, dtype=torch.bool, device=rows.device)
        return ~full & _band(rows[:, None], columns[None], 0, call)
    return _analytic(call, mode, sequence, rows - first_row, len(columns))[None]


def _analytic(call: Call, mode: int, sequence: int, rows: Tensor, keys: int) -> Tensor:
    """The rule of a mode without a mask, by positions within the sequence, (R, C)."""
    i, j = rows[:, None], torch.arange(keys, device=rows.device)[None]
    delta = keys - used_rows(call, sequence)
    if mode == 7:
        mode = 4 if sequence == call.packed("q_lengths").count - 1 else 3
    elif mode == 8:
        mode = 4 if sequence == 0 else 2
    if mode == 4:
        return _band(i, j, delta, call)
    causal = j <= i + (0 if mode == 2 else delta)
    return causal | (j < call["prefix"][sequence]) if mode in (5, 6) else causal


def used_rows(call: Call, sequence: int) -> int:
    """Lq: query rows of a sequence that count."""
    if call.is_packed:
        return call.packed("q_lengths").lengths[sequence]
    return min(length_of(call["q_lengths"], sequence, call.rows), call.rows)


def length_of(lengths: list[int] | Tensor | None, sequence: int, default: int) -> int:
    """The length of a sequence of a dense batch: absent, one for all, or at least one each."""
    if lengths is None:
        return default
    return int(lengths[0 if len(lengths) == 1 else sequence])


def _band(i: Tensor, j: Tensor, delta: int, call: Call) -> Tensor:
    before, after = (max(-_FAR, min(_FAR, call[name])) for name in ("pre", "next"))
    return (j >= i + delta - before) & (j <= i + delta + after)


def _decode_mask(mask: Tensor, sequence: int) -> Tensor:
    """(1 or N, 1, Skv) of a mask (Skv,), (B, Skv), (B, 1, Skv) or (B, 1 or N, 1, Skv)."""
    mask = mask.bool().reshape(mask.shape[0] if mask.dim() > 1 else 1, -1, 1, mask.shape[-1])
    return mask[sequence if mask.shape[0] > 1 else 0]


def _full_mask(mask: Tensor, sequence: int) -> Tensor:
    """(1 or N, Sq or 1, Skv) bool, True is masked out."""
    mask = mask[None, None] if mask.dim() == 2 else mask[:, None] if mask.dim() == 3 else mask
    return mask[sequence if mask.shape[0] > 1 else 0].bool()


def bias(call: Call, sequence: int, rows: Tensor, columns: Tensor, longest: int) -> Tensor | None:
    """Returns float32 (N, R, C) to add to the scaled scores, or None."""
    given = call["bias"]
    if given is None:
        return None
    kind = call["pse_type"] if call["pse_type"] is not None else 1
    of_sequence = given if given.dim() == 1 else given[sequence if given.shape[0] > 1 else 0]
    if kind >= 2:
        return _slopes(call, of_sequence, rows, columns, kind)
    values = _stored_bias(of_sequence.float(), rows, columns, longest)
    return values * call["scale"] if call.is_training and kind == 1 else values


def _slopes(call: Call, slopes: Tensor, rows: Tensor, columns: Tensor, kind: int) -> Tensor:
    i, j = rows + (call["q_start_idx"] or [0])[0], columns + (call["kv_start_idx"] or [0])[0]
    distance = (j[None] - i[:, None]).abs().float()
    return -slopes.float()[:, None, None] * (distance.sqrt() if kind == 3 else distance)


def _stored_bias(stored: Tensor, rows: Tensor, columns: Tensor, longest: int) -> Tensor:
    count = stored.shape[1]
    if count == 1:
        return stored[:, :, columns].expand(-1, len(rows), -1)
    if count != ALIBI_ROWS or longest <= ALIBI_ROWS:
        return stored[:, rows][:, :, columns]
    # The last 1024 rows: a row above them reads the last one, shifted by its distance from the end.
    first = longest - ALIBI_ROWS
    above = rows < first
    source = torch.where(above, ALIBI_ROWS - 1, rows - first)
    shifted = columns[None] + torch.where(above, longest - 1 - rows, 0)[:, None]
    return stored[:, source[:, None], shifted.clamp(max=stored.shape[-1] - 1)]
