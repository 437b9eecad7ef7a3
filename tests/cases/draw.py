"""Seeded random choices, values and memory layouts."""

import random
import zlib

import torch

SIZES = (1, 2, 5, 16, 17, 31, 33, 64, 100, 127, 128, 129, 200)
HEAD_DIMS = (1, 2, 3, 7, 8, 16, 24, 31, 32, 33, 40, 64, 72, 80, 96, 128, 160, 192, 256, 320, 512)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


LONG_SIZES = (1, 3, 129, 255, 256, 257, 400, 511, 512, 513, 640, 1000, 1023, 1025, 1300)


class Draw:
    """One stream of random choices, reproducible from its seed; `long` ones span several tiles of any size."""

    def __init__(self, seed, long=False):
        self.seed, self.long = seed, long
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def aside(self, name):
        """A stream of its own for one feature: seeds keep their other choices."""
        return Draw(zlib.crc32(f"{self.seed} {name}".encode()))

    def chance(self, p):
        return self.random.random() < p

    def pick(self, *options):
        return self.random.choice(options)

    def integer(self, low, high):
        return self.random.randint(low, high)

    def normal(self, shape, dtype=torch.float32, std=1.0):
        return (torch.randn(shape, generator=self.generator) * std).to(dtype)

    def integers(self, shape, low, high, dtype=torch.int8):
        """Uniform in [low, high]."""
        return torch.randint(low, high + 1, shape, generator=self.generator).to(dtype)

    def uniform(self, shape, low, high, dtype=torch.float32):
        return (torch.rand(shape, generator=self.generator) * (high - low) + low).to(dtype)

    def mask(self, shape, dtype=torch.bool, density=0.3):
        return (torch.rand(shape, generator=self.generator) < density).to(dtype)

    def size(self, limit):
        """A sequence length with a liking for tile borders."""
        return self.pick(*[s for s in (LONG_SIZES if self.long else SIZES) if s <= max(limit, 1)])

    def head_dim(self, limit, multiple=1):
        return self.pick(*[d for d in HEAD_DIMS if d % multiple == 0 and d <= max(limit, multiple)])

    def strided(self, tensor, p=0.25):
        """The same values, sometimes in a non-contiguous view."""
        if tensor is None or tensor.dim() == 0 or tensor.numel() == 0 or not self.chance(p):
            return tensor
        kind = self.pick("padded", "transposed", "stepped")
        if kind == "transposed" and tensor.dim() > 1:
            a, b = self.random.sample(range(tensor.dim()), 2)
            return tensor.transpose(a, b).contiguous().transpose(a, b)
        if kind == "stepped":
            wide = torch.zeros(*tensor.shape[:-1], 2 * tensor.shape[-1], dtype=tensor.dtype)
            wide[..., ::2] = tensor
            return wide[..., ::2]
        wide = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 3, dtype=tensor.dtype)
        wide[..., 1:-2] = tensor
        return wide[..., 1:-2]

    def dims(self, budget=150_000, head_dim=None, multiple=1, kv_heads=None):
        """B, N, Nkv, Sq, Skv, D whose score matrices together hold at most ~`budget` elements."""
        d = head_dim or self.head_dim(self.pick(64, 128, 64 if self.long else 512), multiple)
        batch = self.pick(1, 1, 2, 3)
        fixed, kv_heads = kv_heads, kv_heads or self.pick(1, 1, 2, 3)
        heads = kv_heads * self.pick(1, 1, 2, 4, 5)
        longest = 200
        if self.long:
            if fixed is None:
                batch, kv_heads, heads = self.pick((1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 2, 2))
            budget, longest = 16 * budget, 1300
        allowed = max(1, budget // (batch * heads) // max(1, d // 32))
        sq = self.size(min(allowed, longest))
        skv = self.size(min(max(1, allowed // sq), longest))
        return batch, heads, kv_heads, sq, skv, d
