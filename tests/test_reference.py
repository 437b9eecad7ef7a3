"""The float64 reference checked against torch, explicit loops and itself."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

import reference
from cases import random_case
from cases.fusion import cumulative, place
from reference.dropout import philox_words

SDPA = torch.nn.functional.scaled_dot_product_attention


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def kept_by_rule(mode, i, j, lq, lk, pre, nxt, prefix, mask):
    """SPEC section 4, one pair at a time."""
    delta = lk - lq
    if mode == 0:
        return mask is None or (not mask[i, j] and i - pre <= j <= i + nxt)
    if mode == 1:
        return not mask[i, j]
    if mode == 2:
        return j <= i
    if mode == 3:
        return j <= i + delta
    if mode == 4:
        return i + delta - pre <= j <= i + delta + nxt
    return j <= i + delta or j < prefix


def loops(q, k, v, scale, keep, pse, sink):
    """Attention of one head with scalars only: (out, max, sum)."""
    out, maxima, sums = [], [], []
    for i in range(len(q)):
        logits = {j: scale * (float(q[i] @ k[j]) + float(pse[i, j])) for j in range(len(k)) if keep(i, j)}
        if not logits:
            out.append(torch.zeros(v.shape[1], dtype=torch.float64))
            maxima.append(0.0)
            sums.append(0.0)
            continue
        top = max([*logits.values(), sink])
        weights = {j: math.exp(s - top) for j, s in logits.items()}
        total = sum(weights.values()) + math.exp(sink - top)
        out.append(sum((w / total * v[j] for j, w in weights.items()), torch.zeros(v.shape[1], dtype=torch.float64)))
        maxima.append(top)
        sums.append(total)
    return torch.stack(out), maxima, sums


@settings(max_examples=60, deadline=None)
@given(mode=st.integers(0, 6), sq=st.integers(1, 7), skv=st.integers(1, 7), pre=st.integers(-4, 8),
       nxt=st.integers(-4, 8), with_mask=st.booleans(), with_sink=st.booleans(), data=st.data())
def test_matches_explicit_loops(mode, sq, skv, pre, nxt, with_mask, with_sink, data):
    q, k, v, pse = tensors((1, 2, sq, 3), (1, 2, skv, 3), (1, 2, skv, 2), (1, 2, sq, skv), seed=sq * 31 + skv)
    mask = torch.rand(sq, skv, generator=torch.Generator().manual_seed(mode)) < 0.4
    mask = mask if mode == 1 or (mode == 0 and with_mask) else None
    prefix = data.draw(st.integers(0, skv))
    sink = torch.tensor([0.3, -0.5], dtype=torch.float64) if with_sink else None
    got = reference.fusion_attention(
        q, k, v, 2, "BNSD", pse=pse, atten_mask=mask, scale=0.7, sparse_mode=mode, pre_tokens=pre, next_tokens=nxt,
        prefix=[prefix], sink=sink)
    for n in range(2):
        want = loops(q[0, n], k[0, n], v[0, n], 0.7,
                     lambda i, j: kept_by_rule(mode, i, j, sq, skv, pre, nxt, prefix, mask),
                     pse[0, n], -math.inf if sink is None else float(sink[n]))
        torch.testing.assert_close(got.out[0, n], want[0])
        torch.testing.assert_close(got.softmax_max[0, n, :, 3], torch.tensor(want[1], dtype=torch.float64))
        torch.testing.assert_close(got.softmax_sum[0, n, :, 7], torch.tensor(want[2], dtype=torch.float64))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("layout", ["BSH", "SBH", "BSND", "BNSD"])
def test_matches_sdpa_with_gradients(layout, causal):
    q, k, v, dy = tensors((2, 6, 17, 8), (2, 2, 17, 8), (2, 2, 17, 5), (2, 6, 17, 5))
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    want = SDPA(*leaves, is_causal=causal, scale=0.4, enable_gqa=True)
    want.backward(dy)
    arguments = [place(t, layout) for t in (q, k, v)]
    kw = dict(scale=0.4, sparse_mode=3 if causal else 0)
    got = reference.fusion_attention(*arguments, 6, layout, **kw)
    torch.testing.assert_close(got.out, place(want.detach(), layout))
    gradient = reference.fusion_attention_grad(*arguments, place(dy, layout), 6, layout, **kw)
    for name, leaf in zip(("query", "key", "value"), leaves):
        torch.testing.assert_close(gradient.grads[name], place(leaf.grad, layout))


def test_gradients_never_exceed_their_magnitude():
    for seed in range(40):
        case = random_case("fusion_grad", seed)
        gradient = case.expected()
        for name, grad in gradient.grads.items():
            assert bool((grad.abs() <= gradient.magnitudes[name] * (1 + 1e-9) + 1e-12).all()), (seed, name)


def test_packed_equals_one_sequence_at_a_time():
    q, k, v = tensors((12, 4, 8), (14, 2, 8), (14, 2, 8))
    q_sizes, k_sizes = [3, 0, 7], [5, 4, 3]
    got = reference.fusion_attention(q, k, v, 4, "TND", actual_seq_qlen=cumulative(q_sizes, 1),
                                     actual_seq_kvlen=cumulative(k_sizes, 1), sparse_mode=3)
    statistics = got.softmax_sum[..., 0].reshape(-1)
    at_q = at_k = 0
    for size_q, size_k in zip(q_sizes, k_sizes):
        part = [t.transpose(0, 1)[None] for t in (q[at_q:at_q + size_q], k[at_k:at_k + size_k], v[at_k:at_k + size_k])]
        one = reference.fusion_attention(*part, 4, "BNSD", sparse_mode=3)
        torch.testing.assert_close(got.out[at_q:at_q + size_q], one.out[0].transpose(0, 1))
        block = statistics[at_q * 4:(at_q + size_q) * 4].view(4, size_q)
        torch.testing.assert_close(block, one.softmax_sum[0, ..., 0])
        at_q, at_k = at_q + size_q, at_k + size_k
    assert bool((got.out[10:] == 0).all()) and bool((statistics[40:] == 0).all())


def test_plain_lengths_mean_the_same_as_cumulative_ones():
    q, k, v = tensors((9, 1, 4), (9, 1, 4), (9, 1, 4))
    plain = reference.fusion_attention(q, k, v, 1, "TND", actual_seq_qlen=[4, 2, 3], actual_seq_kvlen=[4, 2, 3])
    total = reference.fusion_attention(q, k, v, 1, "TND", actual_seq_qlen=[4, 6, 9], actual_seq_kvlen=[4, 6, 9])
    torch.testing.assert_close(plain.out, total.out)


def test_packed_statistics_token_first():
    q, k, v = tensors((5, 3, 4), (5, 3, 4), (5, 3, 4))
    kw = dict(actual_seq_qlen=[2, 5], actual_seq_kvlen=[2, 5])
    heads_first = reference.fusion_attention(q, k, v, 3, "TND", **kw).softmax_max[..., 0].reshape(-1)
    token_first = reference.fusion_attention(q, k, v, 3, "TND", softmax_layout="TND", **kw).softmax_max[..., 0]
    torch.testing.assert_close(heads_first[:6].view(3, 2).t(), token_first[:2])
    torch.testing.assert_close(heads_first[6:].view(3, 3).t(), token_first[2:])


def test_varlen_modes_band_one_sequence():
    q, k, v = tensors((8, 1, 4), (8, 1, 4), (8, 1, 4))
    kw = dict(actual_seq_qlen=[4, 8, 0], actual_seq_kvlen=[4, 8, 0], pre_tokens=1, next_tokens=0)
    run = lambda mode: reference.fusion_attention(q, k, v, 1, "TND", sparse_mode=mode, **kw).out  # noqa: E731
    band, causal = run(4), run(3)
    torch.testing.assert_close(run(7), torch.cat([causal[:4], band[4:]]))
    torch.testing.assert_close(run(8), torch.cat([band[:4], causal[4:]]))


def test_compressed_alibi_recovers_the_full_matrix():
    size, heads = 1030, 2
    q, k, v = tensors((1, heads, size, 4), (1, heads, size, 4), (1, heads, size, 4))
    slopes = torch.tensor([0.25, 0.5], dtype=torch.float64)
    i, j = torch.arange(size)[:, None], torch.arange(size)[None]
    full = -slopes[:, None, None] * (i - j).abs().double()
    kw = dict(sparse_mode=3, scale=0.5)
    whole = reference.fusion_attention(q, k, v, heads, "BNSD", pse=full[None], **kw)
    short = reference.fusion_attention(q, k, v, heads, "BNSD", pse=full[None, :, -1024:], **kw)
    torch.testing.assert_close(whole.out, short.out)
    inner = reference.fusion_attention(q, k, v, heads, "BNSD", pse=slopes, pse_type=2, **kw)
    outer = reference.fusion_attention(q, k, v, heads, "BNSD", pse=full[None], pse_type=0, **kw)
    torch.testing.assert_close(inner.out, outer.out)


def test_philox_known_answers():
    """The published Philox-4x32-10 vectors whose upper counter words are zero."""
    assert philox_words(0, 0, 4).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    stream = philox_words(9, 3, 23).tolist()
    assert stream[4:8] == philox_words(9, 4, 4).tolist() and stream[20:] == philox_words(9, 8, 3).tolist()


@pytest.mark.parametrize("keep_prob", [0.1, 0.5, 0.9])
def test_philox_mask_keeps_the_right_share(keep_prob):
    share = reference.philox_mask(1234567890123, 77, 200_000, keep_prob).double().mean().item()
    assert abs(share - keep_prob) < 4 * math.sqrt(keep_prob * (1 - keep_prob) / 200_000)


def test_bits_are_least_significant_first():
    kept = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]).bool()
    assert reference.pack_bits(kept).tolist() == [1, 2]
    assert torch.equal(reference.unpack_bits(torch.tensor([1, 2], dtype=torch.uint8), 10), kept)


def test_int4_lowest_nibble_first():
    assert reference.unpack_int4(torch.tensor([0x7654321F], dtype=torch.int32)).tolist() == [-1, 1, 2, 3, 4, 5, 6, 7]
    values = torch.randint(-8, 8, (3, 16), dtype=torch.int8)
    assert torch.equal(reference.unpack_int4(reference.pack_int4(values)), values)


def test_dropout_of_nothing_is_the_plain_function():
    q, k, v = tensors((1, 2, 5, 4), (1, 2, 6, 4), (1, 2, 6, 4))
    everything = torch.full((8,), 255, dtype=torch.uint8)
    dropped = reference.fusion_attention(q, k, v, 2, "BNSD", keep_prob=0.5, dropout_mask=everything)
    torch.testing.assert_close(dropped.out, 2 * reference.fusion_attention(q, k, v, 2, "BNSD").out)


def test_paged_equals_contiguous():
    q, k, v = tensors((2, 4, 3, 8), (2, 2, 10, 8), (2, 2, 10, 8))
    kw = dict(num_heads=4, num_key_value_heads=2, input_layout="BNSD", sparse_mode=3)
    want = reference.fused_infer(q, k, v, actual_seq_lengths_kv=[10, 7], **kw)
    table = torch.tensor([[3, 0, 5], [1, 4, -1]], dtype=torch.int32)
    pools = []
    for dense in (k, v):
        pool = torch.full((6, 2, 4, 8), math.nan, dtype=torch.float64)
        for b, length in enumerate((10, 7)):
            for t in range(length):
                pool[table[b, t // 4], :, t % 4] = dense[b, :, t]
        pools.append(pool)
    got = reference.fused_infer(q, *pools, actual_seq_lengths_kv=[10, 7], block_table=table, block_size=4, **kw)
    torch.testing.assert_close(got.out, want.out)
    flat = [p.transpose(1, 2).flatten(2) for p in pools]
    got = reference.fused_infer(q, *flat, actual_seq_lengths_kv=[10, 7], block_table=table, block_size=4, **kw)
    torch.testing.assert_close(got.lse, want.lse)


def test_shared_prefix_equals_concatenation():
    q, k, v, pk, pv = tensors((2, 2, 3, 4), (2, 2, 6, 4), (2, 2, 6, 4), (1, 2, 5, 4), (1, 2, 5, 4))
    kw = dict(num_heads=2, input_layout="BNSD", sparse_mode=3)
    got = reference.fused_infer(q, k, v, key_shared_prefix=pk, value_shared_prefix=pv,
                                actual_shared_prefix_len=[4], **kw)
    whole = [torch.cat([p[:, :, :4].expand(2, -1, -1, -1), t], 2) for p, t in ((pk, k), (pv, v))]
    torch.testing.assert_close(got.out, reference.fused_infer(q, *whole, **kw).out)


def test_left_padding_equals_moving_the_tokens():
    q, k, v = tensors((1, 2, 5, 4), (1, 2, 8, 4), (1, 2, 8, 4))
    kw = dict(num_heads=2, input_layout="BNSD", sparse_mode=3)
    got = reference.fused_infer(q, k, v, actual_seq_lengths=[3], query_padding_size=torch.tensor([1]),
                                actual_seq_lengths_kv=[4], kv_padding_size=torch.tensor([2]), **kw)
    want = reference.fused_infer(q[:, :, 1:4], k[:, :, 2:6], v[:, :, 2:6], **kw)
    torch.testing.assert_close(got.out[:, :, 1:4], want.out)
    assert bool((got.out[:, :, [0, 4]] == 0).all()) and bool(got.lse[:, :, [0, 4]].isposinf().all())
    fallen = reference.fused_infer(q, k, v, actual_seq_lengths_kv=[7], kv_padding_size=torch.tensor([2]), **kw)
    assert bool((fallen.out == 0).all()) and bool(fallen.lse.isposinf().all())


def test_rope_extends_the_head():
    q, k, v, qr, kr = tensors((1, 4, 3, 8), (1, 1, 9, 8), (1, 1, 9, 8), (1, 4, 3, 2), (1, 1, 9, 2))
    kw = dict(num_heads=4, num_key_value_heads=1, input_layout="BNSD", scale=0.3)
    got = reference.fused_infer(q, k, v, query_rope=qr, key_rope=kr, **kw)
    want = reference.fused_infer(torch.cat([q, qr], -1), torch.cat([k, kr], -1), v, **kw)
    torch.testing.assert_close(got.out, want.out)


@pytest.mark.parametrize("kind", ["fusion", "prompt", "incre", "fused_infer", "fusion_grad"])
def test_generated_calls_have_finite_references(kind):
    for seed in range(30):
        case = random_case(kind, seed)
        result = case.expected()
        tensors_out = list(result.grads.values()) if kind == "fusion_grad" else [result.out]
        assert all(bool(t.isfinite().all()) for t in tensors_out), str(case)


def test_advance_step_example():
    tokens, positions, lengths, slots = reference.advance_step(
        torch.tensor([1, 2, 3]), torch.tensor([[7], [8]]), torch.zeros(3, dtype=torch.int64), torch.tensor([4, 8, 5]),
        torch.zeros(3, dtype=torch.int64), torch.tensor([[10, 11, 12], [20, 21, 22], [0, 0, 0]]), 3, 2, 4)
    assert (tokens.tolist(), positions.tolist()) == ([7, 8, 0], [4, 8, 0])
    assert (lengths.tolist(), slots.tolist()) == ([5, 9, 5], [44, 88, -1])


def test_advance_step_speculative_example():
    tokens, positions, lengths, slots = reference.advance_step(
        torch.zeros(4, dtype=torch.int64), torch.tensor([[5, -1], [6, 7]]), torch.tensor([3, 4, 9, 10]),
        torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64),
        torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]),
        2, 2, 4, spec_token=torch.tensor([[50], [60]]), accepted_num=torch.tensor([0, 1]))
    assert tokens.tolist() == [5, 50, 7, 60] and positions.tolist() == [4, 5, 11, 12]
    assert lengths.tolist() == [5, 6, 12, 13] and slots.tolist() == [8, 9, 31, 32]
