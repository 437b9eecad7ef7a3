"""Rotary position embedding by its definition, in float64."""

import torch


def turned(x, mode):
    """What each element turns with, signed."""
    if mode == "half":
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)
    return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)


def rotary(x, cosines, sines, mode, matrix=None):
    x, cosines, sines = x.double(), cosines.double(), sines.double()
    other = turned(x, mode) if matrix is None else x @ matrix.double()
    return x * cosines + other * sines


def interleave_rope(x, cosines, sines):
    return rotary(torch.cat([x[..., ::2], x[..., 1::2]], -1), cosines, sines, "half")


def latent_rows(kv, gamma, cosines, sines, epsilon, v=None):
    """What goes to k_cache and ckv_cache: MLA's latent rows, or keys beside values of their own."""
    kv, columns = kv.double(), len(gamma)
    values = kv[..., :columns]
    normalised = values / (values.square().mean(-1, keepdim=True) + epsilon).sqrt() * gamma.double()
    if v is None:
        return interleave_rope(kv[..., columns:], cosines, sines), normalised
    turning = cosines.shape[-1]
    turned_part = interleave_rope(normalised[..., :turning], cosines, sines)
    return torch.cat([turned_part, normalised[..., turning:]], -1), v.double()


def stored_rows(rows, scale, offset, dtype):
    if scale is None:
        return rows.to(dtype)
    offset = 0 if offset is None else offset.double()
    return (rows * scale.double() + offset).round().clamp(-128, 127).to(torch.int8)
