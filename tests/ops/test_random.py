"""Random legal calls over all operators and features."""

import pytest
from cases import GENERATORS, random_case

DEFAULT = {"fusion": 120, "fusion_grad": 60, "prompt": 60, "incre": 60, "fused_infer": 140, "advance_step": 20}
BATCH = 20


def batches(counts, first=0):
    return [(kind, start) for kind, count in counts.items() for start in range(first, first + count, BATCH)]


def run(kind, start):
    for seed in range(start, start + BATCH):
        random_case(kind, seed).verify()


@pytest.mark.parametrize("kind,start", batches(DEFAULT, first=10_000))
def test_random_calls(kind, start):
    run(kind, start)


@pytest.mark.slow
@pytest.mark.parametrize("kind,start", batches({kind: 1200 for kind in GENERATORS}, first=20_000))
def test_many_random_calls(kind, start):
    run(kind, start)
