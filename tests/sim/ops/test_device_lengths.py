"""Lengths that stay on the device: the kernel divides its work itself, and a captured call follows new values."""

from __future__ import annotations

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.lengths import with_tensor_lengths
from cases.on_npu import on_npu
from sim.ops.random_calls import few_or_all_groups

KINDS = ["prompt", "incre", "fused_infer", "fusion_grad"]
COUNT = 60


def verify_calls(kind: str, first: int, count: int, long: bool = False) -> None:
    calls = 0
    fixed = {"layout": "TND"} if kind == "fusion_grad" else {}  # few of its calls have lengths otherwise
    for seed in range(first, first + count):
        case = random_case(kind, seed, long=long, **fixed)
        if case.notes.get("cache") == "fp8":
            continue
        integers = torch.int64 if kind == "fusion_grad" or seed % 2 else torch.int32
        if (changed := with_tensor_lengths(case, integers)) is None:
            continue
        with few_or_all_groups(seed):
            on_npu(changed).verify()
        calls += 1
    assert calls > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, 1000, 2000])
@on_device
def test_random_calls(kind, first):
    verify_calls(kind, first, COUNT)


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_long_calls(kind):
    verify_calls(kind, 10_000, 20, long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(100_000, 103_000, COUNT))
@on_device
def test_many_random_calls(kind, first):
    verify_calls(kind, first, COUNT)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(100_000, 100_300, COUNT))
@on_device
def test_many_long_calls(kind, first):
    verify_calls(kind, first, COUNT, long=True)


def captured(call):
    """A graph of `call`, and its outputs."""
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        outputs = call()
    return graph, outputs


def replayed(graph, lengths: torch.Tensor, values: list[int]) -> None:
    lengths.copy_(torch.tensor(values, dtype=lengths.dtype))
    graph.replay()
    torch.npu.synchronize()


CAPACITY = 128
PAGED_LENGTHS = [[5, 17, 100, 128], [1, 2, 3, 4], [128, 128, 0, 1], [0, 0, 0, 0]]


def paged_decode(int8: bool):
    import npufa

    torch.manual_seed(0)
    batch, heads, kv_heads, dim, block, blocks = 4, 8, 2, 64, 16, 64
    key, value = (torch.randn(blocks, block, kv_heads * dim).half() for _ in range(2))
    settings = dict(num_heads=heads, num_key_value_heads=kv_heads, input_layout="BSH", block_size=block)
    if int8:
        key, value = ((t * 20).to(torch.int8) for t in (key, value))
        settings["antiquant_scale"] = torch.full((2, kv_heads * dim), 0.05).half().npu()
    table = torch.randperm(blocks)[: batch * CAPACITY // block].reshape(batch, -1).int().npu()
    query, key, value = torch.randn(batch, 1, heads * dim).half().npu(), key.npu(), value.npu()

    def call(lengths):
        return npufa.npu_incre_flash_attention(query, key, value, actual_seq_lengths=lengths, block_table=table,
                                               scale_value=dim**-0.5, **settings)

    return call


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("int8", [False, True])
@on_device
def test_captured_decode_follows_the_lengths(int8, dtype):
    call = paged_decode(int8)
    lengths = torch.tensor([1, 1, 1, 1], dtype=dtype).npu()
    graph, output = captured(lambda: call(lengths))
    for values in PAGED_LENGTHS:
        replayed(graph, lengths, values)
        torch.testing.assert_close(output.cpu(), call(values).cpu(), rtol=2e-3, atol=2e-3)


@on_device
def test_illegal_lengths_on_the_device_are_bounded():
    """Only the device sees them: they count as the nearest legal ones, and nothing is read out of bounds."""
    call = paged_decode(False)
    lengths = torch.tensor([1, 1, 1, 1]).npu()
    graph, output = captured(lambda: call(lengths))
    replayed(graph, lengths, [-5, CAPACITY + 1, 2**40, 7])
    torch.testing.assert_close(output.cpu(), call([0, CAPACITY, CAPACITY, 7]).cpu(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("batch", [1, 2, 5])
@on_device
def test_tiles_are_cut_wherever_shares_end(batch):
    """Few sequences with one head: every length makes other cuts within the tiles."""
    import npufa

    torch.manual_seed(3)
    query, key, value = (torch.randn(batch, 1, tokens, 16).half().npu() for tokens in (1, 4096, 4096))
    settings = dict(num_heads=1, input_layout="BNSD", scale_value=0.25)
    for length in range(100, 4097, 333):
        values = [max(0, length - 211 * i) for i in range(batch)]
        got, expected = (npufa.npu_incre_flash_attention(query, key, value, actual_seq_lengths=lengths, **settings)
                         for lengths in (torch.tensor(values).npu(), values))
        torch.testing.assert_close(got.cpu(), expected.cpu(), rtol=2e-3, atol=2e-3)


PACKED = [[100, 130, 200, 256], [64, 128, 192, 256], [256, 256, 256, 256], [1, 2, 3, 4]]


@pytest.mark.parametrize("mode", [3, 7, 8])
@on_device
def test_captured_training_step_follows_the_lengths(mode):
    """Forward and backward of v3 on a packed batch in one graph; the padding behind the last sequence stays 0."""
    import npufa

    torch.manual_seed(1)
    query, key, value, dy = (torch.randn(256, 4, 64).half().npu() for _ in range(4))
    settings = dict(head_num=4, input_layout="TND", sparse_mode=mode)

    def step(lengths):
        out, maximum, total, _, _, _ = npufa.npu_fusion_attention_v3(
            query, key, value, **settings, scale=0.125, actual_seq_qlen=lengths, actual_seq_kvlen=lengths)
        gradients = npufa.npu_fusion_attention_grad_v3(
            query, key, value, dy, **settings, scale_value=0.125, actual_seq_qlen=lengths, actual_seq_kvlen=lengths,
            softmax_max=maximum, softmax_sum=total, attention_in=out)
        return out, *gradients[:3]

    lengths = torch.tensor(PACKED[0]).npu()
    graph, outputs = captured(lambda: step(lengths))
    for values in PACKED:
        replayed(graph, lengths, values)
        for output, expected in zip(outputs, step(torch.tensor(values)), strict=True):  # lengths on the host
            torch.testing.assert_close(output.cpu(), expected.cpu(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("given,legal", [
    ([50, 30, 2**40], [50, 50, 96]), ([-7, 40, 96], [0, 40, 96]), ([97, 98, 99], [96, 96, 96]),
])  # fmt: skip
@on_device
def test_illegal_packed_lengths_on_the_device_are_bounded(given, legal):
    """Forward and backward: a running sum beyond T is T, one below its predecessor a sequence without tokens."""
    import npufa

    def step(lengths):
        torch.manual_seed(2)
        leaves = [torch.randn(96, 2, 32).npu().requires_grad_() for _ in range(3)]
        out = npufa.npu_fusion_attention_v3(*leaves, head_num=2, input_layout="TND", actual_seq_qlen=lengths,
                                            actual_seq_kvlen=lengths, sparse_mode=3)[0]
        out.sum().backward()
        return out.detach(), *(x.grad for x in leaves)

    for got, expected in zip(step(torch.tensor(given).npu()), step(torch.tensor(legal)), strict=True):
        torch.testing.assert_close(got.cpu(), expected.cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [True, False])
@on_device
def test_a_sequence_beyond_the_mask_takes_part_as_far_as_the_mask_goes(mask):
    import npufa

    query, key, value = (torch.randn(96, 2, 32).npu() for _ in range(3))
    extra = ({"atten_mask": torch.zeros(40, 40, dtype=torch.bool).npu()} if mask
             else {"pse": torch.zeros(1, 2, 40, 40).npu()})
    lengths = torch.tensor([30, 96]).npu()
    out = npufa.npu_fusion_attention_v3(query, key, value, head_num=2, input_layout="TND", actual_seq_qlen=lengths,
                                        actual_seq_kvlen=lengths, sparse_mode=1 if mask else 0, **extra)[0].cpu()
    alone = npufa.npu_fusion_attention_v3(query[30:70], key[30:70], value[30:70], head_num=2, input_layout="TND",
                                          actual_seq_qlen=torch.tensor([40]),
                                          actual_seq_kvlen=torch.tensor([40]))[0].cpu()
    torch.testing.assert_close(out[30:70], alone)
    assert out[70:].eq(0).all()


@on_device
def test_dropout_and_maybe_compressed_bias_read_lengths_on_the_host():
    """A dropout mask's size follows from the lengths, so that a capture says it cannot be."""
    import npufa

    query, key, value = (torch.randn(64, 2, 32).npu() for _ in range(3))
    lengths = torch.tensor([30, 64]).npu()
    call = lambda: npufa.npu_fusion_attention_v3(  # noqa: E731
        query, key, value, head_num=2, input_layout="TND", actual_seq_qlen=lengths, actual_seq_kvlen=lengths,
        keep_prob=0.5)
    assert call()[0].cpu().isfinite().all()
    with pytest.raises(RuntimeError, match="capture"):
        captured(call)
    torch.npu.synchronize()
    assert call()[0].cpu().isfinite().all()
