"""Which (query, key) pairs take part, and the bias they get."""

import torch

LIMIT = 1 << 40
ALIBI_ROWS = 1024


def bounded(tokens):
    return max(-LIMIT, min(LIMIT, int(tokens)))


def full_mask(mask, batch, rows, cols):
    """The part of a full mask one sequence sees: (1 or N, rows, cols) bool, True = masked out."""
    if mask.dim() == 2:
        mask = mask[None, None]
    elif mask.dim() == 3:
        mask = mask[:, None]
    mask = mask[batch if mask.shape[0] > 1 else 0]
    mask = mask.bool()[:, :, cols]
    return mask.expand(-1, len(rows), -1) if mask.shape[1] == 1 else mask[:, rows]


def decode_mask(mask, batch, cols):
    """The mask of a single-token query: (B, Skv) or anything that broadcasts to (B, 1, 1, Skv)."""
    if mask.dim() == 1:
        mask = mask[None]
    if mask.dim() == 2:
        mask = mask[:, None, None]
    elif mask.dim() == 3:
        mask = mask[:, None]
    return mask[batch if mask.shape[0] > 1 else 0].bool()[:, :, cols]


def causal(i, j, shift):
    return j <= i + shift


def band(i, j, delta, pre, nxt):
    return (j >= i + delta - bounded(pre)) & (j <= i + delta + bounded(nxt))


def kept_pairs(mode, rows, cols, *, batch=0, mask=None, pre=LIMIT, nxt=LIMIT, prefix=None, first=False, last=False):
    """(1 or N, rows, cols) bool, True where the pair takes part.

    `rows` and `cols` are storage positions; causal rules use positions relative to the valid region.
    """
    i = torch.arange(len(rows))[:, None]
    j = torch.arange(len(cols))[None]
    delta = len(cols) - len(rows)
    everything = torch.ones(1, len(rows), len(cols), dtype=torch.bool)
    if mode == 0:
        if mask is None:
            return everything
        return ~full_mask(mask, batch, rows, cols) & band(rows[:, None], cols[None], 0, pre, nxt)
    if mode == 1:
        return everything if mask is None else ~full_mask(mask, batch, rows, cols)
    if mode == 5 and mask is not None:
        return ~full_mask(mask, batch, rows, cols)
    if mode == 2:
        rule = causal(i, j, 0)
    elif mode == 3:
        rule = causal(i, j, delta)
    elif mode == 4:
        rule = band(i, j, delta, pre, nxt)
    elif mode in (5, 6):
        rule = causal(i, j, delta) | (j < prefix[batch])
    elif mode == 7:
        rule = band(i, j, delta, pre, nxt) if last else causal(i, j, delta)
    elif mode == 8:
        rule = band(i, j, delta, pre, nxt) if first else causal(i, j, 0)
    else:
        raise ValueError(f"sparse_mode {mode}")
    return everything & rule


def bias_rows(pse, batch, rows, cols, rows_total):
    """(N, rows, cols) of a pse tensor; `rows_total` is the number of rows the full matrix has."""
    pse = pse[batch if pse.shape[0] > 1 else 0]
    stored = pse.shape[1]
    if stored == 1:
        return pse[:, :, cols].expand(-1, len(rows), -1)
    if stored == ALIBI_ROWS and rows_total > ALIBI_ROWS:
        return alibi_rows(pse, rows, cols, rows_total)
    return pse[:, rows][:, :, cols]


def alibi_rows(pse, rows, cols, total):
    """Rows of the full ALiBi matrix of which only the last 1024 are stored."""
    first = total - ALIBI_ROWS
    shift = torch.where(rows < first, total - 1 - rows, 0)
    source = torch.where(rows < first, ALIBI_ROWS - 1, rows - first)
    column = (cols[None] + shift[:, None]).clamp(max=pse.shape[-1] - 1)
    return pse[:, source[:, None].expand_as(column), column]
