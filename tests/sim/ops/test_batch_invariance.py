"""Batch invariance on the simulated NPU: a sequence alone, in batches of others and on other numbers of cores."""

import pytest
import torch

import npufa
from cases.device import core_groups, on_device
from cases.invariance import dense, gradients, packed, paged

KEYS = (2500, 40, 1100, 1024)
SMALL = {"rows": (150, 20, 300, 1), "keys": (700, 40, 300, 500)}
BATCHES = ((0,), (2, 0, 3), (1, 2, 3, 0, 1))


def same_bits(call, **arguments):
    with npufa.batch_invariant():
        expected = call((0,), dtype=torch.float16, device="npu", **arguments)
        for composition, groups in zip(BATCHES, (1, 3, 20)):
            with core_groups(groups):
                got = call(composition, dtype=torch.float16, device="npu", **arguments)
            for i, (a, b) in enumerate(zip(got, expected, strict=True)):
                assert torch.equal(a, b), f"result {i} of {composition} on {groups} core groups"
    for a, b in zip(expected, call((0,), device="cpu", dtype=torch.float32, **arguments), strict=True):
        torch.testing.assert_close(a.float(), b, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("heads", [(4, 2), (2, 2), (10, 1)])
@on_device
def test_decode(heads):
    same_bits(lambda composition, **more: dense(1, composition, keys=KEYS, heads=heads, **more))


@pytest.mark.parametrize("rows", [3, 70])
@on_device
def test_rows(rows):
    same_bits(lambda composition, **more: dense(rows, composition, keys=KEYS, **more))


@pytest.mark.parametrize("on_device_lengths", [False, True])
@pytest.mark.parametrize("int8", [False, True])
@on_device
def test_paged(int8, on_device_lengths):
    def call(composition, device, **more):
        return paged(int8, composition, device=device, on_device=on_device_lengths and device == "npu", **more)

    same_bits(call)


@on_device
def test_training():
    same_bits(packed, **SMALL)
    same_bits(gradients, **SMALL)


@on_device
def test_without_the_mode_cores_show():
    results = []
    for groups in (1, 20):
        with core_groups(groups):
            results.append(dense(1, (0,), dtype=torch.float16, device="npu", keys=KEYS)[0])
    assert not torch.equal(*results)
