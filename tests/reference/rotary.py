"""Rotary position embedding by its definition, in float64."""

import torch


def turned(x, mode):
    """What each element turns with, signed."""
    if mode == "half":
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)
    return torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)


def rotary(x, cosines, sines, mode):
    x, cosines, sines = x.double(), cosines.double(), sines.double()
    return x * cosines + turned(x, mode) * sines


def interleave_rope(x, cosines, sines):
    return rotary(torch.cat([x[..., ::2], x[..., 1::2]], -1), cosines, sines, "half")


def latent_rows(kv, gamma, cosines, sines, epsilon):
    """Rotated and normalised rows of MLA's latent cache."""
    kv, columns = kv.double(), len(gamma)
    values = kv[..., :columns]
    normalised = values / (values.square().mean(-1, keepdim=True) + epsilon).sqrt() * gamma.double()
    return interleave_rope(kv[..., columns:], cosines, sines), normalised


def stored_rows(rows, scale, dtype):
    if scale is None:
        return rows.to(dtype)
    return (rows * scale.double()).round().clamp(-128, 127).to(torch.int8)
