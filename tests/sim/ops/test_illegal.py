"""Illegal calls on the simulated NPU: nothing is launched, and the next call works."""

import pytest
import torch

import npufa
from cases import Draw
from cases.device import on_device
from cases.illegal import BASES, TABLE
from cases.lengths import ARGUMENTS as LENGTHS
from cases.model import operator
from cases.on_npu import to_npu
from sim.ops.prefill import prefill

SLOTS = {"slot_mapping", "index"}
ON_DEVICE = {"block_table", "slot_mapping", "slot_indices", "seq_lens", "seq_offset", "index"}


def launched(call):
    """Kernels that `call` launches; a real chip does not tell."""
    if npufa.sim.status().soc is None:
        call()
        return None
    return npufa.sim.profile(call).kernels


def message(op, kw):
    with pytest.raises((RuntimeError, ValueError)) as error:
        operator(op)(**kw)
    return str(error.value)


def seen_by_the_host(entry):
    """Ids of blocks, slots and the values that advance_step reads are on the device: kernels deal with them."""
    return not (entry.by_value and (set(entry.names) & ON_DEVICE or entry.base.startswith(("advance", "ring"))))


CALLS = [entry for entry in TABLE if seen_by_the_host(entry)]


@pytest.mark.parametrize("base", sorted({entry.base for entry in CALLS}))
@on_device
def test_illegal_calls_raise_what_they_raise_on_the_cpu(base):
    def run():
        for entry in CALLS:
            if entry.base != base:
                continue
            op, kw = BASES[base]()
            kw |= {name: value(kw) if callable(value) else value for name, value in entry.changes.items()}
            expected = message(op, kw)
            assert f"npufa::{op.partition('.')[0]}: " in expected and any(name in expected for name in entry.names)
            # Lengths stay on the host: on the device their values would be seen by kernels only.
            host = () if base.startswith("ring") else LENGTHS
            moved = {name: value if name in host else to_npu(value) for name, value in kw.items()}
            assert message(op, moved) == expected, str(entry)

    assert not launched(run)
    prefill().verify()


@on_device
def test_padding_mask_is_reserved():
    for base in ("v1", "v2", "v3", "prompt", "incre"):
        op, kw = BASES[base]()
        kw = {name: to_npu(value) for name, value in (kw | {"padding_mask": torch.zeros(2, 8)}).items()}
        assert not launched(lambda: "padding_mask is reserved" in message(op, kw) or pytest.fail(base))  # noqa: B023


@pytest.mark.parametrize("name", ["key", "value", "atten_mask", "pse_shift"])
@on_device
def test_every_tensor_lies_on_one_device(name):
    bias = Draw(1).normal((2, 4, 33, 40), torch.float16)
    case = prefill(atten_mask=Draw(1).mask((33, 40)), pse_shift=bias, sparse_mode=1)
    kw = {n: value if n == name else to_npu(value) for n, value in case.kwargs.items()}
    assert not launched(lambda: f"{name} is on another device than query" in message(case.op, kw) or pytest.fail(name))
    case.verify()


@pytest.mark.simulator
@pytest.mark.parametrize("entry", [entry for entry in TABLE if entry.by_value and "block_table" in entry.names],
                         ids=str)
@on_device
def test_a_block_that_does_not_exist_is_reported_not_read(entry):
    op, kw = BASES[entry.base]()
    moved = {name: to_npu(value) for name, value in (kw | entry.changes).items()}
    text = message(op, moved)
    assert "[out-of-bounds]" in text and "key" in text, text
    operator(op)(**{name: to_npu(value) for name, value in kw.items()})


@pytest.mark.simulator
@pytest.mark.parametrize("entry", [entry for entry in TABLE if entry.by_value and SLOTS & set(entry.names)], ids=str)
@on_device
def test_a_slot_beyond_the_cache_ends_the_kernel(entry):
    op, kw = BASES[entry.base]()
    assert "[trap]" in message(op, {name: to_npu(value) for name, value in (kw | entry.changes).items()})
    operator(op)(**{name: to_npu(value) for name, value in kw.items()})
