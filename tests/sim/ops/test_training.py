"""Training on NPU tensors: gradients through autograd, and dropout that the backward pass and the CPU repeat."""

import pytest
import torch

import npufa
from cases import Draw
from cases.device import on_device

SIZES = {"BNSD": ((2, 4, 33, 16), (2, 2, 40, 16)), "TND": ((40, 4, 16), (50, 2, 16))}
LENGTHS = {"actual_seq_qlen": [7, 40], "actual_seq_kvlen": [30, 50]}
OPERATORS = {1: npufa.npu_fusion_attention, 2: npufa.npu_fusion_attention_v2, 3: npufa.npu_fusion_attention_v3}


def leaves(layout="BNSD", dtype=torch.float32, **more):
    """query, key, value and further tensors that want gradients, on the CPU."""
    q, k = SIZES[layout]
    shapes = {"query": q, "key": k, "value": k, **more}
    d = Draw(1)
    return {name: d.normal(shape, dtype).requires_grad_() for name, shape in shapes.items()}


def gradients(version, tensors, device, dy, **kw):
    """Results of the call on a device and the gradient of every tensor, both on the CPU."""
    moved = {name: t.detach().to(device).requires_grad_() for name, t in tensors.items()}
    kw = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in kw.items()}
    results = OPERATORS[version](**moved, head_num=4, scale=0.25, **kw)
    results[0].backward(dy.to(device))
    return results, {name: t.grad.cpu() for name, t in moved.items()}


def compare(version, tensors, **kw):
    """The NPU's output and gradients against the CPU's; returns the NPU's results."""
    dy = torch.randn(tensors["query"].shape, generator=torch.Generator().manual_seed(2)).to(tensors["query"].dtype)
    results, found = gradients(version, tensors, "npu", dy, **kw)
    seed = {"seed": int(results[4]), "offset": int(results[5])} if "keep_prob" in kw else {}
    if version == 3:
        for name in ("actual_seq_qlen", "actual_seq_kvlen"):
            if name in kw:
                kw[name] = kw[name].tolist()
    expected_results, expected = gradients(1 if version == 3 else version, tensors, "cpu", dy, **kw, **seed)
    close = {"rtol": 1e-4, "atol": 1e-4} if dy.dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(results[0].cpu(), expected_results[0], **close)
    for name in tensors:
        torch.testing.assert_close(found[name], expected[name], **close, msg=lambda text, n=name: f"d{n}: {text}")
    return results


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("version", OPERATORS)
@on_device
def test_gradients_through_autograd(version, dtype):
    compare(version, leaves(dtype=dtype), input_layout="BNSD", sparse_mode=3)


@pytest.mark.parametrize("version", OPERATORS)
@on_device
def test_gradients_of_a_packed_batch(version):
    lengths = {n: torch.tensor(v) for n, v in LENGTHS.items()} if version == 3 else LENGTHS
    compare(version, leaves("TND"), input_layout="TND", sparse_mode=3, **lengths)


@on_device
def test_gradients_of_every_input():
    compare(1, leaves(pse=(1, 4, 33, 40), sink=(4,)), input_layout="BNSD")
    compare(2, leaves(pse=(2, 4, 1, 40), query_rope=(2, 4, 33, 8), key_rope=(2, 2, 40, 8)), input_layout="BNSD")
    compare(2, leaves(pse=(4,)), input_layout="BNSD", pse_type=2)


@pytest.mark.parametrize("version", OPERATORS)
@on_device
def test_drawn_dropout_is_the_same_in_both_passes_and_on_the_cpu(version):
    results = compare(version, leaves(), input_layout="BNSD", keep_prob=0.7)
    assert int(results[4]) != 0


@on_device
def test_given_dropout_mask():
    mask = torch.randint(0, 256, (2 * 4 * 33 * 40 // 8,), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    for version in (1, 2):
        compare(version, leaves(), input_layout="BNSD", keep_prob=0.5, dropout_mask=mask)


def seeds(count):
    """(seed, offset) of calls that draw them, and the number of scores."""
    tensors = {name: t.detach().npu() for name, t in leaves().items()}
    return [npufa.npu_fusion_attention(**tensors, head_num=4, input_layout="BNSD", keep_prob=0.5)[4:]
            for _ in range(count)]  # fmt: skip


@on_device
def test_seeds_come_from_the_devices_generator():
    torch.npu.manual_seed(7)
    first = seeds(3)
    scores = first[0][2]
    counters = -(-scores // 4)
    assert first == [(7, i * counters, scores) for i in range(3)]  # masks that do not overlap
    torch.npu.manual_seed(7)
    assert seeds(3) == first
    torch.npu.manual_seed(8)
    assert seeds(1) == [(8, 0, scores)]
    torch.npu.manual_seed(0)  # 0 given to the operator draws a seed
    assert seeds(1)[0][0] != 0
    before = torch.npu.get_rng_state()
    tensors = {name: t.detach().npu() for name, t in leaves().items()}
    npufa.npu_fusion_attention(**tensors, head_num=4, input_layout="BNSD", keep_prob=0.5, seed=3)
    npufa.npu_fusion_attention(**tensors, head_num=4, input_layout="BNSD")
    assert torch.equal(torch.npu.get_rng_state(), before)


@on_device
def test_empty_tensors_have_gradients():
    for layout, empty in (("BNSD", ("key", "value")), ("BNSD", ("query",))):
        tensors = leaves()
        for name in empty:
            tensors[name] = tensors[name].detach()[:, :, :0].requires_grad_()
        compare(1, tensors, input_layout=layout)
