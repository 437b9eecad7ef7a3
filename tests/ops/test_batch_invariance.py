"""Batch invariance: the bits of a sequence alone, in batches of several compositions and with 1 to 4 threads."""

import contextlib
import functools
import os
import subprocess
import sys

import pytest
import torch

import npufa
from cases import Draw
from cases.fusion import cumulative
from cases.invariance import COMPOSITIONS, dense, gradients, packed, paged


@pytest.fixture(params=[1, 2, 3, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@contextlib.contextmanager
def some_threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def alone(call):
    """The first sequence by itself, on one thread."""
    with npufa.batch_invariant(), some_threads(1):
        return call((0,))


def assert_same_bits(call, expected):
    with npufa.batch_invariant():
        for composition in COMPOSITIONS:
            for i, (got, wanted) in enumerate(zip(call(composition), expected, strict=True)):
                assert torch.equal(got, wanted), f"result {i} differs in {composition}"


CALLS = {
    "decode": functools.partial(dense, 1), "few rows": functools.partial(dense, 3),
    "prefill": functools.partial(dense, 1200), "paged decode": functools.partial(paged, False),
    "paged int8 decode": functools.partial(paged, True),
    "packed": packed, "gradients": gradients,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_bits(name, dtype, threads):
    call = functools.partial(CALLS[name], dtype=dtype)
    assert_same_bits(call, _alone(name, dtype))


@functools.cache
def _alone(name, dtype):
    return alone(functools.partial(CALLS[name], dtype=dtype))


@pytest.mark.parametrize("name", ["decode", "gradients"])
def test_without_the_mode_threads_show(name):
    """What the mode is for; and that these calls are long enough to need it."""
    call = functools.partial(CALLS[name], dtype=torch.float32)
    results = []
    for count in (1, 4):
        with some_threads(count):
            results.append(call((0,)))
    assert not all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("name", CALLS)
def test_numbers_are_those_of_the_usual_mode(name):
    call = functools.partial(CALLS[name], dtype=torch.float32)
    for got, usual in zip(alone(call), call((0,)), strict=True):
        torch.testing.assert_close(got, usual, rtol=1e-4, atol=1e-5)


def is_on():
    return torch.ops.npufa._batch_invariant()


def test_who_asks_for_it():
    assert not is_on()
    with npufa.batch_invariant():
        assert is_on()
        with npufa.batch_invariant(False):
            assert not is_on()
        assert is_on()
    assert not is_on()
    torch.use_deterministic_algorithms(True)
    try:
        assert is_on()
    finally:
        torch.use_deterministic_algorithms(False)
    with pytest.raises(KeyError), npufa.batch_invariant():
        raise KeyError
    assert not is_on()


@pytest.mark.parametrize("value, expected", [("1", True), ("0", False), ("", False)])
def test_environment_variable(value, expected):
    code = "import npufa, torch; print(torch.ops.npufa._batch_invariant())"
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "NPUFA_BATCH_INVARIANT": value},
                            capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == str(expected)


def test_rows_of_every_window():
    """Bands that begin in the middle of a tile of keys, prefixes, and rows without keys."""
    d = Draw(4)
    lengths = [700, 30, 900]
    q, k, v = (d.normal((sum(lengths), 2, 32)) for _ in range(3))
    rules = {"sparse_mode": 4, "pre_tokens": 300, "next_tokens": -5}
    with npufa.batch_invariant():
        together = npufa.npu_fusion_attention(q, k, v, 2, "TND", actual_seq_qlen=cumulative(lengths),
                                              actual_seq_kvlen=cumulative(lengths), pre_tockens=300, next_tockens=-5,
                                              sparse_mode=4)[0]
        first = 0
        for n in lengths:
            part = slice(first, first + n)
            for count in (1, 3):
                with some_threads(count):
                    single = npufa.npu_fusion_attention_v2(q[part], k[part], v[part], 2, "TND", actual_seq_qlen=[n],
                                                           actual_seq_kvlen=[n], **rules)[0]
                assert torch.equal(single, together[part])
            first += n
