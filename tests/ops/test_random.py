"""Random legal calls over all operators and features."""

import pytest

from cases import GENERATORS, random_case

DEFAULT = {"fusion": 120, "fusion_grad": 60, "prompt": 60, "incre": 60, "fused_infer": 140, "advance_step": 20,
           "scatter": 100, "compressed": 60, "gather": 60, "attention_update": 60, "ring_update": 60, "rotary": 100,
           "latent": 100}
BATCH = 20


LONG = {"fusion": 20, "fusion_grad": 20, "prompt": 20, "incre": 20, "fused_infer": 40}


def batches(counts, first=0):
    return [(kind, start) for kind, count in counts.items() for start in range(first, first + count, BATCH)]


def run(kind, start, **features):
    for seed in range(start, start + BATCH):
        random_case(kind, seed, **features).verify()


@pytest.mark.parametrize("kind,start", batches(DEFAULT, first=10_000))
def test_random_calls(kind, start):
    run(kind, start)


@pytest.mark.parametrize("kind,start", batches(LONG, first=10_000))
def test_long_calls(kind, start):
    """Sequences that span several tiles, whatever the tile size."""
    run(kind, start, long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("kind,start", batches({kind: 300 for kind in LONG}, first=20_000))
def test_many_long_calls(kind, start):
    run(kind, start, long=True)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("kind,start", batches({kind: 1200 for kind in GENERATORS}, first=20_000))
def test_many_random_calls(kind, start):
    run(kind, start)
