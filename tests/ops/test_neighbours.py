"""The operators beside attention on the CPU: random legal calls against the definitions."""

import pytest
import torch

import npufa
from cases import random_case
from cases.rotary import rounded_values

KINDS = ("scatter", "compressed", "gather", "latent", "attention_update", "ring_update", "rotary")


@pytest.mark.parametrize("kind", KINDS)
def test_random_calls(kind):
    for seed in range(1000, 1020):
        random_case(kind, seed).verify()


def test_values_of_int8_caches_are_rounded_to_even_and_cut_off():
    kwargs, expected = rounded_values()
    npufa.npu_kv_rmsnorm_rope_cache(**kwargs)
    assert torch.equal(kwargs["ckv_cache"].flatten(), expected)


@pytest.mark.parametrize("mode", ["half", "interleave"])
def test_rotation_by_its_own_matrix(mode):
    """The matrix of a mode gives what the mode gives, and the same derivatives."""
    torch.manual_seed(0)
    x, r1, r2 = torch.randn(2, 5, 3, 8), torch.randn(1, 5, 1, 8), torch.randn(1, 5, 1, 8)
    turned = npufa.npu_rotary_mul(torch.eye(8)[None], torch.zeros(1, 1, 8), torch.ones(1, 1, 8), mode)[0]
    results = []
    for matrix in (None, turned):
        leaves = [t.clone().requires_grad_() for t in (x, r1, r2)]
        result = npufa.npu_rotary_mul(*leaves, mode, matrix)
        result.square().sum().backward()
        results.append([result.detach(), *(leaf.grad for leaf in leaves)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want)
