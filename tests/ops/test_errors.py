"""Illegal calls raise before anything is read or written, with a message of the documented form."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cases.illegal import BASES, TABLE
from cases.model import operator
from cases.on_npu import to_meta

IN_PLACE = ("input_tokens", "input_positions", "seq_lens", "slot_mapping", "key_cache", "value_cache",
            "k_cache", "ckv_cache")


def illegal_call(entry):
    """(operator name, arguments) of one entry of the table."""
    op, kw = BASES[entry.base]()
    changed = {n: v(kw) if callable(v) else v for n, v in entry.changes.items()}
    return op, kw | changed


def check_raises(op, kw, entry):
    with pytest.raises((RuntimeError, ValueError)) as caught:
        operator(op)(**kw)
    message = str(caught.value)
    op = op.partition(".")[0]
    assert re.search(rf"npufa::{op}: ", message), message
    names = "|".join(entry.names)
    assert re.search(rf"npufa::{op}: .*\b({names})\b", message, re.S), f"{entry.names} not in: {message}"
    assert re.search(r"\bgot\b.*\bexpected\b", message, re.S), message


@pytest.mark.parametrize("base", BASES)
def test_the_unchanged_call_is_legal(base):
    op, kw = BASES[base]()
    operator(op)(**kw)


@pytest.mark.parametrize("entry", TABLE, ids=str)
def test_illegal_call(entry):
    op, kw = illegal_call(entry)
    before = {n: kw[n].clone() for n in IN_PLACE if isinstance(kw.get(n), torch.Tensor)}
    check_raises(op, kw, entry)
    for name, value in before.items():
        assert torch.equal(kw[name], value), f"{name} was written to"


def faked(mode, value):
    if isinstance(value, list):
        return [faked(mode, part) for part in value]
    return mode.from_tensor(value) if isinstance(value, torch.Tensor) else value


TRACEABLE = [entry for entry in TABLE if not entry.by_value]


@pytest.mark.parametrize("entry", TRACEABLE, ids=str)
def test_illegal_call_on_meta_tensors(entry):
    op, kw = illegal_call(entry)
    check_raises(op, {n: to_meta(v) for n, v in kw.items()}, entry)


@pytest.mark.parametrize("entry", TRACEABLE, ids=str)
def test_illegal_call_while_tracing(entry):
    op, kw = illegal_call(entry)
    with FakeTensorMode() as mode:
        check_raises(op, {n: faked(mode, v) for n, v in kw.items()}, entry)


def test_the_layout_is_suggested_when_the_shape_shows_it():
    query, key = torch.zeros(2, 6, 4, 16), torch.zeros(2, 8, 2, 16)          # BSND
    with pytest.raises(RuntimeError, match="BSND"):
        operator("npu_fusion_attention")(query, key, key, 4, "BNSD")




def test_nothing_is_drawn_by_a_failing_call():
    torch.manual_seed(1)
    op, kw = BASES["v1"]()
    with pytest.raises(RuntimeError):
        operator(op)(**kw | dict(keep_prob=0.5, sparse_mode=99))
    after = torch.rand(2)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(2))


@pytest.mark.parametrize("base", ["prompt", "incre", "fused"])
def test_inference_operators_have_no_derivative(base):
    """Differentiating an inference operator fails instead of silently losing the gradient."""
    op, kw = BASES[base]()
    result = operator(op)(**kw | dict(query=kw["query"].clone().requires_grad_()))
    out = result if isinstance(result, torch.Tensor) else result[0]
    with pytest.raises(RuntimeError):
        out.sum().backward()
