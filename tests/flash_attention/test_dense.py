"""flash_attn_func and its packed forms against the published semantics."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

import npufa.flash_attn as fa
from flash_attention import published
from flash_attention.published import TOLERANCE, close, window_of


def draw(rng: random.Random, batch: int, rows: int, keys: int, dtype: torch.dtype, grad: bool
         ) -> tuple[Tensor, Tensor, Tensor]:
    kv_heads, group, width, value_width = (rng.choice(sizes) for sizes in ([1, 2], [1, 3], [8, 20], [8, 20, 24]))
    shapes = ((batch, rows, kv_heads * group, width), (batch, keys, kv_heads, width),
              (batch, keys, kv_heads, value_width))
    q, k, v = (torch.randn(shape).to(dtype).requires_grad_(grad) for shape in shapes)
    return q, k, v


@pytest.mark.parametrize("seed", range(45))
def test_random_calls(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    batch, rows, keys = rng.choice([1, 3]), rng.choice([1, 1, 4, 17]), rng.choice([1, 5, 23])
    dtype, grad = rng.choice([torch.float32, torch.float16, torch.bfloat16]), rng.random() < 0.5
    q, k, v = draw(rng, batch, rows, keys, dtype, grad)
    heads = q.shape[2]
    slopes = rng.choice([None, None, torch.rand(heads), torch.rand(batch, heads)])
    sink = rng.choice([None, None, torch.randn(heads)])
    causal, window = rng.random() < 0.5, window_of(rng, keys)
    scale, softcap = rng.choice([None, 0.3]), rng.choice(published.SOFTCAPS)
    out, lse, probabilities = fa.flash_attn_func(q, k, v, softmax_scale=scale, causal=causal, window_size=window,
                                                 alibi_slopes=slopes, return_attn_probs=True, learnable_sink=sink,
                                                 softcap=softcap)
    expected, expected_lse = published.dense(q, k, v, scale=scale or q.shape[-1] ** -0.5, causal=causal, window=window,
                                             slopes=slopes, sink=sink, softcap=softcap)
    assert out.dtype == dtype and lse.dtype == torch.float32 and probabilities.numel() == 0
    close(out, expected, dtype)
    close(lse, expected_lse, dtype)
    if grad:
        weight = torch.randn_like(expected)
        got = torch.autograd.grad((out.double() * weight).sum(), (q, k, v))
        wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
        for a, b in zip(got, wanted):
            torch.testing.assert_close(a, b, atol=4 * TOLERANCE[dtype], rtol=4 * TOLERANCE[dtype])


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(1000, 3000, 100))
def test_many_random_calls(first: int) -> None:
    for seed in range(first, first + 100):
        test_random_calls(seed)


def test_causal_is_aligned_to_the_last_key() -> None:
    q, k, v = torch.randn(1, 5, 1, 8), torch.randn(1, 2, 1, 8), torch.eye(2)[None, :, None].contiguous()
    out = fa.flash_attn_func(q, k, v, causal=True)
    assert (out[0, :3] == 0).all() and out[0, 3, 0].tolist() == [1.0, 0.0] and (out[0, 4] > 0).all()


def test_a_right_window_of_all_keys_is_none_in_version_2_only() -> None:
    q, k, v = torch.randn(1, 9, 1, 8), torch.randn(1, 2, 1, 8), torch.randn(1, 2, 1, 8)
    torch.testing.assert_close(fa.flash_attn_func(q, k, v, window_size=(-1, 2)), fa.flash_attn_func(q, k, v))
    out = fa.v3.flash_attn_func(q, k, v, window_size=(-1, 2))
    close(out, published.dense(q, k, v, scale=8 ** -0.5, window=(-1, 2))[0])
    assert (out[0, :5] == 0).all()


def test_packed_forms_are_the_same_call() -> None:
    qkv = torch.randn(2, 6, 3, 2, 8, requires_grad=True)
    plain = fa.flash_attn_func(*qkv.unbind(2), causal=True, window_size=(3, 0))
    together = fa.flash_attn_qkvpacked_func(qkv, causal=True, window_size=(3, 0))
    halved = fa.flash_attn_kvpacked_func(qkv[:, :, 0], qkv[:, :, 1:], causal=True, window_size=(3, 0))
    v3 = fa.v3.flash_attn_qkvpacked_func(qkv, causal=True, window_size=(3, 0))
    flat = fa.v3.flash_attn_qkvpacked_func(qkv.flatten(2, 3), causal=True, window_size=(3, 0), num_heads_q=2)
    for other in (together, halved, v3, flat):
        assert torch.equal(plain, other)
    gradients = [torch.autograd.grad(out.sum(), qkv)[0] for out in (plain, together, halved, v3, flat)]
    assert all(torch.equal(gradients[0], other) for other in gradients)


def test_dropout_draws_from_torchs_generator_and_keeps_the_mean() -> None:
    q, k, v = torch.randn(1, 4, 1, 8), torch.randn(1, 4000, 1, 8), torch.ones(1, 4000, 1, 8)
    torch.manual_seed(3)
    first = fa.flash_attn_func(q, k, v, dropout_p=0.25)
    torch.manual_seed(3)
    assert torch.equal(first, fa.flash_attn_func(q, k, v, dropout_p=0.25))
    assert not torch.equal(first, fa.flash_attn_func(q, k, v, dropout_p=0.25))
    assert (first - 1).abs().max() < 0.15 and first.std() > 0


def test_gradients_of_slopes_and_sink() -> None:
    q, k, v = (torch.randn(2, 5, 2, 8) for _ in range(3))
    slopes, sink = torch.rand(2, 2, requires_grad=True), torch.randn(2, requires_grad=True)
    out = fa.flash_attn_func(q, k, v, causal=True, alibi_slopes=slopes, learnable_sink=sink)
    expected, _ = published.dense(q, k, v, scale=8 ** -0.5, causal=True, slopes=slopes, sink=sink)
    got, wanted = (torch.autograd.grad(result.sum(), (slopes, sink)) for result in (out, expected))
    for a, b in zip(got, wanted):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grad", [False, True])
def test_qv_of_multi_head_latent_attention(grad: bool) -> None:
    q, k, v, qv = (torch.randn(shape, requires_grad=grad) for shape in (
        (2, 3, 4, 8), (2, 7, 1, 8), (2, 7, 1, 32), (2, 3, 4, 32)))
    out, lse = fa.v3.flash_attn_func(q, k, v, causal=True, qv=qv, softcap=2.0, return_attn_probs=True)
    expected, expected_lse = published.dense(q, k, v, qv=qv, scale=40 ** -0.5, causal=True, softcap=2.0)
    close(out, expected)
    close(lse, expected_lse)
    if grad:
        for a, b in zip(torch.autograd.grad(out.sum(), (q, k, v, qv)),
                        torch.autograd.grad(expected.sum(), (q, k, v, qv))):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_rows_without_keys_have_the_infinity_of_their_version() -> None:
    q, k, v = torch.randn(1, 3, 1, 8), torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    assert fa.flash_attn_func(q, k, v, causal=True, return_attn_probs=True)[1][0, 0, 0] == torch.inf
    assert fa.v3.flash_attn_func(q, k, v, causal=True, return_attn_probs=True)[1][0, 0, 0] == -torch.inf


def test_combine_merges_disjoint_keys() -> None:
    q, k, v = torch.randn(2, 3, 2, 8), torch.randn(2, 9, 2, 8), torch.randn(2, 9, 2, 8)
    whole, lse = fa.v3.flash_attn_func(q, k, v, return_attn_probs=True)
    halves = [fa.v3.flash_attn_func(q, k[:, part], v[:, part], return_attn_probs=True)
              for part in (slice(0, 4), slice(4, 4), slice(4, 9))]
    outs, lses = torch.stack([o for o, _ in halves]), torch.stack([x.transpose(1, 2) for _, x in halves])
    merged, merged_lse = fa.v3.flash_attn_combine(outs, lses)
    torch.testing.assert_close(merged, whole)
    torch.testing.assert_close(merged_lse, lse.transpose(1, 2))


def test_a_compiled_call_is_the_eager_one() -> None:
    q, k, v = (torch.randn(1, 6, 2, 8, requires_grad=True) for _ in range(3))

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return fa.flash_attn_func(q, k, v, causal=True, window_size=(2, 0))

    compiled = torch.compile(call, backend="eager", fullgraph=True)(q, k, v)
    assert torch.equal(compiled, call(q, k, v))
    assert torch.equal(*(torch.autograd.grad(out.sum(), q)[0] for out in (compiled, call(q, k, v))))


@pytest.mark.parametrize("seed", range(12))
def test_the_two_passes_by_themselves(seed: int) -> None:
    """Also in two halves of the keys, as in ring attention."""
    from npufa.flash_attn.halves import flash_attn_backward, flash_attn_forward

    rng = random.Random(seed)
    torch.manual_seed(seed)
    q, k, v = draw(rng, 2, rng.choice([1, 9]), 14, torch.float32, True)
    slopes = rng.choice([None, torch.rand(q.shape[2])])
    causal, softcap, scale = rng.random() < 0.5, rng.choice(published.SOFTCAPS), 0.3
    window = rng.choice([(-1, -1), (5, 3)])
    expected, expected_lse = published.dense(q, k, v, scale=scale, causal=causal, window=window, slopes=slopes,
                                             softcap=softcap)
    dout = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * dout).sum(), (q, k, v))
    rules = (0.0, scale, causal, *window, softcap, slopes)
    out, lse, _, state = flash_attn_forward(q, k, v, *rules, False)
    close(out, expected)
    close(lse, expected_lse)
    gradients = [torch.full_like(t, torch.nan) for t in (q, k, v)]
    delta = flash_attn_backward(dout.float(), q, k, v, out, lse, *gradients, *rules, False, state)
    close(delta, (expected * dout).sum(-1).mT)
    for got, want in zip(gradients, wanted):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    if causal or window != (-1, -1) or slopes is not None:
        return
    dq = torch.zeros_like(q)
    for part in (slice(0, 6), slice(6, None)):
        gradients = [torch.empty_like(t) for t in (q, k[:, part], v[:, part])]
        flash_attn_backward(dout.float(), q, k[:, part], v[:, part], out, lse, *gradients, *rules, False, state)
        dq += gradients[0]
        for got, want in zip(gradients[1:], wanted[1:]):
            torch.testing.assert_close(got, want[:, part], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dq, wanted[0], atol=1e-4, rtol=1e-4)


def test_the_two_passes_refuse_dropout() -> None:
    from npufa.flash_attn.halves import flash_attn_forward

    q = torch.randn(1, 2, 1, 8)
    with pytest.raises(ValueError, match="_flash_attn_forward: dropout_p is not supported here"):
        flash_attn_forward(q, q, q, 0.1, 1.0, False, -1, -1, 0.0, None, False)
