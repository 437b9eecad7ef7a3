"""Quantised inputs, caches and outputs."""

import struct

import numpy as np
import torch

from . import lengths


def unpack_int4(packed):
    """int32 (..., n) -> int8 (..., 8 n): eight signed nibbles each, lowest first."""
    nibbles = (packed[..., None].to(torch.int64) >> torch.arange(0, 32, 4)) & 0xF
    return torch.where(nibbles > 7, nibbles - 16, nibbles).flatten(-2).to(torch.int8)


def pack_int4(values):
    """int8 (..., 8 n) in [-8, 7] -> int32 (..., n)."""
    nibbles = (values.to(torch.int64) & 0xF).unflatten(-1, (-1, 8))
    word = (nibbles << torch.arange(0, 32, 4)).sum(-1)
    return torch.where(word >= 1 << 31, word - (1 << 32), word).to(torch.int32)


def scalar(scale):
    """A per-tensor scale; 64-bit integers carry float32 bits in their low word."""
    if not scale.dtype.is_floating_point:
        bits = int(scale.view(torch.int64).reshape(-1)[0]) & 0xFFFFFFFF
        return struct.unpack("<f", struct.pack("<I", bits))[0]
    return float(scale.double().reshape(-1)[0])


def quantise(out, scale, offset, heads):
    """Per-sequence (N, R, Dv) output to int8 values (float64), per tensor or per channel."""

    def factor(t):
        t = t.double()
        return t.reshape(()) if t.numel() == 1 else t.reshape(heads, 1, -1)

    scaled = out * factor(scale) + (factor(offset) if offset is not None else 0.0)
    return torch.from_numpy(np.round(scaled.numpy())).clamp(-128, 127), factor(scale).abs()


class AntiQuant:
    """Scale and offset of one of key/value, by the split-tensor mode numbers."""

    def __init__(self, mode, scale, offset):
        self.mode, self.scale, self.offset = mode, scale.double(), None if offset is None else offset.double()

    @staticmethod
    def combined(mode, scale, offset, which):
        """From tensors that hold key then value in dim 0."""
        return AntiQuant(mode, scale[which], None if offset is None else offset[which])

    def apply(self, x, batch, cols, table_row=None, block_size=0):
        """(x + offset) * scale for the (Nkv, C, D) tokens stored at `cols` of sequence `batch`."""
        offset = 0.0 if self.offset is None else self._factor(self.offset, x, batch, cols, table_row, block_size)
        return (x + offset) * self._factor(self.scale, x, batch, cols, table_row, block_size)

    def _factor(self, t, x, batch, cols, table_row, block_size):
        kv_heads = x.shape[0]
        if self.mode == 0:
            return t.reshape(()) if t.numel() == 1 else t.reshape(kv_heads, 1, -1)
        if self.mode == 1:
            return t.reshape(t.shape[-2], t.shape[-1])[batch][cols][None, :, None]
        if self.mode == 2:
            return t.reshape(kv_heads, 1, 1)
        if self.mode == 3:
            return t[batch][:, cols][..., None]
        if self.mode == 4:
            return lengths.paged_tokens(t, table_row, block_size, len(cols), 1)[None, :, None]
        return lengths.paged_tokens(t, table_row, block_size, len(cols), 2).transpose(0, 1)[..., None]


def int8_attention(integer_logits, keep, v, *, deq1, q1, deq2, scale, bias, softmax, weighted):
    """The all-int8 path: (softmax, output, per-element spread of the rounding of P)."""
    logits = integer_logits * deq1 * scale
    if bias is not None:
        logits = logits + bias
    soft = softmax(logits, keep)
    p8 = torch.from_numpy(np.round((soft.e * q1).numpy())).clamp(-128, 127)
    divisor = torch.where(soft.rows, soft.total, 1.0)[..., None]
    out = weighted(p8, v) * deq2 / divisor
    energy = weighted(keep.double().expand(logits.shape), v * v).sqrt()
    return soft, out, 2.5 * energy * abs(deq2) / divisor
