"""Random legal prefill calls on the simulated NPU: the reference's numbers, and nothing for the checks to report.

NPUFA_RANDOM_CALLS=50000 ./build.sh test tests/sim/ops/test_random.py   # more of the slow ones
"""

import os

import pytest

from cases.device import on_device
from sim.ops.prefill import random_prefill
from sim.ops.random_calls import few_or_all_groups

BATCH = 50
MANY = int(os.environ.get("NPUFA_RANDOM_CALLS", "3000"))


def verify_random(first, count, long=False):
    for seed in range(first, first + count):
        with few_or_all_groups(seed):
            random_prefill(seed, long).verify()


@pytest.mark.parametrize("first", range(10_000, 10_300, BATCH))
@on_device
def test_random_calls(first):
    verify_random(first, BATCH)


@on_device
def test_long_calls():
    """Sequences of up to 1300 tokens: several tiles and steps of the kernel."""
    verify_random(10_000, 30, long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(100_000, 100_000 + MANY, BATCH))
@on_device
def test_many_random_calls(first):
    verify_random(first, BATCH)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(100_000, 100_000 + MANY // 10, BATCH))
@on_device
def test_many_long_calls(first):
    verify_random(first, BATCH, long=True)
