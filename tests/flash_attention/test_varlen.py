"""flash_attn_varlen_func, its packed forms, pages and `seqused_*` against the published semantics."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

import npufa.flash_attn as fa
from flash_attention import published
from flash_attention.published import TOLERANCE, close, cumulative, parts, window_of


def paged(tokens: Tensor, lengths: list[int], page_size: int, rng: random.Random) -> tuple[Tensor, Tensor]:
    """Packed tokens as shuffled pages, NaN where none is, and the table with entries that nobody may follow."""
    blocks = [-(-length // page_size) for length in lengths]
    pages = torch.full((sum(blocks) + 2, page_size, *tokens.shape[1:]), torch.nan, dtype=tokens.dtype)
    table = torch.full((len(lengths), max([*blocks, 1])), -1, dtype=torch.int32)
    free = rng.sample(range(len(pages)), len(pages))
    for b, part in enumerate(parts(lengths)):
        for t, token in enumerate(part):
            if t % page_size == 0:
                table[b, t // page_size] = free.pop()
            pages[table[b, t // page_size], t % page_size] = tokens[token]
    return pages, table


@pytest.mark.parametrize("seed", range(45))
def test_random_calls(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    batch = rng.choice([1, 2, 4])
    q_lengths, k_lengths = ([rng.choice([0, 1, 3, 9]) for _ in range(batch)] for _ in range(2))
    if rng.random() < 0.3:
        k_lengths = q_lengths
    surplus = rng.choice([0, 0, 3])
    dtype, grad = rng.choice([torch.float32, torch.float16, torch.bfloat16]), rng.random() < 0.5
    kv_heads, group, width, value_width = (rng.choice(sizes) for sizes in ([1, 2], [1, 3], [8, 20], [8, 20]))
    heads = kv_heads * group
    q, k, v = (torch.randn(shape).to(dtype).requires_grad_(grad) for shape in (
        (sum(q_lengths) + surplus, heads, width), (sum(k_lengths) + surplus, kv_heads, width),
        (sum(k_lengths) + surplus, kv_heads, value_width)))
    slopes = rng.choice([None, None, torch.rand(heads), torch.rand(batch, heads)])
    sink = rng.choice([None, None, torch.randn(heads)])
    causal, window = rng.random() < 0.5, window_of(rng, max([*k_lengths, 1]))
    softcap = rng.choice(published.SOFTCAPS)
    arguments = [cumulative(q_lengths), cumulative(k_lengths), max(q_lengths), max([*k_lengths, 1])]
    options = {"causal": causal, "window_size": window, "alibi_slopes": slopes, "return_attn_probs": True,
               "learnable_sink": sink, "softcap": softcap}
    out, lse, _ = fa.flash_attn_varlen_func(q, k, v, *arguments, **options)
    expected, expected_lse = published.packed(q, k, v, parts(q_lengths), parts(k_lengths), slopes, scale=width ** -0.5,
                                              causal=causal, window=window, sink=sink, softcap=softcap)
    assert out.dtype == dtype and lse.shape == (heads, len(q))
    close(out, expected, dtype)
    close(lse, expected_lse, dtype)
    if grad:
        weight = torch.randn_like(expected)
        got = torch.autograd.grad((out.double() * weight).sum(), (q, k, v))
        wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
        for a, b in zip(got, wanted):
            torch.testing.assert_close(a, b, atol=4 * TOLERANCE[dtype], rtol=4 * TOLERANCE[dtype])
    if len(k):
        (k_pages, table), (v_pages, _) = (paged(t, k_lengths, 4, random.Random(seed)) for t in (k.detach(), v.detach()))
        again, lse, _ = fa.flash_attn_varlen_func(q, k_pages, v_pages, *arguments, block_table=table, **options)
        close(again, expected, dtype)
        close(lse, expected_lse, dtype)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(1000, 3000, 100))
def test_many_random_calls(first: int) -> None:
    for seed in range(first, first + 100):
        test_random_calls(seed)


@pytest.mark.parametrize("lengths, tokens", [
    ([1, 1, 1], 6), ([2, 3, 5], 10), ([0, 0], 0), ([3, 0, 0], 3), ([0, 4], 4), ([1, 1], 3)])
def test_lengths_have_one_reading(lengths: list[int], tokens: int) -> None:
    """`cu_seqlens` that a list would have to explain: [1, 2, 3] of six tokens might be 1 + 2 + 3."""
    q, k, v = (torch.randn(tokens, 2, 8) for _ in range(3))
    cu = cumulative(lengths)
    for slopes in (None, torch.rand(2)):
        out = fa.flash_attn_varlen_func(q, k, v, cu, cu, 5, 5, causal=True, alibi_slopes=slopes)
        close(out, published.packed(q, k, v, parts(lengths), parts(lengths), slopes, scale=8 ** -0.5, causal=True)[0])


def test_packed_forms_are_the_same_call() -> None:
    qkv, cu = torch.randn(9, 3, 2, 8, requires_grad=True), cumulative([4, 0, 5])
    plain = fa.flash_attn_varlen_func(*qkv.unbind(1), cu, cu, 5, 5, causal=True)
    together = fa.flash_attn_varlen_qkvpacked_func(qkv, cu, 5, causal=True)
    halved = fa.flash_attn_varlen_kvpacked_func(qkv[:, 0], qkv[:, 1:], cu, cu, 5, 5, causal=True)
    assert torch.equal(plain, together) and torch.equal(plain, halved)
    gradients = [torch.autograd.grad(out.sum(), qkv)[0] for out in (plain, together, halved)]
    assert all(torch.equal(gradients[0], other) for other in gradients)


@pytest.mark.parametrize("grad", [False, True])
def test_seqused_counts_from_the_first_token(grad: bool) -> None:
    q, k, v = (torch.randn(shape, requires_grad=grad) for shape in ((11, 4, 8), (16, 2, 8), (16, 2, 8)))
    q_lengths, k_lengths, q_used, k_used = [4, 0, 7], [6, 3, 7], [2, 0, 7], [5, 3, 0]
    q_parts = [part[:used] for part, used in zip(parts(q_lengths), q_used)]
    k_parts = [part[:used] for part, used in zip(parts(k_lengths), k_used)]
    for queries, rows in ((None, parts(q_lengths)), (torch.tensor(q_used), q_parts)):
        out, lse = fa.v3.flash_attn_varlen_func(
            q, k, v, cumulative(q_lengths), cumulative(k_lengths), 7, 7, queries, torch.tensor(k_used), causal=True,
            return_attn_probs=True)
        expected, expected_lse = published.packed(q, k, v, rows, k_parts, scale=8 ** -0.5, causal=True)
        close(out, expected)
        close(lse, expected_lse.masked_fill(expected_lse == torch.inf, -torch.inf))
        if grad:
            for a, b in zip(torch.autograd.grad(out.sum(), (q, k, v)), torch.autograd.grad(expected.sum(), (q, k, v))):
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grad", [False, True])
def test_qv_of_packed_sequences(grad: bool) -> None:
    lengths = [3, 0, 6]
    q, k, v, qv = (torch.randn(shape, requires_grad=grad) for shape in ((9, 4, 8), (9, 1, 8), (9, 1, 16), (9, 4, 16)))
    cu = cumulative(lengths)
    out = fa.v3.flash_attn_varlen_func(q, k, v, cu, cu, 6, 6, causal=True, qv=qv)
    close(out, published.packed(q, k, v, parts(lengths), parts(lengths), qv=qv, scale=24 ** -0.5, causal=True)[0])


def test_dropout_over_pages() -> None:
    lengths = [1500, 500]
    pages, table = paged(torch.randn(2000, 1, 8), lengths, 16, random.Random(0))
    out = fa.flash_attn_varlen_func(torch.randn(2, 1, 8), pages, torch.ones_like(pages), cumulative([1, 1]),
                                    cumulative(lengths), 1, 1500, dropout_p=0.5, block_table=table)
    assert (out - 1).abs().max() < 0.3 and out.std() > 0
