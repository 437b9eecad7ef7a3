"""Definitions of operators as the build exports them: every kind of input and attribute, and npufa's own."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

import npufa.graph.op_defs
from npufa.graph.op_defs import AttrDef, TensorDef


@pytest.fixture
def of_test_operators(monkeypatch):
    """Those of tests/sim/cann/ops."""
    files = (Path(entry) / "cann_ops" / "op_defs.json" for entry in sys.path)
    monkeypatch.setattr(npufa.graph.op_defs, "FILE", next(path for path in files if path.exists()))
    npufa.graph.op_defs.op_defs.cache_clear()
    yield npufa.graph.op_defs.op_defs()
    npufa.graph.op_defs.op_defs.cache_clear()


def test_every_kind(of_test_operators):
    attrs = of_test_operators["TestScaledAdd"].attrs
    assert [dataclasses.astuple(attr)[1:] for attr in attrs] == [
        ("Float", True, None), ("Int", False, 0), ("Str", False, "add"), ("Bool", False, False),
        ("ListInt", False, [1, 2]), ("ListFloat", False, [0.5]), ("ListBool", False, [True, False, True])]  # fmt: skip
    assert of_test_operators["TestListTotal"].inputs[0].presence == "dynamic"


def test_npufas_own():
    prompt = npufa.graph.op_defs.op_defs()["NpufaPromptFlashAttention"]
    assert prompt.input("actual_seq_lengths") == TensorDef("actual_seq_lengths", "optional", ("DT_INT64",), "optional")
    assert prompt.input("query").presence == "required"
    assert set(prompt.input("query").types) == {"DT_FLOAT16", "DT_BF16", "DT_FLOAT", "DT_INT8"}
    assert prompt.attr("scale_value") == AttrDef("scale_value", "Float", False, 1)
    assert prompt.attr("num_heads").required
    assert prompt.input("num_heads") is None is prompt.attr("query")
    assert [tensor.name for tensor in prompt.outputs] == ["attention_out"]


def test_no_list_must_be_a_constant():
    """Lengths and the size of a dropout mask may be symbols of a graph."""
    tensors = [tensor for op_def in npufa.graph.op_defs.op_defs().values() for tensor in op_def.inputs]
    assert {tensor.value_depend for tensor in tensors} == {None, "optional"}


def test_missing_file(monkeypatch, tmp_path):
    monkeypatch.setattr(npufa.graph.op_defs, "FILE", tmp_path / "op_defs.json")
    npufa.graph.op_defs.op_defs.cache_clear()
    with pytest.raises(RuntimeError, match="op_defs.json is missing: run ./build.sh build"):
        npufa.graph.op_defs.op_defs()
    (tmp_path / "op_defs.json").write_text(json.dumps({}))
    assert npufa.graph.op_defs.op_defs() == {}
    npufa.graph.op_defs.op_defs.cache_clear()
