"""Calls cut down to one sequence and one head for lack of memory, joined to the results of the whole."""

import pytest
import torch
from cases import fusion, inference
from cases.draw import Draw
from robust.faults import Faults, pieces

from npufa.robust import RobustAttention

OPERATORS = {
    "fusion": fusion.fusion_case, "fusion_grad": fusion.fusion_grad_case, "prompt": inference.prompt_case,
    "incre": inference.incre_case, "fused_infer": inference.fused_infer_case,
}


def out_of_memory():
    return torch.OutOfMemoryError("NPU out of memory. Tried to allocate 2.00 GiB")


def verify(case, limit=1):
    """True when the split call succeeded, whose results were right; else it had to say what cannot be split."""
    robust = RobustAttention(fallback_to_torch=False)
    with Faults(out_of_memory, when=lambda call: pieces(call) > limit) as faults:
        try:
            result = robust(case.op, **case.kwargs)
        except torch.OutOfMemoryError as error:
            assert any("expected" in note for note in error.__notes__)
            return False
    try:
        case.compare(result, case.expected())
    except AssertionError as error:
        raise AssertionError(f"{error}\n{case}") from None
    assert bool(robust.counts) == bool(faults.raised)
    return True


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("limit", [1, 3])
def test_random_calls(name, limit):
    done = sum(verify(OPERATORS[name](Draw(seed)), limit) for seed in range(25))
    assert done > 12


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", OPERATORS)
def test_more_random_calls(name):
    done = sum(verify(OPERATORS[name](Draw(seed, long=seed % 5 == 0))) for seed in range(3000, 3800))
    assert done > 400
