"""Ring and all-to-all attention of several processes against dense float64 attention of the whole."""

import pytest
import torch

from distributed import processes, ranks
from distributed.processes import on_ranks
from long_context import dense

TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
FORMS = [*ranks.FORMS]
RULES = [
    {},
    {"sparse_mode": 2},
    {"sparse_mode": 3},
    {"sparse_mode": 4, "pre_tokens": 20, "next_tokens": 0},
    {"sparse_mode": 4, "pre_tokens": 9, "next_tokens": 2, "sink_tokens": 5},
    {"sparse_mode": 4, "pre_tokens": 100, "next_tokens": -30},
]


def problem(rows, keys, dtype=torch.float32, heads=4, kv_heads=2, width=16, value_width=16, batch=2):
    torch.manual_seed(rows + keys)
    shapes = [(batch, heads, rows, width), (batch, kv_heads, keys, width), (batch, kv_heads, keys, value_width),
              (batch, heads, rows, value_width)]
    return [torch.randn(shape).to(dtype) for shape in shapes]


def owned(tokens, size, sharding):
    """Positions of each rank: two of twice as many chunks, or, with a list of lengths, one rank after another."""
    positions = torch.arange(tokens)
    if isinstance(sharding, list):
        return positions.split(sharding)
    if sharding == "contiguous":
        return positions.tensor_split(size)
    chunks = positions.tensor_split(2 * size)
    return [torch.cat([chunks[rank], chunks[-1 - rank]]) for rank in range(size)]


def shards(tensors, query_owned, key_owned, dim=2):
    query, key, value, dy = tensors
    return [[query.index_select(dim, q), key.index_select(dim, k), value.index_select(dim, k), dy.index_select(dim, q)]
            for q, k in zip(query_owned, key_owned)]


def assembled(results, query_owned, key_owned, dim=2, lse_dim=2):
    """The five results of the ranks as those of the whole."""
    whole = []
    for number, parts in enumerate(zip(*results)):
        positions = torch.cat([*(key_owned if number >= 3 else query_owned)])
        axis = lse_dim if number == 1 else dim
        whole.append(torch.cat(parts, axis).index_select(axis, positions.argsort()))
    return whole


def compare(got, expected, dtype):
    for name, actual, want in zip(("output", "softmax_lse", "dq", "dk", "dv"), got, expected, strict=True):
        assert actual.dtype == (torch.float32 if name == "softmax_lse" else dtype), name
        largest = want[want.isfinite()].abs().max().item() if want.isfinite().any() else 0.0
        allowed = TOLERANCE[dtype] * (1.0 + largest)
        torch.testing.assert_close(actual.double(), want, atol=allowed, rtol=0, msg=lambda m: f"{name}: {m}")


def check(form, size, tensors, sharding="zigzag", query_sharding=None, key_sharding=None, **rules):
    query, key, value, dy = tensors
    query_owned = owned(query.shape[2], size, query_sharding or sharding)
    key_owned = owned(key.shape[2], size, key_sharding or sharding)
    settings = {"sharding": sharding, **rules}
    results = on_ranks(size, ranks.attend, form, shards(tensors, query_owned, key_owned), settings)
    got = assembled(results, query_owned, key_owned)
    keep = dense.kept(query.shape[2], key.shape[2], **rules)
    compare(got, dense.with_gradients(query, key, value, dy, keep), query.dtype)


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size, rows, keys", [(2, 65, 65), (4, 67, 67), (4, 40, 61), (3, 61, 17)])
def test_equals_one_process(form, size, rows, keys, rules):
    check(form, size, problem(rows, keys), **rules)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size, tokens", [(1, 33), (2, 3), (4, 1), (4, 8), (3, 0)])
def test_few_tokens(form, size, tokens):
    check(form, size, problem(tokens, tokens), sparse_mode=3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("queries, keys", [([5, 30, 0, 7], [5, 30, 0, 7]), ([0, 0, 0, 9], [40, 1, 0, 1]),
                                           ([1, 2, 3, 4], [0, 0, 0, 0])])
def test_contiguous_shards_of_any_length(form, queries, keys):
    for rules in ({}, {"sparse_mode": 3}):
        check(form, 4, problem(sum(queries), sum(keys)), "contiguous", queries, keys, **rules)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("heads, kv_heads", [(1, 1), (3, 1), (3, 3), (6, 2), (6, 3), (8, 2), (10, 5)])
def test_heads_that_do_not_divide(form, heads, kv_heads):
    check(form, 4, problem(19, 23, heads=heads, kv_heads=kv_heads, width=24, value_width=8), sparse_mode=3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_types(form, dtype):
    check(form, 4, problem(50, 50, dtype), sparse_mode=3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sharding", ["zigzag", "contiguous"])
def test_bsnd_is_strided_bnsd(form, sharding):
    tensors = problem(30, 30)
    positions = owned(30, 2, sharding)
    parts = shards(tensors, positions, positions)
    moved = [[t.transpose(1, 2).contiguous() for t in part] for part in parts]
    settings = {"sharding": sharding, "sparse_mode": 3, "scale": 0.3}
    expected = on_ranks(2, ranks.attend, form, parts, settings)
    got = on_ranks(2, ranks.attend, form, moved, settings | {"input_layout": "BSND"})
    for result, want in zip(got, expected):
        assert result[0].is_contiguous()
        for number, (actual, value) in enumerate(zip(result, want)):
            assert torch.equal(actual, value if number == 1 else value.transpose(1, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size, sharding", [(2, "zigzag"), (4, "zigzag"), (4, "contiguous"), (4, [11, 0, 30, 12])])
@pytest.mark.parametrize("rules", [{}, {"sparse_mode": 3}, {"sparse_mode": 4, "pre_tokens": 4, "next_tokens": 0,
                                                             "sink_tokens": 2}], ids=str)
def test_packed_batch(form, size, sharding, rules):
    """Sequences of 20, 0, 1 and 27 tokens and 5 of padding."""
    ends, tokens = [20, 20, 21, 48], 53
    query, key, value, dy = tensors = [t[0].transpose(0, 1).contiguous() for t in problem(tokens, tokens, batch=1)]
    positions = owned(tokens, size, sharding)
    settings = rules | {"sharding": "contiguous" if isinstance(sharding, list) else sharding, "input_layout": "TND",
                        "actual_seq_qlen": ends, "actual_seq_kvlen": ends}
    parts = shards(tensors, positions, positions, dim=0)
    got = assembled(on_ranks(size, ranks.attend, form, parts, settings), positions, positions, 0, 0)
    expected = [torch.zeros(t.shape, dtype=torch.double) for t in (dy, dy[..., :1], query, key, value)]
    expected[1].fill_(torch.inf)
    for start, end in zip([0, *ends], ends):
        sequence = [t[start:end].transpose(0, 1)[None] for t in tensors]
        keep = dense.kept(end - start, end - start, **rules)
        for whole, part in zip(expected, dense.with_gradients(*sequence, keep)):
            whole[start:end] = part[0].transpose(0, 1)
    compare(got, expected, torch.float32)


@pytest.mark.parametrize("form", FORMS)
def test_inference_is_the_forward_pass_of_training(form):
    tensors = problem(40, 40)
    positions = owned(40, 4, "zigzag")
    parts = shards(tensors, positions, positions)
    settings = {"sharding": "zigzag", "sparse_mode": 3}
    expected = on_ranks(4, ranks.attend, form, parts, settings)
    for got, want in zip(on_ranks(4, ranks.attend_without_gradient, form, parts, settings), expected):
        assert all(torch.equal(*pair) for pair in zip(got, want[:2]))


@pytest.mark.parametrize("form", FORMS)
def test_autocast(form):
    tensors = problem(40, 40)
    positions = owned(40, 2, "zigzag")
    parts = shards(tensors, positions, positions)
    results = on_ranks(2, ranks.attend_under_autocast, form, parts, {"sharding": "zigzag", "sparse_mode": 3})
    assert all(result[0].dtype == torch.bfloat16 and result[2].dtype == torch.float32 for result in results)
    got = [t.bfloat16() if number != 1 else t for number, t in enumerate(assembled(results, positions, positions))]
    compare(got, dense.with_gradients(*tensors, dense.kept(40, 40, sparse_mode=3)), torch.bfloat16)


@pytest.mark.slow(group="programs")
@pytest.mark.parametrize("form", FORMS)
def test_two_simulated_npus(form):
    tensors = problem(21, 21, torch.float16, batch=1)
    positions = owned(21, 2, "zigzag")
    try:
        results = on_ranks(2, ranks.attend_on_npu, form, shards(tensors, positions, positions),
                           {"sharding": "zigzag", "sparse_mode": 3})
    finally:
        processes.end()
    got = assembled(results, positions, positions)
    compare(got, dense.with_gradients(*tensors, dense.kept(21, 21, sparse_mode=3)), torch.float16)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size, tokens", [(2, 33), (4, 9)])  # of 9 tokens, DTensor gives the ranks 3, 3, 3 and 0
def test_local_parts_of_dtensors(form, size, tokens):
    query, key, value, dy = problem(tokens, tokens)
    settings = {"sharding": "contiguous", "sparse_mode": 3}
    output, lse, *gradients = dense.with_gradients(query, key, value, dy, dense.kept(tokens, tokens, sparse_mode=3))
    for got in on_ranks(size, ranks.dtensor, form, query, key, value, dy, settings):
        compare([got[0], lse.float(), *got[1:]], [output, lse, *gradients], torch.float32)


@pytest.mark.parametrize("form, sharding", [("ring", "zigzag"), ("ulysses", "contiguous")])
@pytest.mark.parametrize("size", [2, 4])
def test_training_under_ddp(form, sharding, size):
    """Losses and parameters after three steps are those of one process."""
    torch.manual_seed(0)
    hidden, target = torch.randn(2, 2, 37, 32)

    def attention(query, key, value):
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        output = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return output.transpose(1, 2)

    losses, parameters = ranks.train(ranks.model(attention), hidden, target, hidden.numel())
    assert losses[-1] < losses[0]
    for got_losses, got in on_ranks(size, ranks.train_in_parallel, form, hidden, target, sharding):
        torch.testing.assert_close(got_losses, losses, atol=1e-5, rtol=1e-5)
        for actual, want in zip(got, parameters, strict=True):
            torch.testing.assert_close(actual, want, atol=1e-5, rtol=1e-4)
