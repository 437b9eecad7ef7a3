"""Calls cut down to one sequence and one head for lack of memory, joined to the results of the whole."""

import pytest
import torch

from cases import fusion, inference
from cases.draw import Draw
from cases.nz import nz_case, quantised_case
from npufa.robust import RobustAttention
from robust.faults import Faults, pieces

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
def test_random_calls(name):
    done = sum(verify(OPERATORS[name](Draw(seed)), limit=1 + 2 * (seed % 2)) for seed in range(16))
    assert done > 8


@pytest.mark.parametrize("build", [nz_case, quantised_case])
def test_nz_caches_and_quantised_queries(build):
    assert sum(verify(build(seed), limit=1 + 2 * (seed % 2)) for seed in range(8)) > 4


def test_trailing_zeros_are_no_last_sequence():
    """The band of sparse_mode 7 is that of the last sequence with tokens, in whichever half it is."""
    d = Draw(3)
    kw = {"query": d.normal((131, 2, 8)), "key": d.normal((40, 2, 8)), "value": d.normal((40, 2, 8)), "head_num": 2,
          "input_layout": "TND", "actual_seq_qlen": [31, 131, 131, 0, 0], "actual_seq_kvlen": [1, 30, 40, 0, 0]}
    for mode in (7, 8):
        assert verify(fusion.forward_case(kw | {"sparse_mode": mode, "pre_tokens": 3, "next_tokens": -1, "scale": 0.3}))


@pytest.mark.slow(group="draws")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", OPERATORS)
def test_more_random_calls(name):
    done = sum(verify(OPERATORS[name](Draw(seed, long=seed % 5 == 0))) for seed in range(3000, 3800))
    assert done > 400
