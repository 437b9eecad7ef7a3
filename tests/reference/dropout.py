"""Dropout masks: bit order and the Philox-4x32-10 generator."""

import numpy as np
import torch

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox_words(seed, offset, count):
    """Words 0..count of the stream: four per 64-bit counter, counters start at `offset`."""
    blocks = (count + 3) // 4
    with np.errstate(over="ignore"):
        counter = np.uint64(offset % (1 << 64)) + np.arange(blocks, dtype=np.uint64)
    c0, c1 = counter & _LOW, counter >> _SHIFT
    c2 = c3 = np.zeros_like(c0)
    seed %= 1 << 64
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count]


def philox_mask(seed, offset, count, keep_prob):
    """(count,) bool, True = kept."""
    words = philox_words(int(seed), int(offset), count)
    return torch.from_numpy(words.astype(np.float64) < keep_prob * 2.0 ** 32)


def pack_bits(kept):
    """(count,) bool -> uint8 bytes, least significant bit first."""
    return torch.from_numpy(np.packbits(kept.numpy(), bitorder="little"))


def unpack_bits(mask, count):
    """uint8 bytes -> (count,) bool."""
    return torch.from_numpy(np.unpackbits(mask.contiguous().view(-1).numpy(), count=count, bitorder="little")).bool()


def keep_bits(count, keep_prob, dropout_mask=None, seed=0, offset=0):
    """Kept elements in flat order, or None without dropout."""
    if dropout_mask is not None:
        return unpack_bits(dropout_mask, count)
    if keep_prob == 1.0:
        return None
    return philox_mask(seed, offset, count, keep_prob)
