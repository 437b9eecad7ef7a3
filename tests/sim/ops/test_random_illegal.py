"""Random calls with one illegal argument on the simulated NPU: the CPU's error, and no kernel is launched."""

import pytest

import npufa
from cases.device import on_device
from cases.on_npu import to_npu
from cases.random_illegal import KINDS, message, random_illegal


def verify(kind, seeds):
    for seed in seeds:
        call = random_illegal(kind, seed)
        assert message(call, to_npu) == message(call), f"{call}, seed {seed}"


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_random_illegal_calls(kind):
    if npufa.sim.status().soc is None:  # a real chip does not tell what it launches
        verify(kind, range(2000, 2040))
    else:
        assert not npufa.sim.profile(lambda: verify(kind, range(2000, 2040))).kernels


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(60_000, 61_000, 100))
@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_many_random_illegal_calls(kind, first):
    verify(kind, range(first, first + 100))
