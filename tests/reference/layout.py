"""Between the input layouts and one (heads, tokens, head_dim) view per sequence."""

import torch

PACKED = {"TND", "NTD", "TND_NTD", "NTD_TND"}


def input_part(layout):
    """The layout of query/key/value: what stands left of the underscore."""
    return layout.split("_")[0]


def output_part(layout):
    """The layout of the output: what stands right of the underscore."""
    return layout.split("_")[-1]


def is_packed(layout):
    return layout in PACKED


def extents(tensor, layout, heads):
    """(batch, sequence, head_dim) of a dense tensor; (1, tokens, head_dim) of a packed one."""
    part = input_part(layout)
    shape = tensor.shape
    if part == "BSH":
        return shape[0], shape[1], shape[2] // heads
    if part == "SBH":
        return shape[1], shape[0], shape[2] // heads
    if part == "BSND":
        return shape[0], shape[1], shape[3]
    if part == "BNSD":
        return shape[0], shape[2], shape[3]
    if part == "TND":
        return 1, shape[0], shape[2]
    return 1, shape[1], shape[2]  # NTD


def split(tensor, layout, heads, spans=None):
    """One (heads, tokens, head_dim) view per sequence; `spans` are the (start, length) of packed sequences."""
    part = input_part(layout)
    if part == "BSH":
        return [t.unflatten(-1, (heads, -1)).transpose(0, 1) for t in tensor]
    if part == "SBH":
        return [t.unflatten(-1, (heads, -1)).transpose(0, 1) for t in tensor.unbind(1)]
    if part == "BSND":
        return [t.transpose(0, 1) for t in tensor]
    if part == "BNSD":
        return list(tensor)
    if part == "NTD":
        tensor = tensor.transpose(0, 1)
    return [tensor[start:start + length].transpose(0, 1) for start, length in spans]


def join(parts, layout, batch, sequence, heads, head_dim, spans=None, like=None, fill=0.0):
    """Assemble per-sequence (heads, tokens, head_dim) tensors in an output layout; `fill` pads packed tokens."""
    part = output_part(layout)
    if part in ("TND", "NTD"):
        flat = torch.full((sequence, heads, head_dim), fill, dtype=torch.float64)
        if parts:
            rows = [p.transpose(0, 1) for p in parts]
            used = sum(r.shape[0] for r in rows)
            flat = torch.cat(rows + [flat[used:]])
        return flat if part == "TND" else flat.transpose(0, 1)
    stacked = torch.stack(parts) if parts else torch.zeros(batch, heads, sequence, head_dim, dtype=torch.float64)
    if part == "BNSD":
        return stacked
    if part == "NBSD":
        return stacked.permute(1, 0, 2, 3)
    if part == "BSND":
        return stacked.permute(0, 2, 1, 3)
    if part == "BSH":
        return stacked.permute(0, 2, 1, 3).flatten(2)
    return stacked.permute(2, 0, 1, 3).flatten(2)  # SBH
