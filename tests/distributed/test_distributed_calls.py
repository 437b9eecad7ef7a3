"""Sharding of sequences, errors that all ranks raise, and groups of one process; also on the simulated NPU."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
import torch.distributed as dist

from cases.device import on_device
from distributed import ranks
from distributed.processes import on_ranks
from long_context import dense
from npufa.distributed import ring_attention, shard_ranges, shard_sequence, ulysses_attention

FORMS = [*ranks.FORMS]


@hypothesis.given(st.integers(0, 300), st.integers(1, 9), st.sampled_from(["zigzag", "contiguous"]))
def test_every_position_is_on_one_rank(tokens, size, sharding):
    ranges = [shard_ranges(tokens, size, rank, sharding) for rank in range(size)]
    positions = [[*itertools.chain(*own)] for own in ranges]
    assert sorted(itertools.chain(*positions)) == [*range(tokens)]
    lengths = [len(own) for own in positions]
    assert max(lengths) - min(lengths) <= 1


@hypothesis.given(st.integers(100, 3000), st.integers(2, 8))
def test_zigzag_shares_the_work_of_a_causal_mask(tokens, size):
    pairs = [sum(position + 1 for part in shard_ranges(tokens, size, rank) for position in part)
             for rank in range(size)]
    assert max(pairs) - min(pairs) <= 2 * tokens  # of about tokens ** 2 / (2 * size) each
    assert [shard_ranges(8 * size, size, rank)[0].start for rank in range(size)] == [4 * rank for rank in range(size)]


@pytest.mark.parametrize("arguments, named", [((-1, 2, 0), "tokens"), ((5, 2, 2), "rank"), ((5, 2, -1), "rank"),
                                              ((5, 2, 0, "striped"), "sharding")])
def test_illegal_shards(arguments, named):
    with pytest.raises(ValueError, match=f"npufa.shard_ranges: {named}"):
        shard_ranges(*arguments)


@pytest.mark.parametrize("sharding", ["zigzag", "contiguous"])
@pytest.mark.parametrize("size, tokens, dim", [(2, 9, 1), (4, 3, -2), (4, 0, 1), (3, 50, 1)])
def test_shard_and_back(size, tokens, dim, sharding):
    whole = torch.arange(2 * tokens * 3).view(2, tokens, 3)
    for shard, positions, back in on_ranks(size, ranks.shard_and_back, whole, dim, sharding):
        assert torch.equal(shard, whole[:, positions])
        assert torch.equal(back, whole)


def test_unshard_takes_contiguous_shards_of_any_length():
    shards = [torch.randn(length, 2) for length in (3, 0, 7, 1)]
    for back in on_ranks(4, ranks.unshard, shards, 0, "contiguous"):
        assert torch.equal(back, torch.cat(shards))


@pytest.mark.parametrize("shards, dim, sharding, named", [
    ([torch.zeros(3, 2), torch.zeros(3, 4)], 0, "contiguous", "shape beyond dim"),
    ([torch.zeros(3, 2), torch.zeros(3, 2).half()], 0, "contiguous", "dtype"),
    ([torch.zeros(3, 2), torch.zeros(5, 2)], 0, "zigzag", "shards do not have the lengths"),
    ([torch.zeros(3, 2), torch.zeros(3)], 1, "contiguous", "dim"),
    ([torch.zeros(3, 2), torch.zeros(3, 2)], 0, "striped", "sharding"),
    ([torch.zeros(3, 2), torch.zeros(3, 2, requires_grad=True)], 0, "contiguous", "requires a gradient"),
])
def test_unshard_errors_on_all_ranks(shards, dim, sharding, named):
    messages = on_ranks(2, ranks.unshard_failure, shards, dim, sharding)
    assert all(message is not None and named in message for message in messages), messages


def tensors(tokens=6, heads=4, kv_heads=2, width=8, batch=1, dtype=torch.float32, **others):
    kv_tokens, kv_dtype, requires_grad = (others.get(k, d) for k, d in (
        ("kv_tokens", tokens), ("kv_dtype", dtype), ("requires_grad", False)))
    query = torch.randn(batch, heads, tokens, width).to(dtype)
    key = torch.randn(batch, kv_heads, kv_tokens, width).to(kv_dtype)
    return [query, key, torch.randn(key.shape).to(kv_dtype), query.clone()]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank_1, rule_of_rank_1, named", [
    ({"batch": 2}, {}, "batch differs between ranks, got 1 on rank 0 and 2 on rank 1"),
    ({"heads": 8}, {}, "query's number of heads differs"),
    ({"kv_heads": 4}, {}, "key's number of heads differs"),
    ({"width": 16}, {}, "query's head size differs"),
    ({"dtype": torch.float16}, {}, "query's dtype differs"),
    ({"tokens": 9}, {}, r"shards do not have the lengths of sharding 'zigzag', got [6, 9]"),
    ({}, {"sparse_mode": 2}, "sparse_mode differs between ranks, got 3 on rank 0 and 2"),
    ({}, {"scale": 0.5}, "scale differs"),
    ({}, {"sharding": "contiguous"}, "sharding differs"),
    ({"kv_dtype": torch.float16}, {}, "key differs from query in dtype"),
    ({"kv_heads": 3}, {}, "number of heads that does not divide"),
    ({}, {"sparse_mode": 5}, "sparse_mode is not supported, got 5"),
    ({}, {"sharding": "striped"}, "sharding is unknown"),
    ({}, {"input_layout": "SBH"}, "input_layout is not supported"),
])
def test_all_ranks_raise_what_one_did_wrong(form, rank_1, rule_of_rank_1, named):
    shards = [tensors(), tensors(**rank_1)]
    settings = {"sharding": "zigzag", "sparse_mode": 3}
    failures = on_ranks(2, ranks.failure, form, shards, settings, {1: rule_of_rank_1})
    for failure in failures:
        assert failure is not None
        kind, message = failure
        assert kind in ("ValueError", "TypeError") and message.startswith(f"npufa.{form}_attention: "), failure
        assert named in message, message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends, kv_ends, named", [
    (None, [12], "actual_seq_qlen is missing"),
    ([12], None, "actual_seq_kvlen is missing"),
    ([5, 3, 12], [5, 3, 12], "actual_seq_qlen is not cumulative"),
    ([13], [12], "actual_seq_qlen is not cumulative"),
    ([5, 12], [12], "actual_seq_kvlen differs from actual_seq_qlen in length"),
])
def test_lengths_of_packed_batches(form, ends, kv_ends, named):
    shards = [[t[0].transpose(0, 1) for t in tensors()] for _ in range(2)]
    settings = {"input_layout": "TND", "actual_seq_qlen": ends, "actual_seq_kvlen": kv_ends}
    for failure in on_ranks(2, ranks.failure, form, shards, settings, {}):
        assert failure is not None and named in failure[1]


@pytest.mark.parametrize("form", FORMS)
def test_ranks_agree_on_gradients(form):
    assert all("whether a gradient is needed differs" in message
               for message in on_ranks(2, ranks.gradient_on_one_rank, form, tensors()))


@pytest.mark.parametrize("form", FORMS)
def test_groups_are_needed_and_left_to_their_members(form):
    with pytest.raises(RuntimeError, match=f"npufa.{form}_attention: group has no process group"):
        ranks.FORMS[form](*tensors()[:3])
    *_, message = on_ranks(4, ranks.call_of_another_group, form, tensors())
    assert "group does not contain this process" in message


def _alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


@on_device
@pytest.mark.parametrize("form", FORMS)
def test_on_npu(form):
    """Tensors of a device that the group's backend cannot read go through host memory."""
    torch.manual_seed(0)
    shapes = [(1, 4, 33, 16), (1, 2, 33, 16), (1, 2, 33, 16), (1, 4, 33, 16)]
    query, key, value, dy = (torch.randn(shape).half() for shape in shapes)
    expected = dense.with_gradients(query, key, value, dy, dense.kept(33, 33, sparse_mode=3))
    leaves = [t.npu().requires_grad_() for t in (query, key, value)]
    _alone()
    try:
        output, lse = {"ring": ring_attention, "ulysses": ulysses_attention}[form](*leaves, sparse_mode=3)
        output.backward(dy.npu())
        shard = shard_sequence(leaves[0].detach(), 2)
    finally:
        dist.destroy_process_group()
    assert shard.device.type == "npu"
    for got, want in zip((output.detach(), lse, *(t.grad for t in leaves)), expected, strict=True):
        assert got.device.type == "npu"
        torch.testing.assert_close(got.cpu().double(), want, atol=1e-2, rtol=1e-2)
