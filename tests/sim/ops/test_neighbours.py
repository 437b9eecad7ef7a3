"""The operators beside attention on the simulated NPU: random legal calls, and nothing for the checks to report."""

import pytest
import torch

from cases import random_case
from cases.device import core_groups, on_device
from cases.on_npu import in_place_on_npu, on_npu, to_npu
from cases.rotary import rounded_values
from sim.ops.random_calls import few_or_all_groups

IN_PLACE = ("scatter", "compressed", "gather", "latent")
KINDS = (*IN_PLACE, "attention_update", "ring_update", "rotary")


def verify(kind, seed, **fixed):
    case = random_case(kind, seed, **fixed)
    with few_or_all_groups(seed):
        (in_place_on_npu if kind in IN_PLACE else on_npu)(case).verify()


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_random_calls(kind):
    for seed in range(2000, 2060):
        verify(kind, seed)


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_long_calls(kind):
    """Several tiles for each core."""
    for seed in range(2000, 2008):
        verify(kind, seed, long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(30_000, 31_000, 100))
@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_many_random_calls(kind, first):
    for seed in range(first, first + 100):
        verify(kind, seed, long=seed % 10 == 0)


@on_device
def test_rows_longer_than_a_buffer():
    """128 heads of 576: 147,456 bytes, moved in pieces."""
    import npufa

    for shape in ((6, 4, 128, 576), (6, 128 * 576 // 16, 4, 16)):
        key = torch.randn(5, 128, 576).half()
        cache, slots = torch.zeros(shape).half(), torch.tensor([3, 23, -1, 0, 11])
        on_device = cache.npu()
        npufa.npu_scatter_pa_cache(key.npu(), slots.npu(), key_cache=on_device)
        npufa.npu_scatter_pa_cache(key, slots, key_cache=cache)
        assert cache.any() and torch.equal(on_device.cpu(), cache)


@on_device
def test_more_slots_than_a_core_holds():
    """3000 tokens on two vector cores."""
    import npufa

    slots = torch.randperm(4096)[:3000]
    slots[::7] = -1
    rows, cache = torch.randn(3000, 1, 16).half(), torch.zeros(32, 128, 1, 16).half()
    on_device = cache.npu()
    with core_groups(1):
        npufa.npu_scatter_pa_cache(rows.npu(), slots.npu(), key_cache=on_device)
    npufa.npu_scatter_pa_cache(rows, slots, key_cache=cache)
    assert torch.equal(on_device.cpu(), cache)


@on_device
def test_a_cache_between_other_blocks_is_not_copied():
    """Keys and values of one tensor (blocks, 2, block_size, N, D) take no more memory than two dense ones."""
    import npufa

    cache = torch.zeros(128, 2, 16, 8, 128, dtype=torch.float16, device="npu")
    rows, slots = torch.ones(3, 8, 128, dtype=torch.float16, device="npu"), torch.tensor([5, 17, 2000]).npu()
    lengths, table = torch.tensor([3]).npu(), torch.tensor([[0]]).npu()

    def peak(call, *caches):
        torch.npu.synchronize()
        torch.npu.reset_peak_memory_stats()
        before = torch.npu.memory_allocated()
        call(*caches)
        return torch.npu.max_memory_allocated() - before

    def scatter(keys, values):
        npufa.npu_scatter_pa_kv_cache(rows, rows, keys, values, slots, cache_mode="Norm")

    def gather(keys, values):
        npufa.npu_gather_pa_kv_cache(keys, values, table, lengths, rows.clone(), rows.clone())

    dense = [cache[:, i].clone() for i in range(2)]
    for call in (scatter, gather):
        assert peak(call, cache[:, 0], cache[:, 1]) <= peak(call, *dense)
    assert cache.cpu().count_nonzero() == 2 * rows.numel() and torch.equal(cache[:, 1].cpu(), dense[1].cpu())


@on_device
def test_gather_of_impossible_numbers():
    """Negative lengths and offsets count as 0; tokens behind the block table are 0."""
    import npufa

    cache = torch.arange(1, 257, dtype=torch.float16).view(4, 4, 1, 16)
    rows = [torch.full((8, 1, 16), 7, dtype=torch.float16, device="npu") for _ in range(2)]
    npufa.npu_gather_pa_kv_cache(cache.npu(), cache.npu(), torch.tensor([[2], [3], [1]]).npu(),
                                 torch.tensor([-1, 3, 5]).npu(), *rows, seq_offset=torch.tensor([0, -5, 1]).npu())
    expected = torch.cat([cache[3, :3], cache[1, 1:], torch.zeros(2, 1, 16).half()])
    assert all(torch.equal(got.cpu(), expected) for got in rows)


@on_device
def test_ring_lengths_beyond_the_tokens_are_cut_off():
    case = on_npu(random_case("ring_update", 7, layout="TND"))
    ends = case.kwargs["actual_seq_qlen"]
    inside, beyond = (torch.cat([ends[:-1], torch.tensor([end])]) for end in (len(case.kwargs["prev_attn_out"]), 1000))
    for got, want in zip(case.call(actual_seq_qlen=beyond), case.call(actual_seq_qlen=inside), strict=True):
        assert torch.equal(got, want)


@on_device
def test_values_of_int8_caches_are_rounded_to_even_and_cut_off():
    kwargs, expected = rounded_values()
    on_device = {name: to_npu(value) for name, value in kwargs.items()}
    torch.ops.npufa.npu_kv_rmsnorm_rope_cache(**on_device)
    assert torch.equal(on_device["ckv_cache"][0, 0].flatten().cpu(), expected)


@pytest.mark.parametrize("mode", ["half", "interleave"])
@on_device
def test_rotary_gradients(mode):
    import npufa

    torch.manual_seed(1)
    tensors = torch.randn(2, 5, 3, 64), torch.randn(1, 5, 1, 64), torch.randn(1, 5, 1, 64)
    gradients = []
    for device in ("cpu", "npu"):
        leaves = [t.clone().to(device).requires_grad_() for t in tensors]
        npufa.npu_rotary_mul(*leaves, rotary_mode=mode).square().sum().backward()
        gradients.append([leaf.grad.cpu() for leaf in leaves])
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-4)
