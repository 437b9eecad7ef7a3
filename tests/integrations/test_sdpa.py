"""scaled_dot_product_attention under npufa.integrations.sdpa against torch's own, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from cases.device import on_device
from integrations.calls import Calls
from npufa.integrations import UnsupportedError, sdpa

CPU = ("cpu", "npu")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def mask(*shape):
    kept = torch.rand(*shape) > 0.4
    kept[..., 0] = True
    return kept


# query, key and value shapes, and the other arguments (built after the seed is set)
CASES = {
    "plain": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), dict),
    "scale": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"scale": 0.5}),
    "causal": ((2, 4, 9, 16), (2, 4, 9, 16), (2, 4, 9, 16), lambda: {"is_causal": True}),
    "causal, more keys": ((2, 4, 5, 16), (2, 4, 9, 16), (2, 4, 9, 16), lambda: {"is_causal": True}),
    "causal, fewer keys": ((2, 4, 9, 16), (2, 4, 5, 16), (2, 4, 5, 16), lambda: {"is_causal": True}),
    "causal, one row": ((2, 4, 1, 16), (2, 4, 9, 16), (2, 4, 9, 16), lambda: {"is_causal": True}),
    "grouped heads": ((2, 6, 9, 16), (2, 2, 7, 16), (2, 2, 7, 16), lambda: {"enable_gqa": True}),
    "narrow value": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 8), dict),
    "wide value": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 24), dict),
    "broadcast batch": ((2, 4, 9, 16), (1, 1, 7, 16), (1, 4, 7, 16), dict),
    "no heads": ((9, 16), (7, 16), (7, 16), lambda: {"attn_mask": mask(9, 7)}),
    "three dimensions": ((3, 9, 16), (3, 7, 16), (3, 7, 16), lambda: {"attn_mask": mask(3, 9, 7)}),
    "five dimensions": ((2, 3, 4, 9, 16), (2, 3, 4, 7, 16), (2, 3, 4, 7, 16), lambda: {"attn_mask": mask(3, 1, 9, 7)}),
    "mask": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"attn_mask": mask(9, 7)}),
    "mask of keys": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"attn_mask": mask(2, 1, 1, 7)}),
    "mask of heads": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"attn_mask": mask(4, 9, 7)}),
    "mask, one row": ((2, 4, 1, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"attn_mask": mask(2, 4, 1, 7)}),
    "masked row": ((2, 4, 3, 16), (2, 4, 7, 16), (2, 4, 7, 16),
                   lambda: {"attn_mask": torch.tensor([1, 0, 1], dtype=torch.bool)[:, None].expand(3, 7)}),
    "bias": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16), lambda: {"attn_mask": torch.randn(2, 1, 9, 7)}),
    "bias with -inf": ((2, 4, 9, 16), (2, 4, 7, 16), (2, 4, 7, 16),
                       lambda: {"attn_mask": torch.where(mask(9, 7), torch.randn(9, 7), -math.inf)}),
    "no keys": ((2, 4, 3, 16), (2, 4, 0, 16), (2, 4, 0, 16), dict),
    "no rows": ((2, 4, 0, 16), (2, 4, 7, 16), (2, 4, 7, 16), dict),
}


def arguments(case, dtype, device="cpu"):
    torch.manual_seed(5)
    *shapes, others = CASES[case]
    tensors = [torch.randn(shape).to(dtype) for shape in shapes]
    others = {name: value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
              for name, value in others().items()}
    return ([t.to(device).requires_grad_() for t in tensors],
            {name: value.to(device) if torch.is_tensor(value) else value for name, value in others.items()})


def run(tensors, others):
    return F.scaled_dot_product_attention(*tensors, **others)


def exact(tensors, others):
    """Output and gradients for a gradient of ones, in float64."""
    tensors = [t.detach().cpu().double().requires_grad_() for t in tensors]
    others = {n: v.cpu().double() if torch.is_tensor(v) and v.is_floating_point() else v for n, v in others.items()}
    others = {n: v.cpu() if torch.is_tensor(v) else v for n, v in others.items()}
    output = run(tensors, others)
    output.sum().backward()
    return [output.detach(), *(t.grad for t in tensors)]


def assert_like_torch(case, dtype, device):
    tensors, others = arguments(case, dtype, device)
    with sdpa(CPU, strict=True):
        with torch.no_grad():
            inference = run(tensors, others)
        output = run(tensors, others)
    output.sum().backward()
    got = [inference, output.detach(), *(t.grad for t in tensors)]
    expected = exact(tensors, others)
    for ours, theirs in zip(got, [expected[0], *expected]):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.cpu().double(), theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("case", CASES)
def test_like_torch(case):
    assert_like_torch(case, torch.float32, "cpu")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["causal", "grouped heads", "bias", "mask"])
def test_like_torch_in_half_precision(case, dtype):
    assert_like_torch(case, dtype, "cpu")


@on_device
def test_like_torch_on_npu():
    for case in ("plain", "causal", "causal, one row", "grouped heads", "mask", "mask of keys", "bias", "narrow value"):
        assert_like_torch(case, torch.float32, "npu")
    assert_like_torch("causal", torch.float16, "npu")


def test_npufa_computes():
    tensors, others = arguments("causal", torch.float32)
    with Calls() as calls, sdpa(CPU):
        with torch.no_grad():
            run(tensors, others)
        run(tensors, others)
    assert calls.count == {"npu_fused_infer_attention_score": 1, "npu_fusion_attention_v3": 1}


def test_other_devices_are_left_alone():
    tensors, others = arguments("causal", torch.float32)
    with Calls() as calls, sdpa(strict=True):
        output = run(tensors, others)
    assert not calls.count and torch.equal(output, run(tensors, others))


REFUSED = {
    "dtype": (lambda: ([torch.randn(2, 3, 4).double() for _ in range(3)], {}), "torch.float64"),
    "head size": (lambda: ([torch.randn(2, 3, 800) for _ in range(3)], {}), "800"),
    "functorch": (lambda: ([torch.randn(2, 3, 4) for _ in range(3)], {}), "torch.func"),
    "query without batch": (lambda: ([torch.randn(3, 4), torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4)], {}),
                            "leading dimensions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_operator(case):
    make, reason = REFUSED[case]
    tensors, others = make()

    def call():
        if case != "functorch":
            return run(tensors, others)
        return torch.vmap(F.scaled_dot_product_attention)(*tensors)

    expected = call()
    with sdpa(CPU):
        torch.testing.assert_close(call(), expected)
    with sdpa(CPU, strict=True), pytest.raises(UnsupportedError, match=reason):
        call()


def test_illegal_calls_raise_torchs_error():
    query = torch.randn(1, 2, 3, 4)
    for tensors, others in (([query, query[..., :3], query], {}), ([query] * 3, {"attn_mask": mask(4, 5)})):
        with pytest.raises(RuntimeError) as expected:
            run(tensors, others)
        with sdpa(CPU), pytest.raises(RuntimeError) as got:
            run(tensors, others)
        assert str(got.value) == str(expected.value)


def test_dropout():
    """With a unit matrix as value the output is the dropped-out probabilities themselves."""
    torch.manual_seed(0)
    query, key = torch.randn(2, 8, 64, 64), torch.randn(2, 8, 64, 64)
    value = torch.eye(64).expand(2, 8, 64, 64)
    probabilities = run([query, key, value], {})
    outputs = []
    for _ in range(2):
        torch.manual_seed(7)
        with sdpa(CPU, strict=True):
            outputs.append(run([query, key, value], {"dropout_p": 0.25}))
    assert torch.equal(*outputs)
    kept = outputs[0] != 0
    assert abs(kept.float().mean() - 0.75) < 0.01
    torch.testing.assert_close(outputs[0], probabilities * kept / 0.75, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("others", [{}, {"is_causal": True}, {"dropout_p": 0.5}, {"attn_mask": mask(9, 9)}],
                         ids=["plain", "causal", "dropout", "mask"])
def test_compiled(others):
    def inside(query):
        with sdpa(CPU, strict=True):
            return F.scaled_dot_product_attention(query, query, query, **others)

    def outside(query):
        return F.scaled_dot_product_attention(query, query, query, **others)

    query = torch.randn(2, 4, 9, 16, requires_grad=True)
    with sdpa(CPU, strict=True):
        torch.manual_seed(3)
        expected = outside(query)
        torch.manual_seed(3)
        output = torch.compile(outside, fullgraph=True, backend="aot_eager")(query)
    torch.testing.assert_close(output, expected)
    torch.manual_seed(3)
    torch.testing.assert_close(torch.compile(inside, fullgraph=True, backend="aot_eager")(query), expected)
    output.sum().backward()
    assert torch.isfinite(query.grad).all()


def test_compiled_dropout_with_bias_adds_it_after_scaling():
    query = torch.randn(2, 4, 9, 16)
    bias = torch.where(mask(9, 9), torch.randn(9, 9), -math.inf)
    call = torch.compile(lambda: F.scaled_dot_product_attention(query, query, query, attn_mask=bias, dropout_p=1e-9),
                         fullgraph=True, backend="aot_eager")
    with sdpa(CPU, strict=True):
        output = call()
    torch.testing.assert_close(output, F.scaled_dot_product_attention(query, query, query, attn_mask=bias))


@pytest.mark.parametrize("train", [False, True])
def test_transformer_encoder_layer(train):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True).train(train)
    tokens, padding = torch.randn(2, 9, 32), torch.zeros(2, 9, dtype=torch.bool)
    padding[1, 6:] = True
    with torch.set_grad_enabled(train):
        expected = layer(tokens, src_key_padding_mask=padding)
        with Calls() as calls, sdpa(CPU, strict=True):
            output = layer(tokens, src_key_padding_mask=padding)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        with sdpa(CPU, strict=True):
            traced = compiled(tokens, src_key_padding_mask=padding)
    assert sum(calls.count.values()) == 1
    for got in (output, traced):
        torch.testing.assert_close(got[~padding], expected[~padding], atol=1e-5, rtol=1e-5)


def test_multihead_attention_returns_weights():
    torch.manual_seed(0)
    layer, tokens = torch.nn.MultiheadAttention(32, 4, batch_first=True), torch.randn(2, 9, 32)
    expected = layer(tokens, tokens, tokens)
    with sdpa(CPU, strict=True):
        got = layer(tokens, tokens, tokens)
    torch.testing.assert_close(got, expected)


def test_nests_with_sdpa_kernel():
    """npufa comes first; what it refuses is torch's, by the kernel chosen there."""
    tensors, _ = arguments("plain", torch.float32)
    doubles = [t.double() for t in tensors]
    with Calls() as calls, sdpa_kernel(SDPBackend.MATH), sdpa(CPU), sdpa_kernel(SDPBackend.MATH):
        output, double = run(tensors, {}), run(doubles, {})
    assert sum(calls.count.values()) == 1
    torch.testing.assert_close(output, double.float(), atol=1e-5, rtol=1e-5)


def test_autocast():
    tensors, others = arguments("bias", torch.float32)
    tensors[0] = tensors[0].detach().bfloat16()  # as a layer before it leaves it
    with torch.autocast("cpu", torch.bfloat16):
        expected = run(tensors, others)
        with sdpa(CPU, strict=True):
            output = run(tensors, others)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output, expected, atol=3e-2, rtol=3e-2)


def test_gradient_of_the_mask():
    tensors, others = arguments("bias", torch.float32)
    gradients = []
    for context in (sdpa(CPU, strict=True), sdpa(())):
        bias = others["attn_mask"].clone().requires_grad_()
        with context:
            run(tensors, {"attn_mask": bias}).square().sum().backward()
        gradients.append(bias.grad)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_ends_with_an_error_inside():
    tensors, _ = arguments("plain", torch.float32)
    with pytest.raises(KeyError), sdpa(CPU):
        raise KeyError("inside")
    with Calls() as calls:
        run(tensors, {})
    assert not calls.count


@on_device
def test_compiled_on_npu():
    query = torch.randn(2, 4, 9, 16)
    call = torch.compile(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), fullgraph=True,
                         backend="aot_eager")
    on_npu = query.npu().requires_grad_()
    with sdpa(strict=True):
        call(on_npu).sum().backward()
    query.requires_grad_()
    F.scaled_dot_product_attention(query, query, query, is_causal=True).sum().backward()
    torch.testing.assert_close(on_npu.grad.cpu(), query.grad, atol=1e-5, rtol=1e-4)
