"""Fake tensors have the shapes, types, strides and devices of the real results."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cases import random_case
from cases.model import operator

KINDS = ("fusion", "fusion_grad", "prompt", "incre", "fused_infer")


def as_list(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)


@pytest.mark.parametrize("first", [0, 25, 50, 75])
@pytest.mark.parametrize("kind", KINDS)
def test_fake_results_match(kind, first):
    for seed in range(first, first + 25):
        case = random_case(kind, 3000 + seed)
        real = as_list(case.call())
        with FakeTensorMode() as mode:
            kw = {n: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for n, v in case.kwargs.items()}
            fake = as_list(operator(case.op)(**kw))
        for index, (a, b) in enumerate(zip(real, fake, strict=True)):
            if isinstance(a, torch.Tensor):
                got = (b.shape, b.dtype, b.device) + ((b.stride(),) if b.numel() > 1 else ())
                want = (a.shape, a.dtype, a.device) + ((a.stride(),) if a.numel() > 1 else ())
                assert got == want, f"output {index}: fake {got}, real {want}\n{case}"


def test_meta_advance_step_returns_nothing():
    kw = {n: v.to("meta") if isinstance(v, torch.Tensor) else v
          for n, v in random_case("advance_step", 1).kwargs.items()}
    assert operator("npu_advance_step_flashattn")(**kw) in (None, ())
