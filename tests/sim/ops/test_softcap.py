"""Soft capping on the simulated NPU against the float64 reference: forward and backward kernels."""

import pytest
import torch

from cases import Draw, random_case
from cases.device import on_device
from cases.fusion import forward_case, grad_case
from cases.on_npu import on_npu
from sim.ops.random_calls import verify_calls

TRAINING = [
    *({"layout": layout, "dtype": dtype} for layout, dtype in (
        ("BSH", torch.float16), ("SBH", torch.bfloat16), ("BNSD", torch.float32), ("TND", torch.float16))),
    {"version": 2, "rope": True}, {"version": 2, "pse": True}, {"version": 2, "dropout": True, "pse": True},
    {"version": 3, "sink": True},
]  # fmt: skip


@pytest.mark.parametrize("fixed", TRAINING, ids=str)
@pytest.mark.parametrize("kind", ["fusion", "fusion_grad"])
@on_device
def test_training(kind, fixed):
    verify_calls(kind, 900, 2, **{"version": 2, "softcap": True, **fixed})


@pytest.mark.parametrize("fixed", [
    {"kind": "plain", "cache": "float"}, {"kind": "paged", "cache": "int8", "sq": 1},
    {"kind": "paged", "cache": "int4"},
    {"kind": "rope"}, {"kind": "prefix", "cache": "float"}, {"layout": "TND", "kind": "plain", "cache": "float"},
], ids=str)  # fmt: skip
@on_device
def test_inference(fixed):
    verify_calls("fused_infer", 900, 2, softcap=True, **fixed)


@on_device
def test_long_calls():
    """Several steps a tile, tiles of several parts."""
    verify_calls("fused_infer", 10_000, 2, long=True, softcap=True, cache="float")
    verify_calls("fusion_grad", 10_000, 2, long=True, softcap=True, version=2)


def everything(dtype, pse, **more):
    """A call whose vector cores hold the buffers of every feature at once, at the largest tile."""
    d = Draw(5)
    sq, skv, heads = 70, 520, 2
    kw = dict(query=d.normal((1, heads, sq, 64), dtype), key=d.normal((1, 1, skv, 64), dtype),
              value=d.normal((1, 1, skv, 64), dtype), head_num=heads, input_layout="BNSD", scale=0.3, softcap=1.5,
              atten_mask=d.mask((sq, skv)), sink=d.normal((heads,)), keep_prob=0.8, seed=5, offset=2, **more)
    if pse == "alibi":
        return kw | dict(pse=d.uniform((heads,), 0.0, 0.2), pse_type=3)
    return kw | dict(pse=d.normal((1, heads, sq, skv), dtype), pse_type=0)


@pytest.mark.parametrize("pse", ["alibi", "matrix"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@on_device
def test_memory_of_every_feature_at_once(dtype, pse):
    kw = everything(dtype, pse)
    on_npu(forward_case(kw, 2)).verify()
    on_npu(grad_case(kw, 2, Draw(6))).verify()


@on_device
def test_without_a_cap_no_bit_changes():
    case = random_case("fused_infer", 3, kind="plain", cache="float", layout="BNSD", softcap=False, lse=True)
    for a, b in zip(on_npu(case).call(), on_npu(case).call(softcap=0.0)):
        assert torch.equal(a, b)
