"""npufa.merge against one call over all keys and against the formula in float64."""

import functools

import pytest
import torch

import npufa
from cases.device import on_device
from npufa import npu_ring_attention_update
from npufa.merge import merge_lse, merge_statistics, statistics_to_lse


def merged(merge, parts):
    """All parts, one after another."""
    return functools.reduce(lambda a, b: merge(*a, *b), parts)


DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def dense(query, key, value, keep):
    """Output (…, Sq, Dv) and log-sum-exp (…, Sq, 1) in float64; `keep` (Sq, Skv)."""
    query, key, value = (t.double() for t in (query, key, value))
    scores = torch.where(keep, query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -torch.inf)
    lse = scores.logsumexp(-1, keepdim=True)
    weights = torch.where(keep, (scores - torch.where(lse.isinf(), 0.0, lse)).exp(), 0.0)
    return weights @ value, torch.where(lse.isinf(), torch.inf, lse)


def problem(dtype=torch.float32, spread=1.0, shape=(2, 3, 17, 129, 16)):
    torch.manual_seed(1)
    batch, heads, rows, keys, width = shape
    query, key, value = (torch.randn(batch, heads, s, width) for s in (rows, keys, keys))
    return (query * spread).to(dtype), key.to(dtype), value.to(dtype)


def training_parts(query, key, value, bounds, next_tokens):
    """Partials of the keys between bounds; query row i sees the keys j <= i + next_tokens."""
    parts = []
    for start, end in zip(bounds, bounds[1:]):
        shift = end - start - query.shape[2]
        parts.append(npufa.npu_fusion_attention(
            query, key[:, :, start:end], value[:, :, start:end], query.shape[1], "BNSD", scale=query.shape[-1] ** -0.5,
            sparse_mode=4, pre_tockens=2**31 - 1, next_tockens=next_tokens - start - shift)[:3])
    return parts


def band(rows, keys, next_tokens):
    return torch.arange(keys) <= torch.arange(rows)[:, None] + next_tokens


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", [[0, 129], [0, 1, 128, 129], [0, 64, 64, 129]])
@pytest.mark.parametrize("next_tokens", [-5, 70, 1000])
def test_statistics_equal_one_call(dtype, bounds, next_tokens):
    query, key, value = problem(dtype, spread=4.0)
    output, softmax_max, softmax_sum = merged(merge_statistics, training_parts(query, key, value, bounds, next_tokens))
    expected, lse = dense(query, key, value, band(17, 129, next_tokens))
    assert output.dtype == dtype and softmax_max.shape == (2, 3, 17, 8)
    torch.testing.assert_close(output.double(), expected, atol=TOLERANCE[dtype] * 2, rtol=TOLERANCE[dtype])
    torch.testing.assert_close(statistics_to_lse(softmax_max, softmax_sum)[..., :1].double(), lse, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_lse_equals_one_call(order):
    query, key, value = problem(spread=4.0)
    parts = []
    for start, end in [(0, 100), (100, 100), (100, 129)]:
        parts.append(npufa.npu_fused_infer_attention_score(
            query, key[:, :, start:end], value[:, :, start:end], num_heads=3, input_layout="BNSD", scale=0.25,
            softmax_lse_flag=True))
    output, lse = merged(merge_lse, [parts[i] for i in order])
    expected = dense(query, key, value, band(17, 129, 1000))
    torch.testing.assert_close(output.double(), expected[0], atol=4e-6, rtol=1e-5)
    torch.testing.assert_close(lse.double(), expected[1], atol=1e-5, rtol=1e-6)


def test_rows_without_keys_contribute_nothing():
    seen = (torch.full((1, 1, 1, 4), 3.0), torch.full((1, 1, 1, 8), -300.0), torch.full((1, 1, 1, 8), 2.0))
    none = tuple(torch.zeros_like(t) for t in seen)
    for parts in ([seen, none], [none, seen], [none, seen, none]):
        # exp(-300 - 0) is 0 in float32: a maximum of 0 that counted would leave nothing of the row
        assert all(torch.equal(got, want) for got, want in zip(merged(merge_statistics, parts), seen))
    assert all(not t.any() for t in merge_statistics(*none, *none))
    pairs = [(output, statistics_to_lse(maximum, total)[..., :1]) for output, maximum, total in (seen, none)]
    assert torch.equal(pairs[1][1], torch.full((1, 1, 1, 1), torch.inf))
    output, lse = merge_lse(*pairs[0], *pairs[1])
    assert torch.equal(output, seen[0]) and torch.allclose(lse, pairs[0][1])
    output, lse = merge_lse(*pairs[1], *pairs[1])
    assert not output.any() and torch.equal(lse, pairs[1][1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_float32_output_keeps_a_running_merge_from_rounding(dtype):
    query, key, value = problem(dtype)
    parts = training_parts(query, key, value, range(130), 1000)  # of one key each, whose outputs are exact
    seen = [parts[0][0].float(), *parts[0][1:]]
    output, *_ = merged(merge_statistics, [seen, *parts[1:]])
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), dense(query, key, value, band(17, 129, 1000))[0], atol=1e-6, rtol=1e-5)
    rounded, *_ = merged(merge_statistics, parts)
    assert rounded.dtype == dtype and (rounded - output).abs().max() > 1e-5


def test_large_scores_do_not_overflow():
    low, high = (torch.zeros(1, 1), torch.full((1, 1), -1e4)), (torch.ones(1, 1), torch.full((1, 1), 1e4))
    assert [t.item() for t in merge_lse(*low, *high)] == [1.0, 1e4]


def test_merging_is_differentiable():
    torch.manual_seed(0)
    leaves = [torch.randn(2, 3, 4).requires_grad_() for _ in range(2)] + [
        torch.randn(2, 3, 1).requires_grad_() for _ in range(2)]
    empty = (torch.zeros(2, 3, 4, requires_grad=True), torch.full((2, 3, 1), torch.inf, requires_grad=True))
    output, lse = merged(merge_lse, [(leaves[0], leaves[2]), empty, (leaves[1], leaves[3])])
    weights = torch.softmax(torch.stack([leaves[2], leaves[3]]).double(), 0)
    expected = weights[0] * leaves[0] + weights[1] * leaves[1]
    dy = torch.randn(2, 3, 4)
    torch.testing.assert_close(output.double(), expected, atol=1e-6, rtol=1e-6)
    got = torch.autograd.grad((output * dy).sum() + lse.sum(), [*leaves, *empty])
    both = torch.stack([leaves[2], leaves[3]]).double().logsumexp(0)
    want = torch.autograd.grad((expected * dy).sum() + both.sum(), leaves)
    torch.testing.assert_close(got[:4], want, atol=2e-6, rtol=1e-5)
    assert not got[4].any() and not got[5].any()


def vendor_formula(prev, cur):
    """Of the torch_npu page, in float64; outputs (…, Dv), statistics (…,)."""
    (o1, m1, s1), (o2, m2, s2) = ([t.double() for t in part] for part in (prev, cur))
    top = torch.maximum(m1, m2)
    a, b = s1 * (m1 - top).exp(), s2 * (m2 - top).exp()
    return (o1 * a[..., None] + o2 * b[..., None]) / (a + b)[..., None], top, a + b


def random_part(*shape, dtype=torch.float32, width=64):
    return torch.randn(*shape, width).to(dtype), torch.randn(shape), torch.rand(shape) + 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_ring_update_sbh(dtype):
    torch.manual_seed(2)
    parts = [random_part(2, 3, 5, dtype=dtype) for _ in range(2)]
    call = []
    for output, maximum, total in parts:
        call += [output.permute(2, 0, 1, 3).flatten(2), *(t[..., None].repeat(1, 1, 1, 8) for t in (maximum, total))]
    got = npu_ring_attention_update(*call)
    output, maximum, total = vendor_formula(*parts)
    assert got[0].dtype == dtype and got[0].shape == (5, 2, 192)
    torch.testing.assert_close(got[0].double(), output.permute(2, 0, 1, 3).flatten(2), atol=TOLERANCE[dtype],
                               rtol=TOLERANCE[dtype])
    for statistic, expected in ((got[1], maximum), (got[2], total)):
        torch.testing.assert_close(statistic.double(), expected[..., None].repeat(1, 1, 1, 8), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("lengths", [[2, 5], [0, 2, 5], [0, 2, 2, 4], [5, 0, 0], [0]])
@pytest.mark.parametrize("softmax_layout", ["", "SBH", "TND"])
def test_ring_update_tnd(lengths, softmax_layout):
    torch.manual_seed(3)
    heads, tokens = 3, 5
    parts = [random_part(tokens, heads) for _ in range(2)]

    def stored(statistic):
        """(T, N) statistics in the memory order of the layout."""
        if softmax_layout != "TND":
            ends = [end for end in lengths if end]
            bounds = [0, *ends, tokens]
            statistic = torch.cat([statistic[a:b].T.reshape(-1) for a, b in zip(bounds, bounds[1:])])
        return statistic.reshape(tokens, heads, 1).repeat(1, 1, 8)

    call = [t if i == 0 else stored(t) for part in parts for i, t in enumerate(part)]
    got = npu_ring_attention_update(*call, actual_seq_qlen=torch.tensor(lengths), input_layout="TND",
                                    input_softmax_layout=softmax_layout)
    output, maximum, total = vendor_formula(*parts)
    torch.testing.assert_close(got[0].double(), output, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got[1].double(), stored(maximum), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got[2].double(), stored(total), atol=1e-6, rtol=1e-6)


def test_ring_update_takes_the_packed_statistics_of_the_operator():
    torch.manual_seed(4)
    query, key, value = torch.randn(9, 4, 16), torch.randn(12, 2, 16), torch.randn(12, 2, 16)
    settings = {"head_num": 4, "input_layout": "TND", "scale": 0.25, "actual_seq_qlen": [2, 9]}
    whole = npufa.npu_fusion_attention(query, key, value, actual_seq_kvlen=[4, 12], **settings)
    halves = []
    for keep in ([0, 1, 4, 5, 6], [2, 3, 7, 8, 9, 10, 11]):  # 2 + 3 and 2 + 5 of the 4 + 8 keys
        halves += npufa.npu_fusion_attention(query, key[keep], value[keep], actual_seq_kvlen=[2, len(keep)],
                                             **settings)[:3]
    got = npu_ring_attention_update(*halves, actual_seq_qlen=torch.tensor([2, 9]), input_layout="TND")
    torch.testing.assert_close(got, tuple(whole[:3]), atol=2e-6, rtol=1e-5)


OUT, TND_STAT = torch.zeros(4, 2, 32), torch.zeros(4, 2, 8)


@pytest.mark.parametrize("merge, arguments, error, message", [
    (merge_lse, [OUT, torch.zeros(2, 4, 1)] * 2, ValueError, "lse_a does not fit an output"),
    (merge_lse, [OUT, torch.zeros(4, 2, 8)] * 2, ValueError, "lse_a does not fit an output"),
    (merge_lse, [OUT, torch.zeros(4, 2, 1), OUT, torch.zeros(4, 2, 1).half()], TypeError, "lse_b has the wrong dtype"),
    (merge_statistics, [OUT, torch.zeros(4, 2, 3), torch.zeros(4, 2, 3)] * 2, ValueError, "max_a does not fit"),
    (merge_statistics, [OUT, torch.zeros(4, 2, 8), torch.zeros(4, 2, 1)] * 2, ValueError, "sum_a differs in shape"),
    (merge_statistics, [OUT, TND_STAT, TND_STAT, OUT[1:], TND_STAT, TND_STAT], ValueError, "out_b differs in shape"),
])
def test_merges_refuse(merge, arguments, error, message):
    with pytest.raises(error, match=message):
        merge(*arguments)


@on_device
def test_on_npu():
    torch.manual_seed(5)
    parts = [random_part(1, 2, 5, dtype=torch.float16) for _ in range(2)]
    call = []
    for output, maximum, total in parts:
        call += [output.permute(2, 0, 1, 3).flatten(2), *(t[..., None].repeat(1, 1, 1, 8) for t in (maximum, total))]
    got = npu_ring_attention_update(*(t.npu() for t in call))
    assert got[0].device.type == "npu"
    torch.testing.assert_close(tuple(t.cpu() for t in got), npu_ring_attention_update(*call))
