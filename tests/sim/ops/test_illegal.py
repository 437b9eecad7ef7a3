"""Illegal and unsupported prefill calls on the simulated NPU: nothing is launched, and the next call works."""

import npufa
import pytest
import torch
from cases import Draw
from cases.device import on_device
from cases.illegal import BASES, PROMPT_CALLS
from cases.model import operator
from sim.ops.prefill import prefill, to_npu


def launched(call):
    """Kernels that `call` launches."""
    return npufa.sim.profile(call).kernels


def message(op, kw):
    with pytest.raises((RuntimeError, ValueError)) as error:
        operator(op)(**kw)
    return str(error.value)


@on_device
def test_illegal_calls_raise_what_they_raise_on_the_cpu():
    def run():
        for entry in PROMPT_CALLS:
            op, kw = BASES[entry.base]()
            kw |= {name: value(kw) if callable(value) else value for name, value in entry.changes.items()}
            expected = message(op, kw)
            assert f"npufa::{op}: " in expected and any(name in expected for name in entry.names)
            assert message(op, {name: to_npu(value) for name, value in kw.items()}) == expected, str(entry)

    assert not launched(run)
    prefill().verify()


UNSUPPORTED = {
    "query": lambda kw: {name: kw[name].float() for name in ("query", "key", "value")},
    "quant_scale2": lambda kw: {"quant_scale2": torch.ones(1)},
    "quant_scale2, quant_offset2": lambda kw: {"quant_scale2": torch.ones(1), "quant_offset2": torch.ones(1)},
    "padding_mask": lambda kw: {"padding_mask": torch.zeros(2, 8)},
}


@pytest.mark.parametrize("names", UNSUPPORTED)
@on_device
def test_unsupported_arguments_are_named(names):
    def run():
        op, kw = BASES["prompt"]()
        kw = {name: to_npu(value) for name, value in (kw | UNSUPPORTED[names](kw)).items()}
        text = message(op, kw)
        assert f"npufa::{op}: " in text and any(name in text for name in names.split(", ")), text

    assert not launched(run)
    prefill().verify()


@on_device
def test_int8_is_refused():
    def run():
        op, kw = BASES["prompt int8"]()
        text = message(op, {name: to_npu(value) for name, value in kw.items()})
        assert f"npufa::{op}: " in text and "query" in text and "INT8" in text.upper(), text

    assert not launched(run)
    prefill().verify()


@pytest.mark.parametrize("name", ["key", "value", "atten_mask", "pse_shift"])
@on_device
def test_every_tensor_lies_on_one_device(name):
    bias = Draw(1).normal((2, 4, 33, 40), torch.float16)
    case = prefill(atten_mask=Draw(1).mask((33, 40)), pse_shift=bias, sparse_mode=1)
    kw = {n: value if n == name else to_npu(value) for n, value in case.kwargs.items()}
    assert not launched(lambda: f"{name} is on another device than query" in message(case.op, kw) or pytest.fail(name))
    case.verify()
