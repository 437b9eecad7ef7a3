"""Quantised inputs and scale tensors for the inference operators."""

import torch

import reference


def int8_inputs(d, shapes):
    """int8 tensors for the all-int8 path, moderate enough that scores stay small."""
    return [d.integers(s, -30, 30) for s in shapes]


def quantise_cache(d, kind, dense):
    """A quantised cache of the shape of `dense` (int4: eight values per int32 along the last dim)."""
    if kind == "int8":
        return d.integers(dense.shape, -127, 127)
    if kind == "int4":
        return reference.pack_int4(d.integers(dense.shape, -8, 7))
    if kind == "fp8":
        kind = torch.float8_e5m2 if d.seed % 2 else torch.float8_e4m3fn
    return dense.float().to(kind)


def dequant_scale(value, kind=torch.float32):
    """A per-tensor dequantisation scale; 64-bit kinds carry float32 bits in their low word."""
    scale = torch.tensor([value])
    if kind == torch.float32:
        return scale
    wide = scale.view(torch.int32).to(torch.int64)
    return wide.view(kind)


def output_scales(d, dtype, heads, dim):
    """quant_scale2 and sometimes quant_offset2, per tensor or per channel in any documented shape."""
    shape = d.pick((1,), (1, 1, 1), (heads * dim,), (1, 1, heads * dim), (1, heads, 1, dim), (heads, dim),
                   (1, 1, heads, dim))
    kind = d.pick(torch.float32, torch.bfloat16) if dtype == torch.bfloat16 else torch.float32
    out = {"quant_scale2": d.uniform(shape, 20.0, 60.0, kind)}
    if d.chance(0.5):
        out["quant_offset2"] = d.uniform(shape, -20.0, 20.0, kind)
    return out


def _shapes(mode, batch, heads, columns, dim, pages, d):
    if mode == 0:
        return d.pick((1,), (heads, dim), (heads * dim,), (1, heads, 1, dim), (1, heads, dim), (1, heads * dim))
    if mode == 1:
        return d.pick((batch, columns), (1, batch, columns))
    if mode == 2:
        return (heads,)
    if mode == 3:
        return (batch, heads, columns)
    return pages if mode == 4 else (pages[0], heads, pages[1])


SPANS = {"int8": (0.008, 0.02, 20.0), "int4": (0.1, 0.3, 4.0), "fp8": (0.5, 1.2, 1.0)}


def antiquantise(d, style, modes, dtype, batch, heads, columns, dim, value_dim, pages=None, cache="int8"):
    """antiquant_* arguments of one style ("combined" or "split") and mode(s)."""
    low, high, shift_limit = SPANS[cache]
    key_mode, value_mode = modes if isinstance(modes, tuple) else (modes, modes)
    offset = d.chance(0.5)

    def pair(shape, mode):
        kind = dtype if mode in (0, 2) else torch.float32
        return d.uniform(shape, low, high, kind), d.uniform(shape, -shift_limit, shift_limit, kind) if offset else None

    if style == "combined":
        channel = d.pick((2,), (2, heads, 1, dim), (2, heads, dim), (2, heads * dim))
        scale, shift = pair((2, batch, columns) if key_mode else channel, key_mode)
        out = {"antiquant_scale": scale, "antiquant_offset": shift}
        if key_mode:
            out["antiquant_mode"] = 1
    else:
        out = {}
        for name, mode, width in (("key", key_mode, dim), ("value", value_mode, value_dim)):
            scale, shift = pair(_shapes(mode, batch, heads, columns, width, pages, d), mode)
            out |= {f"{name}_antiquant_scale": scale, f"{name}_antiquant_offset": shift, f"{name}_antiquant_mode": mode}
    return {k: v for k, v in out.items() if v is not None}
