"""torch's own attention on NPU tensors while compat is installed."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from cases.device import on_device


def heads(dtype=torch.float16, kv_heads=4):
    torch.manual_seed(3)
    return [torch.randn(2, n, s, 32).to(dtype) for n, s in ((4, 40), (kv_heads, 56), (kv_heads, 56))]


def launched(run):
    """Whether npufa's training or inference operator was called."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func.name())
            return func(*args, **(kwargs or {}))

    with Seeing():
        result = run()
    return result, any(name.startswith("npufa::") for name in seen)


FORMS = {
    "plain": {},
    "causal": dict(is_causal=True),
    "scale": dict(scale=0.3),
    "boolean mask": dict(attn_mask=torch.rand(40, 56) < 0.7),
    "additive mask": dict(attn_mask=torch.randn(2, 1, 40, 56).half()),
    "grouped": dict(enable_gqa=True),
}


@pytest.mark.parametrize("form", FORMS)
@on_device
def test_scaled_dot_product_attention(form):
    import npufa.compat

    settings = FORMS[form]
    tensors = heads(kv_heads=2 if form == "grouped" else 4)
    expected_inputs = [t.double().requires_grad_() for t in tensors]
    wide = {n: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for n, v in settings.items()}
    expected = F.scaled_dot_product_attention(*expected_inputs, **wide)
    expected_grads = torch.autograd.grad(expected.square().sum(), expected_inputs)
    inputs = [t.npu().requires_grad_() for t in tensors]
    moved = {n: v.npu() if isinstance(v, torch.Tensor) else v for n, v in settings.items()}
    with npufa.compat.routed(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        out = F.scaled_dot_product_attention(*inputs, **moved)
        grads = torch.autograd.grad(out.float().square().sum(), inputs)
        with torch.inference_mode():
            again = F.scaled_dot_product_attention(*inputs, **moved)
        with torch.no_grad():
            _, ours = launched(lambda: F.scaled_dot_product_attention(*inputs, **moved))
    assert ours
    for got, want in zip((out, again, *grads), (expected, expected, *expected_grads), strict=True):
        torch.testing.assert_close(got.detach().cpu().double(), want, atol=0.02, rtol=0.01)


@on_device
def test_dropout_is_drawn_and_scaled():
    import npufa.compat

    query, key, _ = (t.npu() for t in heads(torch.float32))
    ones = torch.ones(2, 4, 56, 32).npu()
    with npufa.compat.routed():
        out, ours = launched(lambda: F.scaled_dot_product_attention(query, key, ones, dropout_p=0.5))
    assert ours and 0.9 < out.mean().item() < 1.1 and out.std().item() > 0.05


@on_device
def test_what_npufa_cannot_do_is_left_to_torch_and_said_once():
    import npufa.compat
    from npufa.compat import _torch

    tensors = heads(torch.float64)
    expected = F.scaled_dot_product_attention(*tensors, is_causal=True)
    _torch._warned = False
    with npufa.compat.routed(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            got = F.scaled_dot_product_attention(*(t.npu() for t in tensors), is_causal=True)
    torch.testing.assert_close(got.cpu(), expected)
    assert [str(w.message).partition(",")[0] for w in said if "npufa" in str(w.message)] == [
        "npufa.compat: scaled_dot_product_attention leaves this call"]


@on_device
def test_torch_npus_own_kernels_are_back_afterwards():
    import npufa.compat

    def kernels():
        return [line for line in torch._C._dispatch_dump("aten::scaled_dot_product_attention").splitlines()
                if "PrivateUse1" in line]

    before = kernels()
    with npufa.compat.routed():
        assert kernels() != before
    assert kernels() == before


@on_device
def test_diffusers_causal_attention():
    """A stand-in for diffusers' registry of backends, which is what compat binds to."""
    import enum
    import sys
    import types

    import npufa.compat

    class Registry:
        _backends, _supported_arg_names = {}, {}

    Names = enum.Enum("Names", ["_NATIVE_NPU"])
    module = types.ModuleType("diffusers.models.attention_dispatch")
    module._AttentionBackendRegistry, module.AttentionBackendName = Registry, Names

    def theirs(query, key, value, attn_mask=None, dropout_p=0.0, scale=None, return_lse=False):
        return "theirs"

    Registry._backends[Names._NATIVE_NPU] = theirs
    Registry._supported_arg_names[Names._NATIVE_NPU] = {"query", "key", "value", "scale"}
    sys.modules[module.__name__] = module
    query, key, value = (t.transpose(1, 2).contiguous().npu() for t in heads())
    try:
        with npufa.compat.routed():
            ours = Registry._backends[Names._NATIVE_NPU]
            assert "is_causal" in Registry._supported_arg_names[Names._NATIVE_NPU]
            assert ours(query, key, value, scale=0.3) == "theirs"
            got = ours(query, key, value, scale=0.3, is_causal=True)
            with pytest.raises(ValueError, match="attn_mask does not go with is_causal"):
                ours(query, key, value, attn_mask=query, is_causal=True)
        assert Registry._backends[Names._NATIVE_NPU] is theirs
        assert "is_causal" not in Registry._supported_arg_names[Names._NATIVE_NPU]
    finally:
        del sys.modules[module.__name__]
    want = F.scaled_dot_product_attention(*heads(), scale=0.3, is_causal=True)
    torch.testing.assert_close(got.transpose(1, 2).cpu(), want, atol=5e-3, rtol=5e-3)


@on_device
def test_compiled():
    import npufa.compat

    inputs = [t.npu().requires_grad_() for t in heads(kv_heads=2)]

    def step(query, key, value):
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True) + 1

    with npufa.compat.routed():
        want = step(*inputs)
        torch._dynamo.reset()
        got = torch.compile(step, backend="aot_eager", fullgraph=True)(*inputs)
        grads = [torch.autograd.grad(t.float().square().sum(), inputs) for t in (got, want)]
    assert torch.equal(got, want) and all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
