"""Soft capping: c * tanh(s / c) of the scaled scores, before bias and masks, forward and backward."""

import math

import pytest
import torch

import reference
from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import LAYOUTS, draw_call, op_name, spelled
from cases.inference import FUSED_LAYOUTS
from cases.model import operator
from cases.variants import as_v2, with_sink
from ops.test_fusion_grad import check_backward, explicit

FUSED = "npu_fused_infer_attention_score"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training(layout, dtype, version):
    for seed in range(8):
        pinned = dict(layout=layout, dtype=dtype, version=version, softcap=True)
        random_case("fusion", seed, **pinned).verify()
        random_case("fusion_grad", seed, **pinned).verify()


@pytest.mark.parametrize("feature", ["pse", "sink", "dropout", "rope"])
@pytest.mark.parametrize("layout", ["BNSD", "TND"])
def test_beside_other_features(layout, feature):
    for seed in range(6):
        pinned = dict(layout=layout, version=2, softcap=True, dtype=torch.float32, **{feature: True})
        random_case("fusion", seed, **pinned).verify()
        _, kw = draw_call(Draw(seed), pinned)
        check_backward(kw, 2, Draw(seed))


def test_version_3_hands_its_cap_to_the_gradient():
    for seed in range(6):
        _, kw = draw_call(Draw(seed), dict(layout="BSND", version=3, softcap=True, dropout=False))
        check_backward(kw, 3, Draw(seed))


@pytest.mark.parametrize("layout", FUSED_LAYOUTS)
def test_inference(layout):
    for seed in range(6):
        case = random_case("fused_infer", seed, layout=layout, softcap=True, kind="plain" if seed % 2 else "paged",
                           cache=("float", "int8", "int4")[seed % 3], lse=True)
        case.verify()
        if case.kwargs.get("antiquant_scale") is None:
            as_v2(case).verify()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("kind", ["plain", "paged", "padding", "prefix", "rope"])
def test_decode(kind, dtype):
    for seed in range(4):
        random_case("fused_infer", seed, kind=kind, dtype=dtype, sq=1, layout="BNSD", softcap=True, lse=True).verify()


def test_with_a_sink():
    case = random_case("fused_infer", 7, kind="plain", layout="TND", cache="float", lse=True, out_int8=False,
                       softcap=True)
    with_sink(case, Draw(8).normal((case.kwargs["num_heads"],))).verify()


def test_order_of_scale_cap_and_bias():
    """One key beside one of score 0: its probability tells its score."""
    query, key = torch.full((1, 1, 1, 1), 3.0), torch.tensor([2.0, 0.0]).view(1, 1, 2, 1)
    value = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1)
    bias = torch.tensor([0.7, 0.0]).view(1, 1, 1, 2)
    probability = {
        0: 4.0 * math.tanh(0.5 * 6.0 / 4.0) + 0.7,
        1: 4.0 * math.tanh(0.5 * 6.0 / 4.0) + 0.5 * 0.7,
    }
    for pse_type, score in probability.items():
        out = operator("npu_fusion_attention_v2")(query, key, value, 1, "BNSD", pse=bias, scale=0.5, softcap=4.0,
                                                  pse_type=pse_type)[0]
        assert abs(float(out) - 1.0 / (1.0 + math.exp(-score))) < 1e-6


@pytest.mark.parametrize("cap", [1e-20, 0.01, 1e3, 1e20])
def test_extreme_caps(cap):
    """All scores alike, or none capped."""
    kw = explicit(heads=4, kv_heads=2, softcap=cap, sparse_mode=3)
    expected = reference.fusion_attention(**kw)
    got = operator(op_name(2))(**spelled(kw, 2))
    torch.testing.assert_close(got[0].double(), expected.out, rtol=1e-5, atol=1e-6)
    check_backward(kw, 2, Draw(1))


def test_zero_is_off_and_changes_no_bit():
    kw = explicit(heads=4, kv_heads=2, sparse_mode=3, dtype=torch.bfloat16)
    for a, b in zip(operator(op_name(2))(**kw)[:3], operator(op_name(2))(**kw, softcap=0.0)[:3]):
        assert torch.equal(a, b)


def test_gradcheck_by_differences():
    """float32 differences along random directions, away from anything the reference shares."""
    kw = explicit(sq=5, skv=7, dim=4, softcap=0.8)
    leaves = [kw[name].requires_grad_() for name in ("query", "key", "value")]

    def loss():
        return (operator(op_name(2))(**kw)[0].double() ** 2).sum()

    loss().backward()
    with torch.no_grad():
        for leaf in leaves:
            direction = Draw(3).normal(leaf.shape)
            step = 1e-2
            leaf += step * direction
            after = loss()
            leaf -= 2 * step * direction
            before = loss()
            leaf += step * direction
            slope = float((leaf.grad.double() * direction).sum())
            assert abs(float(after - before) / (2 * step) - slope) < 2e-3 * (1 + abs(slope))


def test_tensor_lengths_and_meta():
    case = random_case("fused_infer", 3, layout="TND", kind="plain", cache="float", softcap=True)
    lengths = {name: torch.tensor(case.kwargs[name]) for name in ("actual_seq_lengths", "actual_seq_lengths_kv")}
    overload = getattr(operator(FUSED), "tensor_lengths")
    assert torch.equal(overload(**{**case.kwargs, **lengths})[0], case.call()[0])
    on_meta = {n: v.to("meta") if isinstance(v, torch.Tensor) else v for n, v in case.kwargs.items()}
    assert operator(FUSED)(**on_meta)[0].shape == case.call()[0].shape
