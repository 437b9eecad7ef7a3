"""Random legal calls of the attention operators on the simulated NPU; prefill, drawn more often, is test_random.py."""

import pytest

from cases.device import on_device
from sim.ops.random_calls import BATCH, DEFAULT, SLOW, SLOW_LONG, verify_calls

# Of each operator: where its quick batches begin, and how many long calls it gets.
QUICK = {
    "fusion": (DEFAULT, 10),
    "fusion_grad": (range(10_000, 10_000 + 2 * BATCH, BATCH), 5),
    "incre": (DEFAULT, 20),
    "fused_infer": (DEFAULT, 10),
}


@pytest.mark.parametrize("kind, first", [(kind, first) for kind, (batches, _) in QUICK.items() for first in batches])
@on_device
def test_random_calls(kind, first):
    verify_calls(kind, first)


@pytest.mark.parametrize("kind", QUICK)
@on_device
def test_long_calls(kind):
    """Sequences of up to 1300 tokens: several tiles and many steps, heads that core groups share."""
    verify_calls(kind, 10_000, QUICK[kind][1], long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", SLOW)
@pytest.mark.parametrize("kind", QUICK)
@on_device
def test_many_random_calls(kind, first):
    verify_calls(kind, first)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", SLOW_LONG)
@pytest.mark.parametrize("kind", QUICK)
@on_device
def test_many_long_calls(kind, first):
    verify_calls(kind, first, long=True)
