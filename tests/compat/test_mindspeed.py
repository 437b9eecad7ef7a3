"""MindSpeed's own compiled operators are npufa's under compat, wherever its functions were imported."""

import sys
import types

import pytest
import torch

from cases import random_case
from cases.device import on_device

MODULE = "mindspeed.op_builder.builder"


@pytest.fixture(autouse=True)
def _here():
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mindspeed"]:
        del sys.modules[name]


def builder():
    """What MindSpeed's module has of interest: compiled operators by name."""
    module = types.ModuleType(MODULE)
    module.MindSpeedOpBuilder = type("MindSpeedOpBuilder", (), {"_loaded_ops": {"gmm": "theirs"}})
    sys.modules[MODULE] = module
    return module.MindSpeedOpBuilder


@on_device
def test_operators_are_bound_and_unbound():
    import npufa.compat

    ours = builder()
    with npufa.compat.routed():
        assert set(ours._loaded_ops) == {"gmm", "fusion_attention_v2", "npu_ring_attention_update"}
    assert ours._loaded_ops == {"gmm": "theirs"}


@on_device
def test_ring_update_is_the_operator():
    import npufa.compat

    kw = dict(random_case("ring_update", 3, layout="SBH", dtype=torch.float32).kwargs)
    tensors = [kw[f"{step}_{name}"] for step in ("prev", "cur") for name in ("attn_out", "softmax_max", "softmax_sum")]
    ours = builder()
    with npufa.compat.routed():
        got = ours._loaded_ops["npu_ring_attention_update"].npu_ring_attention_update(*tensors, None, "SBH")
    want = npufa.npu_ring_attention_update(*tensors)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@on_device
def test_attention_and_its_gradient_by_position():
    import npufa.compat

    torch.manual_seed(2)
    query, key, value, dy = (torch.randn(1, 2, 8, 16) for _ in range(4))
    slopes = torch.tensor([0.5, 0.25])
    tail = [2147483647, 2147483647, 0, None, None, None, 0, True, False, 2, [1], [0]]
    options = dict(pse=slopes, pse_type=2, q_start_idx=[1], kv_start_idx=[0])
    want = npufa.npu_fusion_attention_v2(query, key, value, 2, "BNSD", scale=0.25, **options)
    statistics = dict(softmax_max=want[1], softmax_sum=want[2], attention_in=want[0])
    want_grad = npufa.npu_fusion_attention_grad_v2(query, key, value, dy, 2, "BNSD", scale_value=0.25, **statistics,
                                                   **options)
    ours = builder()
    with npufa.compat.routed():
        operators = ours._loaded_ops["fusion_attention_v2"]
        got = operators.npu_fusion_attention_v2(query, key, value, 2, "BNSD", slopes, None, None, 0.25, 1.0, *tail)
        grad = operators.npu_fusion_attention_grad_v2(
            query, key, value, dy, 2, "BNSD", slopes, None, None, want[1], want[2], None, want[0], 0.25, 1.0, *tail[:3],
            0, 0, 0, *tail[3:])
    assert torch.equal(got[0], want[0]) and len(grad) == 4
    assert all(torch.equal(a, b) for a, b in zip(grad, want_grad))
