"""Decode: against a plain read of the cache, against SDPA, paged against contiguous, int8 and int4 against 16 bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

import machine
import npufa
from cases import BF16, F16, F32, Accuracy, Case, Sides, exact_rows, random
from timing import Run

BATCH, HEADS, LENGTH, SIZE = 8, 32, 4096, 128
INCRE, INFER = "npu_incre_flash_attention", "npu_fused_infer_attention_score"


@dataclass(frozen=True)
class Decode:
    """One query token per sequence; caches (B, Nkv, S, D)."""

    query: Tensor
    key: Tensor
    value: Tensor

    @classmethod
    def create(cls, kv_heads: int, dtype: torch.dtype) -> Decode:
        shape = (BATCH, kv_heads, LENGTH, SIZE)
        query = random(BATCH, HEADS, 1, SIZE, dtype=dtype)
        return cls(query, random(*shape, dtype=dtype, seed=1), random(*shape, dtype=dtype, seed=2))

    @property
    def kv_heads(self) -> int:
        return self.key.shape[1]

    def run(self, operator: str) -> Run:
        return _call(operator, self.query, self.key, self.value, self.kv_heads, "BNSD")

    def run_tokens(self) -> Run:
        """Caches (B, S, Nkv, D)."""
        key, value = (cache.transpose(1, 2).contiguous() for cache in (self.key, self.value))
        return _call(INFER, self.query.transpose(1, 2), key, value, self.kv_heads, "BSND")

    def run_paged(self, block_size: int, tokens: bool) -> Run:
        """Blocks in random order: (blocks, Nkv, block, D) or, for `tokens`, (blocks, block, Nkv * D)."""
        generator = torch.Generator().manual_seed(0)
        table = torch.randperm(BATCH * LENGTH // block_size, generator=generator).view(BATCH, -1)

        def scatter(cache: Tensor) -> Tensor:
            blocks = cache.view(BATCH, self.kv_heads, -1, block_size, SIZE).transpose(1, 2).flatten(0, 1)
            blocks = blocks[table.flatten().argsort()]
            return blocks.transpose(1, 2).flatten(2).contiguous() if tokens else blocks.contiguous()

        query, layout = (self.query.transpose(1, 2), "BSND") if tokens else (self.query, "BNSD")
        pages = {"block_table": table.to(torch.int32), "block_size": block_size}
        return _call(INFER, query, scatter(self.key), scatter(self.value), self.kv_heads, layout, **pages)

    def run_quantised(self, bits: int) -> Run:
        """The caches rounded to int8, or to int4 in words of eight, with a scale per channel."""
        most = 2 ** (bits - 1) - 1

        def quantise(cache: Tensor) -> tuple[Tensor, Tensor]:
            scale = cache.float().abs().amax((0, 2)) / most
            whole = (cache / scale[:, None]).round().to(torch.int32)
            if bits == 8:
                return whole.to(torch.int8), scale.to(self.query.dtype)
            nibbles = (whole & 15).unflatten(-1, (-1, 8)) << torch.arange(0, 32, 4, dtype=torch.int32)
            return nibbles.sum(-1, dtype=torch.int32), scale.to(self.query.dtype)

        (key, key_scale), (value, value_scale) = quantise(self.key), quantise(self.value)
        scales = {"key_antiquant_scale": key_scale, "value_antiquant_scale": value_scale}
        return _call(INFER, self.query, key, value, self.kv_heads, "BNSD", **scales)

    def read(self) -> Run:
        def run() -> tuple[()]:
            machine.read([self.key, self.value])
            return ()

        return run

    def sdpa(self, folded: bool) -> Run:
        """`folded`: the heads of a group as query rows, which needs no enable_gqa."""
        rows = self.query.view(BATCH, self.kv_heads, -1, SIZE)
        if folded:
            return lambda: (F.scaled_dot_product_attention(rows, self.key, self.value),)
        grouped = self.kv_heads < HEADS
        return lambda: (F.scaled_dot_product_attention(self.query, self.key, self.value, enable_gqa=grouped),)

    def accuracy(self) -> Accuracy:
        shape = (BATCH, HEADS, 1, SIZE)
        row = torch.tensor([0])
        return Accuracy(
            lambda: (exact_rows(self.query, self.key, self.value, row, causal=False),),
            lambda result: (result[0],),
            lambda result: (result[0].reshape(shape),),
        )


def _call(operator: str, query: Tensor, key: Tensor, value: Tensor, kv_heads: int, layout: str, **more: object) -> Run:
    settings = {"num_heads": HEADS, "num_key_value_heads": kv_heads, "input_layout": layout, **more}
    scale, lengths = 1.0 / math.sqrt(SIZE), [LENGTH] * BATCH
    if operator == INCRE:
        return lambda: (
            npufa.npu_incre_flash_attention(
                query, key, value, scale_value=scale, actual_seq_lengths=lengths, **settings
            ),
        )
    return lambda: npufa.npu_fused_infer_attention_score(
        query, key, value, scale=scale, actual_seq_lengths_kv=lengths, **settings
    )[:1]


def _against_sdpa(operator: str, kv_heads: int, dtype: torch.dtype, folded: bool) -> Sides:
    problem = Decode.create(kv_heads, dtype)
    return Sides(problem.run(operator), problem.sdpa(folded), problem.accuracy())


def _against_read(kv_heads: int, dtype: torch.dtype) -> Sides:
    problem = Decode.create(kv_heads, dtype)
    return Sides(problem.run(INFER), problem.read())


def _paged(kv_heads: int, dtype: torch.dtype, block_size: int, tokens: bool) -> Sides:
    problem = Decode.create(kv_heads, dtype)
    ours = problem.run_paged(block_size, tokens)
    contiguous = problem.run_tokens() if tokens else problem.run(INFER)
    if not torch.equal(ours()[0], contiguous()[0]):
        raise SystemExit(f"decode paged {block_size}: differs from the contiguous cache")
    return Sides(ours, contiguous)


def _quantised(kv_heads: int, dtype: torch.dtype, bits: int) -> Sides:
    problem = Decode.create(kv_heads, dtype)
    return Sides(problem.run_quantised(bits), problem.run(INFER))


def decode_cases() -> Iterator[Case]:
    """MHA (Nkv 32) and GQA 4:1 (Nkv 8)."""

    def case(operator, kv_heads, label, dtype, against, bar, quick, build) -> Case:
        problem = f"B{BATCH} N{HEADS}/{kv_heads} KV{LENGTH} D{SIZE}{label}"
        return Case("decode", operator, problem, dtype, against, bar, quick, build)

    for dtype in (BF16, F16, F32):
        for kv_heads, bar in ((HEADS, 0.9), (8, None)):
            yield case(INFER, kv_heads, "", dtype, "plain read", bar, True,
                       lambda n=kv_heads, t=dtype: _against_read(n, t))
        for kv_heads, folded, against, bar in (
            (HEADS, False, "SDPA", 1.0),
            (8, False, "SDPA enable_gqa", 6.0),
            (8, True, "SDPA folded", 1.0),
        ):
            yield case(
                INCRE, kv_heads, "", dtype, against, bar, kv_heads == 8,
                lambda n=kv_heads, f=folded, t=dtype: _against_sdpa(INCRE, n, t, f),
            )
        for kv_heads in (HEADS, 8):
            for block, tokens in product((16, 128), (False, True)):
                yield case(
                    INFER, kv_heads, f" paged {block}{' BSND' * tokens}", dtype, "npufa, contiguous", 0.95,
                    dtype == BF16, lambda n=kv_heads, t=dtype, b=block, k=tokens: _paged(n, t, b, k),
                )
    for dtype in (BF16, F16):
        for kv_heads, bits in product((HEADS, 8), (8, 4)):
            yield case(
                INFER, kv_heads, f" int{bits} cache", dtype, "npufa, 16-bit cache", 1.7 if bits == 8 else None,
                dtype == BF16, lambda n=kv_heads, t=dtype, b=bits: _quantised(n, t, b),
            )
