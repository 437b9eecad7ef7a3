"""Random calls with one illegal argument: named in the error, on CPU and meta tensors, and nothing is written."""

import re

import pytest

from cases.on_npu import to_meta
from cases.random_illegal import KINDS, message, random_illegal

BATCH = 50


def check(kind, start):
    for seed in range(start, start + BATCH):
        call = random_illegal(kind, seed)
        # A functional form is the one in place on copies, and names it.
        op = call.op.partition(".")[0].removesuffix("_functional")
        for place in (lambda value: value, to_meta):
            text = message(call, place)
            form = rf"npufa::{op}(_functional)?: .*\b{call.name}\b.*\bgot\b.*\bexpected\b"
            assert re.search(form, text, re.S), f"{call}, seed {seed}: {text}"


@pytest.mark.parametrize("kind", KINDS)
def test_random_illegal_calls(kind):
    check(kind, 1000)


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("start", range(50_000, 51_000, BATCH))
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_illegal_calls(kind, start):
    check(kind, start)
