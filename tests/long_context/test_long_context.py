"""npufa.long_context against dense float64 attention."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

import npufa
from cases.device import on_device
from long_context import dense
from npufa.integrations._rules import Band
from npufa.long_context import _blocks, long_context_attention, sliding_window_attention
from npufa.long_context._blocks import Visibility

TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
RULES = [
    {},
    {"sparse_mode": 2},
    {"sparse_mode": 3},
    {"sparse_mode": 4, "pre_tokens": 20, "next_tokens": 0},
    {"sparse_mode": 4, "pre_tokens": 20, "next_tokens": 0, "sink_tokens": 5},
    {"sparse_mode": 4, "pre_tokens": 3, "next_tokens": 9, "sink_tokens": 40},
    {"sparse_mode": 4, "pre_tokens": -7, "next_tokens": 60},
    {"sparse_mode": 4, "next_tokens": -30},
    {"sparse_mode": 4, "pre_tokens": 0, "next_tokens": -1},
]


def problem(rows, keys, dtype=torch.float32, heads=4, kv_heads=2, width=16, value_width=16, batch=2):
    torch.manual_seed(rows + keys)
    shapes = [(batch, heads, rows, width), (batch, kv_heads, keys, width), (batch, kv_heads, keys, value_width),
              (batch, heads, rows, value_width)]
    return [torch.randn(shape).to(dtype) for shape in shapes]


def run(query, key, value, dy, **settings):
    """Output, log-sum-exp and the three gradients."""
    leaves = [t.detach().requires_grad_() for t in (query, key, value)]
    output, lse = long_context_attention(*leaves, **settings)
    return output.detach(), lse, *torch.autograd.grad(output, leaves, dy)


def compare(got, expected, dtype):
    for name, actual, want in zip(("output", "softmax_lse", "dq", "dk", "dv"), got, expected):
        assert actual.dtype == (torch.float32 if name == "softmax_lse" else dtype), name
        largest = want[want.isfinite()].abs().max().item() if want.isfinite().any() else 0.0
        allowed = TOLERANCE[dtype] * (1.0 + largest)
        torch.testing.assert_close(actual.cpu().double(), want, atol=allowed, rtol=0, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("rows, keys, tokens", [(129, 129, 32), (1, 127, 17), (127, 17, 17), (17, 129, 1000),
                                                (40, 40, 1)])
def test_equals_one_pass(rows, keys, tokens, rules):
    query, key, value, dy = problem(rows, keys)
    got = run(query, key, value, dy, max_tokens=tokens, **rules)
    compare(got, dense.with_gradients(query, key, value, dy, dense.kept(rows, keys, **rules)), torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("heads, kv_heads, width, value_width", [(1, 1, 64, 64), (6, 1, 24, 8), (4, 4, 17, 17)])
def test_types_and_heads(dtype, heads, kv_heads, width, value_width):
    query, key, value, dy = problem(65, 70, dtype, heads, kv_heads, width, value_width)
    got = run(query, key, value, dy, max_tokens=16, sparse_mode=3)
    compare(got, dense.with_gradients(query, key, value, dy, dense.kept(65, 70, sparse_mode=3)), dtype)


def test_bsnd_is_strided_bnsd():
    query, key, value, dy = problem(50, 60)
    expected = run(query, key, value, dy, max_tokens=16, sparse_mode=3)
    moved = [t.transpose(1, 2).contiguous() for t in (query, key, value, dy)]
    got = run(*moved, max_tokens=16, sparse_mode=3, input_layout="BSND")
    assert got[0].is_contiguous() and got[1].shape == (2, 4, 50, 1)
    for i, (actual, want) in enumerate(zip(got, expected)):
        assert torch.equal(actual, want if i == 1 else want.transpose(1, 2))


def test_non_contiguous_and_expanded_inputs():
    query, key, value, dy = problem(33, 33)
    expected = run(query, key, value, dy, max_tokens=8)
    wide = [torch.cat([t, t], -1)[..., :16].flip(2).flip(2) for t in (query, key, value)]
    assert all(torch.equal(a, b) for a, b in zip(run(*wide, dy, max_tokens=8), expected))
    shared = value[:, :1].expand(-1, 2, -1, -1)
    got = run(query, key, shared, torch.ones(()).expand_as(dy), max_tokens=8)
    compare(got, dense.with_gradients(query, key, shared, torch.ones_like(dy), dense.kept(33, 33)), torch.float32)


@pytest.mark.parametrize("q_ends, kv_ends", [
    ([5, 5, 40], [20, 24, 47]), ([0, 33, 0], [10, 47, 0]), ([9], [40]), ([], []), ([0], [0])])
def test_packed_sequences(q_ends, kv_ends):
    query, key, value, dy = (t[0].transpose(0, 1) for t in problem(40, 47, batch=1))
    rules = {"sparse_mode": 4, "pre_tokens": 9, "next_tokens": 0, "sink_tokens": 2}
    got = run(query, key, value, dy, input_layout="TND", actual_seq_qlen=q_ends, actual_seq_kvlen=kv_ends, max_tokens=8,
              **rules)
    leaves = [t.detach().double().requires_grad_() for t in (query, key, value)]
    output, lse = torch.zeros(40, 4, 16, dtype=torch.float64), torch.full((40, 4, 1), torch.inf, dtype=torch.float64)
    for q0, q1, k0, k1 in zip([0, *q_ends], q_ends, [0, *kv_ends], kv_ends):
        if q1 > q0:
            q, k, v = (t.transpose(0, 1)[None] for t in (leaves[0][q0:q1], leaves[1][k0:k1], leaves[2][k0:k1]))
            o, x = dense.attention(q, k, v, dense.kept(q1 - q0, k1 - k0, **rules))
            output = output.index_copy(0, torch.arange(q0, q1), o[0].transpose(0, 1))
            lse = lse.index_copy(0, torch.arange(q0, q1), x[0].transpose(0, 1))
    gradients = [torch.zeros_like(t) for t in leaves]
    if output.requires_grad:
        gradients = torch.autograd.grad(output, leaves, dy.double())
    compare(got, [output.detach(), lse.detach(), *gradients], torch.float32)


def test_without_rows_or_keys():
    query, key, value, dy = problem(0, 5)
    assert [t.shape for t in run(query, key, value, dy)] == [(2, 4, 0, 16), (2, 4, 0, 1), (2, 4, 0, 16), key.shape,
                                                            value.shape]
    query, key, value, dy = problem(5, 0)
    output, lse, dq, *_ = run(query, key, value, dy)
    assert not output.any() and not dq.any() and torch.equal(lse, torch.full((2, 4, 5, 1), torch.inf))


def test_window_and_sinks_are_those_of_the_paper():
    query, key, value, _ = problem(50, 50)
    output, _ = sliding_window_attention(query, key, value, 8, sink_tokens=4, max_tokens=16)
    for row in range(50):  # cache of StreamingLLM: the first 4 tokens and the last 8
        cache = sorted({*range(min(4, row + 1)), *range(max(0, row - 7), row + 1)})
        want, _ = dense.attention(query[:, :, row:row + 1], key[:, :, cache], value[:, :, cache],
                                  torch.ones(1, len(cache), dtype=torch.bool))
        torch.testing.assert_close(output[:, :, row:row + 1].double(), want, atol=1e-6, rtol=1e-5)


def test_decoding_continues_the_window():
    query, key, value, _ = problem(50, 50)
    whole, _ = sliding_window_attention(query, key, value, 8, sink_tokens=4)
    for length in (1, 3, 12, 50):
        step, _ = sliding_window_attention(query[:, :, length - 1:length], key[:, :, :length], value[:, :, :length], 8,
                                           sink_tokens=4)
        torch.testing.assert_close(step, whole[:, :, length - 1:length], atol=1e-6, rtol=1e-5)


bounds = st.one_of(st.none(), st.integers(-40, 40))


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(lower=bounds, upper=bounds, sinks=st.integers(0, 20), row=st.integers(0, 30), rows=st.integers(0, 12),
                  key=st.integers(0, 30), keys=st.integers(0, 30), limit=st.one_of(st.none(), st.integers(1, 9)))
def test_blocks_cover_every_pair_once(lower, upper, sinks, row, rows, key, keys, limit):
    count = torch.zeros(rows, keys, dtype=torch.int)
    visibility = Visibility(Band(lower, upper), sinks)
    for block, band in visibility.blocks(range(row, row + rows), range(key, key + keys), limit):
        assert 0 < len(block) <= (limit or keys)
        i, j = torch.arange(rows)[:, None], torch.arange(len(block))[None]
        seen = torch.ones(rows, len(block), dtype=torch.bool)
        if band.lower is not None:
            seen &= j >= i + band.lower
        if band.upper is not None:
            seen &= j <= i + band.upper
        assert band == Band() or not seen.all()
        count[:, block.start - key:block.stop - key] += seen
    i, j = torch.arange(row, row + rows)[:, None], torch.arange(key, key + keys)[None]
    below = (j <= i + upper) if upper is not None else torch.ones(rows, keys, dtype=torch.bool)
    above = (j >= i + lower) if lower is not None else torch.ones(rows, keys, dtype=torch.bool)
    assert torch.equal(count, (below & (above | (j < sinks))).int())


def block_sizes(monkeypatch, call):
    """(rows, keys) of every forward call of the operator."""
    sizes = []

    def spy(query, key, *args, **kwargs):
        sizes.append((query.shape[2], key.shape[2]))
        return npufa.npu_fusion_attention(query, key, *args, **kwargs)

    monkeypatch.setattr(_blocks, "npu_fusion_attention", spy)
    call()
    return sizes


def test_no_call_exceeds_the_budget(monkeypatch):
    query, key, value, _ = problem(100, 100)
    sizes = block_sizes(monkeypatch, lambda: long_context_attention(query, key, value, sparse_mode=3, max_tokens=30))
    assert max(max(size) for size in sizes) == 30
    assert sum(rows * keys for rows, keys in sizes) < 0.75 * 100 * 100  # blocks above the diagonal are left out
    sizes = block_sizes(monkeypatch, lambda: sliding_window_attention(query, key, value, 10, max_tokens=30))
    assert sum(rows * keys for rows, keys in sizes) <= 4 * 30 * 39


def test_bytes_budget(monkeypatch):
    query, key, value, _ = problem(100, 100)
    with pytest.raises(ValueError, match="max_bytes is too small for one token, got 1; expected at least") as error:
        long_context_attention(query, key, value, max_bytes=1)
    token = int(str(error.value).split()[-1])
    assert token > 4 * 2 * (2 * 4 * 32 + 2 * 2 * 32)  # q, dy, output, dq; key, value and their gradients
    sizes = block_sizes(monkeypatch, lambda: long_context_attention(query, key, value, max_bytes=25 * token + 7))
    assert max(max(size) for size in sizes) == 25


def test_follows_autocast():
    query, key, value, _ = problem(40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        output, lse = long_context_attention(query, key, value, max_tokens=16)
    expected, _ = long_context_attention(query.bfloat16(), key.bfloat16(), value.bfloat16(), max_tokens=16)
    assert torch.equal(output, expected) and lse.dtype == torch.float32


def test_saved_statistics_serve_two_backward_passes_but_no_second_order():
    query, key, value, dy = problem(20, 20)
    query.requires_grad_()
    output, lse = long_context_attention(query, key, value, max_tokens=8)
    assert not lse.requires_grad
    first, second = (torch.autograd.grad(output, query, dy, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (gradient,) = torch.autograd.grad(output, query, dy.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def call(**changes):
    query, key, value, _ = problem(8, 8)
    return long_context_attention(**{"query": query, "key": key, "value": value, **changes})


PACKED = torch.zeros(8, 2, 16)
TND = {"query": PACKED, "key": PACKED, "value": PACKED, "input_layout": "TND"}


@pytest.mark.parametrize("changes, error, message", [
    ({"input_layout": "BSH"}, ValueError, "input_layout is not supported, got 'BSH'"),
    ({"query": torch.zeros(2, 4, 8)}, ValueError, "query has the wrong number of axes"),
    ({"key": torch.zeros(2, 2, 8, 16, dtype=torch.float64)}, TypeError, "key has an unsupported dtype"),
    ({"key": torch.zeros(2, 2, 8, 16).half()}, TypeError, "key differs from query in dtype"),
    ({"key": torch.zeros(2, 2, 9, 16)}, ValueError, "value does not fit key"),
    ({"key": torch.zeros(1, 2, 8, 16), "value": torch.zeros(1, 2, 8, 16)}, ValueError, "key differs from query in the"),
    ({"key": torch.zeros(2, 3, 8, 16), "value": torch.zeros(2, 3, 8, 16)}, ValueError, "number of heads .* got 3"),
    ({"key": torch.zeros(2, 0, 8, 16), "value": torch.zeros(2, 0, 8, 16)}, ValueError, "number of heads .* got 0"),
    ({"value": torch.zeros(2, 2, 8, 17)}, ValueError, "head sizes do not fit, got 16 of query, 16 of key and 17 of v"),
    ({"sparse_mode": 1}, ValueError, "sparse_mode is not supported, got 1"),
    ({"sink_tokens": 4}, ValueError, "sink_tokens has no band to add to, got 4 with sparse_mode 0"),
    ({"sparse_mode": 4, "sink_tokens": -1}, ValueError, "sink_tokens is negative, got -1"),
    ({"max_tokens": 0}, ValueError, "max_tokens is too small, got 0"),
    ({"max_tokens": 8, "max_bytes": 10**9}, ValueError, "max_bytes is a second budget"),
    (TND, ValueError, "actual_seq_qlen is missing"),
    ({**TND, "actual_seq_qlen": [8]}, ValueError, "actual_seq_kvlen is missing"),
    ({**TND, "actual_seq_qlen": [8], "actual_seq_kvlen": [3, 8]}, ValueError, "differs from actual_seq_qlen in length"),
    ({**TND, "actual_seq_qlen": [9], "actual_seq_kvlen": [8]}, ValueError, "actual_seq_qlen is not cumulative"),
    ({**TND, "actual_seq_qlen": [5, 3], "actual_seq_kvlen": [8, 8]}, ValueError, "actual_seq_qlen is not cumulative"),
])
def test_refuses(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_refuses_an_empty_window():
    query, key, value, _ = problem(8, 8)
    with pytest.raises(ValueError, match="window is too small, got 0"):
        sliding_window_attention(query, key, value, 0)


@pytest.mark.parametrize("where", ["npu", "key and value on the host", "all on the host"])
@on_device
def test_on_npu(where):
    query, key, value, dy = problem(40, 40, torch.float16, batch=1)
    rules = {"sparse_mode": 4, "pre_tokens": 12, "next_tokens": 0, "sink_tokens": 3}
    expected = dense.with_gradients(query, key, value, dy, dense.kept(40, 40, **rules))
    if where != "all on the host":
        query, dy = query.npu(), dy.npu()
    if where == "npu":
        key, value = key.npu(), value.npu()
    got = run(query, key, value, dy, max_tokens=16, device="npu", **rules)
    assert [t.device for t in got] == [t.device for t in (query, query, query, key, value)]
    compare(got, expected, torch.float16)
