"""Which level computes, what is logged and counted, and that a caller's mistake stays an error."""

import logging
import weakref

import pytest
import torch

import npufa
from cases import fusion, illegal
from cases.device import on_device
from cases.draw import Draw
from npufa.monitor import Monitor
from npufa.robust import RobustAttention
from npufa.robust._call import OPERATORS
from robust.faults import Faults, pieces

INFER = "npu_fused_infer_attention_score"
SETTINGS = {"num_heads": 4, "num_key_value_heads": 2, "input_layout": "BNSD", "scale": 0.25}


def inputs(device="cpu", **options):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 4, 6, 16), (2, 2, 8, 16), (2, 2, 8, 16))
    return [torch.randn(s, generator=generator).to(device).requires_grad_(**options) if options else
            torch.randn(s, generator=generator).to(device) for s in shapes]


def broken():
    return RuntimeError("aclnnFlashAttentionScore failed, error code 507015")


def out_of_memory():
    return RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB")


def test_without_a_failure_it_is_the_operator():
    robust = RobustAttention()
    with Faults(broken, when=lambda call: False) as calls:
        output, lse = robust(npufa.npu_fused_infer_attention_score, *inputs(), **SETTINGS, softmax_lse_flag=True)
    expected = npufa.npu_fused_infer_attention_score(*inputs(), **SETTINGS, softmax_lse_flag=True)
    assert torch.equal(output, expected[0]) and torch.equal(lse, expected[1])
    assert calls.done == [INFER] and robust.counts == {}
    single = robust("npu_prompt_flash_attention", *inputs(), num_heads=4, num_key_value_heads=2, input_layout="BNSD")
    assert isinstance(single, torch.Tensor)


def test_a_failure_goes_on_by_torch_is_logged_once_and_counted(caplog):
    robust = RobustAttention()
    with caplog.at_level(logging.WARNING, "npufa.robust"), Monitor() as monitor, Faults(broken) as faults:
        results = [robust(INFER, *inputs(), **SETTINGS, sparse_mode=3) for _ in range(3)]
    expected = npufa.npu_fused_infer_attention_score(*inputs(), **SETTINGS, sparse_mode=3)[0]
    for output, lse in results:
        torch.testing.assert_close(output, expected)
        assert lse.shape == (0,)
    assert faults.raised == 3 and faults.done == []
    assert robust.counts == monitor.degradations() == {(INFER, "torch"): 3}
    assert [r.getMessage() for r in caplog.records] == [f"npufa.robust: {INFER} goes on by torch after: {broken()}"]


def test_the_first_error_is_raised_when_nothing_is_left():
    with Faults(broken), pytest.raises(RuntimeError, match="507015") as failure:
        RobustAttention(fallback_to_torch=False)(INFER, *inputs(), **SETTINGS)
    assert not getattr(failure.value, "__notes__", [])
    with Faults(broken), pytest.raises(RuntimeError, match="507015") as failure:
        RobustAttention()("npu_fusion_attention", *inputs(), 4, "BNSD", scale=0.25, keep_prob=0.5)
    assert "keep_prob is not for scaled_dot_product_attention" in failure.value.__notes__[0]


@pytest.mark.parametrize("entry", [e for e in illegal.TABLE if illegal.BASES[e.base]()[0] in OPERATORS], ids=str)
def test_a_wrong_call_stays_an_error(entry):
    op, kwargs = illegal.BASES[entry.base]()
    robust = RobustAttention()
    changed = kwargs | {n: v(kwargs) if callable(v) else v for n, v in entry.changes.items()}
    with pytest.raises((RuntimeError, ValueError), match=f"npufa::{op}: "):
        robust(op, **changed)
    assert robust.counts == {}


def test_what_is_no_call_of_an_operator():
    robust = RobustAttention()
    with pytest.raises(ValueError, match="operator is unknown, got 'softmax'"):
        robust("softmax", *inputs())
    with pytest.raises(TypeError, match="missing a required argument: 'value'"):
        robust(INFER, *inputs()[:2])
    with pytest.raises(TypeError, match="unexpected keyword argument 'sparsity'"):
        robust(INFER, *inputs(), sparsity=3)
    output = robust(INFER, *inputs(), num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale_value=0.25)[0]
    assert torch.equal(output, robust(INFER, *inputs(), **SETTINGS)[0])


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("fault", ["none", "torch", "split", "backward"])
def test_gradients(version, fault):
    """Against autograd of the operators; statistics come along."""
    name = fusion.op_name(version)
    extra = {"sink": torch.randn(4), "pse": torch.randn(1, 4, 6, 8), "sparse_mode": 3, "scale": 0.25}
    leaves = [*inputs(requires_grad=True), *(extra[n].requires_grad_() for n in ("sink", "pse"))]
    plain = getattr(npufa, name)(*leaves[:3], 4, "BNSD", **extra)
    weight = torch.randn_like(plain[0])
    expected = torch.autograd.grad((plain[0] * weight).sum(), leaves)
    faults = {"none": Faults(broken, when=lambda call: False), "torch": Faults(broken),
              "split": Faults(out_of_memory, when=lambda call: pieces(call) > 1),
              "backward": Faults(broken, when=lambda call: call.is_gradient)}[fault]
    robust = RobustAttention()
    with faults:
        results = robust(name, *leaves[:3], 4, "BNSD", **extra)
        gradients = torch.autograd.grad((results[0] * weight).sum(), leaves)
    for got, want in zip([*results[:3], *gradients], [*plain[:3], *expected], strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    kinds = {"none": set(), "torch": {"torch"}, "split": {"split_batch", "split_heads"}, "backward": {"torch"}}
    assert {kind for _, kind in robust.counts} == kinds[fault]
    if fault != "none":
        assert (name.replace("attention", "attention_grad"), min(kinds[fault])) in robust.counts


@pytest.mark.parametrize("version", [1, 2])
def test_halves_have_the_dropout_mask_of_the_whole(version):
    name, options = fusion.op_name(version), {"scale": 0.25, "keep_prob": 0.7}
    plain = getattr(npufa, name)(*inputs(), 4, "BNSD", **options, seed=12, offset=3)
    leaves = inputs(requires_grad=True)
    robust = RobustAttention(fallback_to_torch=False)
    with Faults(out_of_memory, when=lambda call: pieces(call) > 1):
        split = robust(name, *leaves, 4, "BNSD", **options, seed=12, offset=3)
        gradients = torch.autograd.grad(split[0].sum(), leaves)
        drawn = robust(name, *leaves, 4, "BNSD", **options)
    torch.testing.assert_close(split[0], plain[0])
    assert list(split[4:]) == list(plain[4:])
    again = inputs(requires_grad=True)
    output = getattr(npufa, name)(*again, 4, "BNSD", **options, seed=12, offset=3)[0]
    expected = torch.autograd.grad(output.sum(), again)
    torch.testing.assert_close(gradients, expected)
    whole = getattr(npufa, name)(*inputs(), 4, "BNSD", **options, seed=drawn[4], offset=drawn[5])
    assert drawn[4] != 0
    torch.testing.assert_close(drawn[0], whole[0])


def test_a_dropout_mask_is_differentiated_by_the_operator():
    mask = Draw(0).integers((2 * 4 * 6 * 8 // 8,), 0, 255, torch.uint8)
    options = {"scale": 0.25, "keep_prob": 0.7, "dropout_mask": mask}
    leaves, again = inputs(requires_grad=True), inputs(requires_grad=True)
    got = torch.autograd.grad(RobustAttention()("npu_fusion_attention", *leaves, 4, "BNSD", **options)[0].sum(), leaves)
    want = torch.autograd.grad(npufa.npu_fusion_attention(*again, 4, "BNSD", **options)[0].sum(), again)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_autocast():
    leaves, again = inputs(requires_grad=True), inputs(requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        got = RobustAttention()("npu_fusion_attention", *leaves, 4, "BNSD", scale=0.25)[0]
        want = npufa.npu_fusion_attention(*again, 4, "BNSD", scale=0.25)[0]
    assert got.dtype == want.dtype == torch.bfloat16 and torch.equal(got, want)
    got.sum().backward()
    want.sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(leaves, again, strict=True))


def test_what_failed_holds_no_memory_while_halves_run():
    held_by_the_failure = []

    def failing():
        tensor = torch.zeros(10)
        held_by_the_failure.append(weakref.ref(tensor))
        raise out_of_memory()

    def when(call):
        assert all(reference() is None for reference in held_by_the_failure)
        return pieces(call) > 4

    with Faults(failing, when=when):
        RobustAttention(fallback_to_torch=False)(INFER, *inputs(), **SETTINGS)
    assert held_by_the_failure


@on_device
def test_levels_of_npu_tensors():
    """NPU kernel, CPU kernel, torch on the CPU; results come back to the NPU."""
    from npufa.robust import RobustAttention

    want = npufa.npu_fused_infer_attention_score(*inputs(), **SETTINGS)[0]
    for failing, kinds in (((), []), (("npu",), ["cpu"]), (("npu", "cpu"), ["cpu", "torch"])):
        robust = RobustAttention()
        modes = [Faults(broken, device) for device in failing]
        for mode in modes:
            mode.__enter__()
        output = robust(INFER, *inputs("npu"), **SETTINGS)[0]
        for mode in reversed(modes):
            mode.__exit__(None, None, None)
        assert output.device.type == "npu" and [kind for _, kind in robust.counts] == kinds
        torch.testing.assert_close(output.cpu(), want, atol=1e-5, rtol=1e-4)


@on_device
def test_training_on_the_npu_goes_on_by_cpu_and_by_halves():
    from npufa.robust import RobustAttention

    cpu = [t.half().requires_grad_() for t in inputs()]
    want = torch.autograd.grad(npufa.npu_fusion_attention(*cpu, 4, "BNSD", scale=0.25)[0].sum(), cpu)
    for error, when in ((broken, lambda call: True), (out_of_memory, lambda call: pieces(call) > 4)):
        leaves = [t.half().npu().requires_grad_() for t in inputs()]
        robust = RobustAttention(fallback_to_torch=False)
        with Faults(error, "npu", when):
            output = robust("npu_fusion_attention", *leaves, 4, "BNSD", scale=0.25)[0]
            gradients = torch.autograd.grad(output.sum(), leaves)
        assert robust.counts
        for got, expected in zip(gradients, want, strict=True):
            torch.testing.assert_close(got.cpu(), expected, atol=4e-3, rtol=1e-2)


@on_device
def test_a_wrong_call_of_npu_tensors_stays_an_error():
    from npufa.robust import RobustAttention

    query, key, value = inputs("npu")
    robust = RobustAttention()
    try:
        robust(INFER, query, key[:, :, :5], value, **SETTINGS)
    except (RuntimeError, ValueError) as error:
        assert str(error).startswith(f"npufa::{INFER}: value") or str(error).startswith(f"npufa::{INFER}: key")
    else:
        raise AssertionError("no error")
    assert robust.counts == {}
