"""The operators beside attention on the simulated NPU: random legal calls, and nothing for the checks to report."""

import pytest
import torch
from cases import random_case
from cases.device import on_device
from cases.on_npu import in_place_on_npu, on_npu
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


@pytest.mark.slow
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
