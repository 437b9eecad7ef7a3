"""Triton kernels on tensors of the simulated device, where Triton is installed."""

import importlib.util

import pytest
import torch

from cases.device import on_device

pytestmark = [pytest.mark.simulator,
              pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")]


@on_device
def test_a_kernel_is_interpreted():
    import triton
    import triton.language as tl

    @triton.jit
    def scale(x, y, count, factor: tl.constexpr, block: tl.constexpr):
        at = tl.program_id(0) * block + tl.arange(0, block)
        tl.store(y + at, tl.load(x + at, mask=at < count, other=0.0) * factor, mask=at < count)

    x, y = torch.randn(21).npu(), torch.full([24], 7.0).npu()
    scale[(3,)](x[1:], y, 20, factor=2.0, block=8)
    assert torch.equal(y.cpu(), torch.cat([2 * x.cpu()[1:], torch.full([4], 7.0)]))


@on_device
def test_a_launch_is_captured():
    import triton
    import triton.language as tl

    @triton.jit
    def double(x, y):
        at = tl.arange(0, 8)
        tl.store(y + at, 2 * tl.load(x + at))

    x, y, z = torch.ones(8).npu(), torch.zeros(8).npu(), torch.zeros(8).npu()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        x += 1
        double[(1,)](x, y)
        z.copy_(y)
    assert y.tolist() == [0] * 8
    for value in (4, 6):
        graph.replay()
        assert z.tolist() == [value] * 8


@on_device
def test_parts_of_blocks():
    import triton
    import triton.language as tl
    from triton.language.extra.cann import extension

    globals().update(vars(extension))  # where kernels look names up

    @triton.jit
    def move(x, y):
        block = tl.load(x + tl.arange(0, 8))
        part = extract_slice(block, (4,), (2,), (1,))  # noqa: F821
        last = get_element(block, (7,))  # noqa: F821
        tl.store(y + tl.arange(0, 8), insert_slice(block, part + last, (1,), (2,), (1,)))  # noqa: F821

    x, y = torch.arange(8.0).npu(), torch.zeros(8).npu()
    move[(1,)](x, y)
    assert y.tolist() == [0, 4 + 7, 5 + 7, 3, 4, 5, 6, 7]


@on_device
def test_the_chip_is_the_device():
    import triton

    properties = triton.runtime.driver.active.utils.get_device_properties(0)
    assert properties == {"num_aicore": 20, "num_vectorcore": 40}
    assert triton.runtime.driver.active.get_active_torch_device() == torch.device("npu:0")
