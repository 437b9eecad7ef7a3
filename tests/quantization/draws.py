"""Caches drawn for the tests of npufa.quantization, and their values in float64 by SPEC section 7."""

from __future__ import annotations

import torch

from reference.quant import unpack_int4

GRANULARITIES = ["tensor", "channel", "token", "head", "token_head"]
MODES = {"tensor": 0, "channel": 0, "token": 1, "head": 2, "token_head": 3}
PAGED_MODES = MODES | {"token": 4, "token_head": 5}
LAYOUTS = ["BNSD", "BSND", "BSH", "TND"]


def legal(granularities):
    """Pairs of granularity and layout that go together: TND has no scales per token (test_illegal_calls)."""
    return [(granularity, layout) for granularity in granularities for layout in LAYOUTS
            if layout != "TND" or "token" not in str(granularity)]


def cache(seed=0, batch=2, heads=3, tokens=17, head_dim=16, value_dim=16, dtype=torch.float32, device="cpu"):
    """Key and value (B, N, S, D) whose heads, channels and tokens differ in size and lie off zero."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for width in (head_dim, value_dim):
        x = torch.randn(batch, heads, tokens, width, generator=generator)
        x = x * torch.logspace(-1, 1, heads)[:, None, None] * torch.logspace(-0.5, 0.5, width)
        drawn.append((x * torch.logspace(-0.5, 0.5, tokens)[:, None] + 0.5).to(dtype).to(device))
    return drawn


def in_layout(tensor, layout):
    """(B, N, S, D) written out by the definition of the layouts; TND puts the sequences one after the other."""
    by_token = torch.stack([torch.stack([head for head in sequence], dim=1) for sequence in tensor])  # (B, S, N, D)
    if layout == "BNSD":
        return tensor
    if layout == "BSND":
        return by_token
    if layout == "BSH":
        return by_token.reshape(*by_token.shape[:2], -1)
    return torch.cat([*by_token])


def heads_first(tensor, layout, batch, heads):
    """The inverse of `in_layout`."""
    if layout == "BNSD":
        return tensor
    width = tensor.shape[-1] // (heads if layout == "BSH" else 1)
    return tensor.reshape(batch, -1, heads, width).transpose(1, 2)


def scale_for(scale, granularity, shape):
    """The scale of every element of (B, N, S, D), float64, by the shapes of SPEC sections 7 and 11."""
    batch, heads, tokens, width = shape
    scale = scale.cpu().double()
    if granularity == "tensor":
        assert scale.shape == (1,)
        return scale.expand(shape)
    if granularity == "channel":
        assert scale.shape == (heads, width)
        return scale.reshape(1, heads, 1, width).expand(shape)
    if granularity == "token":
        assert scale.shape == (batch, tokens)
        return scale.reshape(batch, 1, tokens, 1).expand(shape)
    if granularity == "head":
        assert scale.shape == (heads,)
        return scale.reshape(1, heads, 1, 1).expand(shape)
    assert scale.shape == (batch, heads, tokens)
    return scale.reshape(batch, heads, tokens, 1).expand(shape)


def stored(data):
    """What the stored tensor says, float64."""
    data = data.cpu()
    return (unpack_int4(data) if data.dtype == torch.int32 else data.float()).double()
