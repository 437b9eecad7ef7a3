"""Which operator is chosen, configured and available."""

import sys

import pytest
import torch

import npufa
from npufa.advisor import HARDWARE, OPERATORS, available_operators, choose_operator, recommended_config
from npufa.ops import fusion, inference, step

FUSED = "npu_fused_infer_attention_score"


@pytest.mark.parametrize(("use_case", "version", "expected"), [
    ("training", "2.1", "npu_fusion_attention"), ("inference", "2.1.0", "npu_incre_flash_attention"),
    ("inference", "2.3", FUSED), ("inference", "2.3.0rc1", FUSED), ("inference", "2.10.0", FUSED),
    ("inference", "2.10.0.post2", FUSED), ("inference", "2.13.0+cpu", FUSED), ("inference", None, FUSED),
    ("research", "2.2.9", "npu_incre_flash_attention"), ("prefill", "2.3", FUSED),
    ("vllm", "2.5.1", "npu_advance_step_flashattn"),
    ("training_graph", None, "npu_fusion_attention_v3"), ("vllm", "2.10", "npu_advance_step_flashattn"),
])
def test_choice(use_case, version, expected):
    assert choose_operator(use_case, version=version) == expected


def test_choice_with_sinks():
    assert choose_operator("decode", sinks=True) == FUSED + "_v2"
    with pytest.raises(ValueError, match="expected at least 2.13"):
        choose_operator("decode", sinks=True, version="2.5")


@pytest.mark.parametrize(("call", "message"), [
    (lambda: choose_operator("gaming"), "use_case is unknown, got 'gaming'; expected one of training"),
    (lambda: choose_operator("vllm", version="2.4.9"), "no operator for vllm, got 2.4.9; expected at least 2.5"),
    (lambda: choose_operator("prefill", version="2.1"), "no operator for prefill, got 2.1; expected at least 2.3"),
    (lambda: choose_operator("vllm", version="new"), "version cannot be read, got 'new'"),
    (lambda: recommended_config("softmax", "inference", head_dim=64), "no attention operator, got 'softmax'"),
    (lambda: recommended_config(FUSED, "training", head_dim=64), "has no gradient"),
    (lambda: recommended_config(FUSED, "serving", head_dim=64), "use_case is unknown, got 'serving'"),
    (lambda: recommended_config(FUSED, "inference", head_dim=0), "head_dim is too small, got 0"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "npu_advance_step_flashattn"])
def test_recommended_settings_are_legal_and_scaled(operator):
    rows = 1 if "incre" in operator else 5
    query, key = torch.randn(1, 2, rows, 16), torch.randn(1, 2, 5, 16)
    heads = "head_num" if "fusion" in operator else "num_query_heads" if operator.endswith("_v2") else "num_heads"
    config = recommended_config(operator, "inference", head_dim=16)
    result = getattr(npufa, operator)(query, key, key, **{heads: 2}, input_layout="BNSD", **config)
    output = result if isinstance(result, torch.Tensor) else result[0]
    want = torch.nn.functional.scaled_dot_product_attention(query, key, key, is_causal=rows > 1)
    torch.testing.assert_close(output, want, atol=1e-5, rtol=1e-4)


def test_tables():
    names = fusion.__all__ + inference.__all__ + step.__all__
    assert set(OPERATORS) == {name for name in names if "_grad" not in name}
    assert HARDWARE["Atlas 800 A2"].training and not HARDWARE["Atlas 200I A2"].training


def test_available_operators_does_not_import_torch_npu():
    before = "torch_npu" in sys.modules
    found = available_operators()
    assert ("torch_npu" in sys.modules) == before
    assert found.npufa == tuple(OPERATORS)
    assert (found.problem is None) == bool(found.torch_npu)
    assert set(found.torch_npu) <= set(OPERATORS)


def test_without_torch_npu(monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert available_operators().problem == "torch_npu is not installed"


def test_an_imported_torch_npu_is_asked_directly(monkeypatch):
    import importlib.metadata
    import types

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.0")
    monkeypatch.setitem(sys.modules, "torch_npu", types.SimpleNamespace(npu_fusion_attention=None))
    found = available_operators()
    assert (found.torch_npu, found.torch_npu_version) == (("npu_fusion_attention",), "2.1.0")
