"""What holds for every attention operator on the simulated NPU: repeatable bits, inputs untouched, memory returned."""

import pytest
import torch

import npufa.sim
from cases import random_case
from cases.device import on_device
from cases.on_npu import NpuCase, on_npu, to_npu
from npufa.sim._native import native

KINDS = ("prompt", "incre", "fused_infer", "fusion", "fusion_grad")


def cases(kind):
    """Calls that several cores share, and a small one with whatever features it draws."""
    drawn = [random_case(kind, 7, long=True), random_case(kind, 8), random_case(kind, 9)]
    return [on_npu(case) for case in drawn if case.notes.get("cache") != "fp8"]


def bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8)


def same_bits(first, second):
    for a, b in zip(*((r if isinstance(r, (tuple, list)) else [r]) for r in (first, second)), strict=True):
        assert torch.equal(bits(a), bits(b)) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_repeated_calls_give_the_same_bits(kind):
    for case in cases(kind):
        first = case.verify()
        for _ in range(3):
            same_bits(case.call(), first)


@pytest.mark.simulator
@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_without_checks(kind):
    for case in cases(kind):
        first = case.verify()
        npufa.sim.set_check(False)
        try:
            same_bits(case.call(), first)
        finally:
            npufa.sim.set_check(True)


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_views_give_the_bits_of_contiguous_tensors(kind):
    for case in cases(kind):
        contiguous = {n: v.contiguous() if isinstance(v, torch.Tensor) else v for n, v in case.kwargs.items()}
        stepped = {n: torch.stack([v, v], -1)[..., 0] if isinstance(v, torch.Tensor) and v.dim() else v
                   for n, v in contiguous.items()}  # fmt: skip
        same_bits(case.call(**stepped), case.call(**contiguous))


@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_inputs_are_left_alone_and_memory_is_given_back(kind):
    for case in cases(kind):
        case.call()
        before = torch.npu.memory_allocated()
        moved = {name: to_npu(value) for name, value in case.kwargs.items()}
        super(NpuCase, case).call(**moved)
        for name, value in case.kwargs.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(bits(moved[name].cpu()), bits(value)), name
        del moved
        assert torch.npu.memory_allocated() == before


@pytest.mark.simulator
@pytest.mark.parametrize("kind", KINDS)
@on_device
def test_every_chip(kind):
    try:
        for chip in npufa.sim.chips():
            assert native().npufa_sim_select_chip(chip.encode()) == 0
            for case in cases(kind):
                case.verify()
    finally:
        native().npufa_sim_select_chip(b"Ascend910B3")
