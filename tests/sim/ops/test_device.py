"""What a prefill call does on the simulated NPU besides computing: chips, repetition, memory."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import npufa.sim
from cases import Draw
from cases.device import SOC, on_device
from cases.on_npu import poison, to_npu
from npufa.sim._native import native
from sim.ops.prefill import prefill

CHIP_CALL = """
import sys, npufa.sim
npufa.sim.enable(sys.argv[1])
from sim.ops.prefill import prefill
import torch
assert torch.npu.get_device_name() == sys.argv[1]
for dtype in (torch.float16, torch.bfloat16):
    prefill(sq=300, skv=500, dim=64, dtype=dtype, sparse_mode=3).verify()
"""


def cases():
    """More tiles than a chip has cores."""
    yield prefill(batch=1, heads=8, sq=500, skv=300, dim=16, sparse_mode=3)
    bias = Draw(1).normal((1, 9, 130, 300), torch.bfloat16)
    yield prefill("BSH", batch=3, heads=9, kv_heads=3, sq=130, skv=300, dtype=torch.bfloat16, pse_shift=bias,
                  actual_seq_lengths=[130, 1, 77])  # fmt: skip


@pytest.mark.simulator
@on_device
def test_every_chip_gives_the_same_bits():
    expected = [case.verify() for case in cases()]
    try:
        for chip in npufa.sim.chips():
            assert native().npufa_sim_select_chip(chip.encode()) == 0
            for case, bits in zip(cases(), expected, strict=True):
                assert torch.equal(case.call(), bits), chip
    finally:
        native().npufa_sim_select_chip(SOC.encode())


@pytest.mark.simulator
def test_other_chip_family():
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{CHIP_CALL}"
    done = subprocess.run([sys.executable, "-c", code, "Ascend910_9391"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@on_device
def test_repeated_calls_give_the_same_bits():
    for case in cases():
        first = case.verify()
        for _ in range(3):
            assert torch.equal(case.call(), first)


@on_device
def test_inputs_are_left_alone():
    bias = Draw(2).normal((1, 4, 33, 40), torch.float16)
    case = prefill(atten_mask=Draw(1).mask((33, 40)), pse_shift=bias, sparse_mode=1)
    tensors = {name: to_npu(value) for name, value in case.kwargs.items()}
    torch.ops.npufa.npu_prompt_flash_attention(**tensors)
    for name, value in case.kwargs.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(tensors[name].cpu(), value), name


@on_device
def test_results_are_written_over_poison():
    """The tests would see an element that the kernel does not write."""
    case = prefill()
    tensors = {name: to_npu(value) for name, value in case.kwargs.items()}
    address = poison((2, 4, 33, 32), torch.float16)
    out = torch.ops.npufa.npu_prompt_flash_attention(**tensors)
    assert out.data_ptr() == address and not out.isnan().any()


@on_device
def test_views_keep_their_strides_on_the_device():
    x = torch.arange(60)
    for view in (x.view(3, 4, 5).transpose(0, 2), x.view(3, 20)[:, 3::2], x[4:], x[:1].expand(7)):
        moved = to_npu(view)
        assert (moved.stride(), moved.storage_offset()) == (view.stride(), view.storage_offset())
        assert torch.equal(moved.cpu(), view)


@on_device
def test_memory_is_given_back():
    case = prefill(sq=300, skv=700)
    case.call()
    before = torch.npu.memory_allocated()
    for _ in range(3):
        case.call()
    assert torch.npu.memory_allocated() == before


@on_device
def test_on_a_stream():
    case = prefill()
    expected = case.verify()
    with torch.npu.stream(torch.npu.Stream()):
        assert torch.equal(case.call(), expected)


@pytest.mark.simulator
@on_device
def test_without_checks():
    for case in cases():
        expected = case.verify()
        npufa.sim.set_check(False)
        try:
            assert torch.equal(case.call(), expected)
        finally:
            npufa.sim.set_check(True)


@on_device
def test_calls_from_several_threads():
    drawn = list(cases())
    expected = [case.verify() for case in drawn]
    with ThreadPoolExecutor(4) as pool:
        for found, bits in zip(pool.map(lambda case: case.call(), drawn * 4), expected * 4, strict=True):
            assert torch.equal(found, bits)
