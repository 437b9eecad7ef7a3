"""memory_efficient_attention against attention in float64, and what each of its choices saves."""

import pytest
import torch

import npufa
from cases.device import on_device
from long_context.dense import attention, kept, with_gradients
from npufa.functional import memory_efficient_attention
from npufa.quantization import QuantConfig

RULES = [
    {},
    {"sparse_mode": 2},
    {"sparse_mode": 3},
    {"sparse_mode": 4, "pre_tokens": 3, "next_tokens": 1},
    {"sparse_mode": 4, "pre_tokens": 5, "next_tokens": -2},  # first rows may be without keys
]
CHOICES = [{}, {"checkpoint": True}, {"chunk_size": 1}, {"chunk_size": 7}, {"chunk_size": 128},
           {"checkpoint": True, "chunk_size": 5}]


def draw(rows, keys, heads=4, kv_heads=2, dim=16, value_dim=16, dtype=torch.float32):
    shapes = (heads, rows, dim), (kv_heads, keys, dim), (kv_heads, keys, value_dim), (heads, rows, value_dim)
    return [torch.randn(2, *shape, dtype=dtype) for shape in shapes]


def run(query, key, value, dy, **arguments):
    leaves = [t.detach().requires_grad_() for t in (query, key, value)]
    output = memory_efficient_attention(*leaves, **arguments)
    return output.detach(), *torch.autograd.grad(output, leaves, dy)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("rows, keys, value_dim", [(17, 17, 16), (1, 9, 16), (9, 23, 8), (23, 9, 16)])
def test_is_exact_with_gradients(choice, rules, rows, keys, value_dim):
    torch.manual_seed(0)
    tensors = draw(rows, keys, value_dim=value_dim)
    output, _, *gradients = with_gradients(*tensors, kept(rows, keys, **rules))
    expected = [t.float() for t in (output, *gradients)]
    torch.testing.assert_close([*run(*tensors, **rules, **choice)], expected, atol=3e-6, rtol=1e-4)
    with torch.no_grad():
        got = memory_efficient_attention(*tensors[:3], **rules, **choice)
    torch.testing.assert_close(got, expected[0], atol=3e-6, rtol=1e-4)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("shape", [(11, 13), (2, 4, 11, 13), (1, 1, 11, 13), (2, 1, 1, 13)])
@pytest.mark.parametrize("limits", [{}, {"next_tokens": 0}, {"pre_tokens": 2, "next_tokens": 3}])
def test_mask_with_and_without_limits(choice, shape, limits):
    torch.manual_seed(0)
    tensors = draw(11, 13)
    masked_out = torch.rand(shape) < 0.3
    masked_out[..., 0:1, :] = len(shape) == 2  # a row without keys
    i, j = torch.arange(11)[:, None], torch.arange(13)
    keep = ~masked_out & (j >= i - limits.get("pre_tokens", 99)) & (j <= i + limits.get("next_tokens", 99))
    keep = keep.expand(2, -1, -1, -1) if keep.dim() == 4 else keep.expand(2, 1, -1, -1)
    keep = keep.expand(-1, 4, -1, -1)
    leaves = [t.double().requires_grad_() for t in tensors[:3]]
    weights = torch.where(keep, leaves[0] @ leaves[1].repeat_interleave(2, 1).mT / 4, -torch.inf).softmax(-1)
    expected = weights.nan_to_num(0.0) @ leaves[2].repeat_interleave(2, 1)
    got = run(*tensors, atten_mask=masked_out.to(torch.uint8), **limits, **choice)
    torch.testing.assert_close(got[0], expected.float().detach(), atol=3e-6, rtol=1e-4)
    if shape != (11, 13):
        gradients = torch.autograd.grad(expected, leaves, tensors[3].double())
        torch.testing.assert_close([*got[1:]], [t.float() for t in gradients], atol=3e-6, rtol=1e-4)


@pytest.mark.parametrize("input_layout", ["BNSD", "BSND"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_call_is_the_operator_bit_for_bit(input_layout, dtype):
    torch.manual_seed(0)
    tensors = draw(33, 33, dtype=dtype)
    if input_layout == "BSND":
        tensors = [t.transpose(1, 2) for t in tensors]
    leaves = [t.detach().requires_grad_() for t in tensors[:3]]
    torch.manual_seed(1)
    output = npufa.npu_fusion_attention(*leaves, 4, input_layout, scale=0.25, keep_prob=0.8, sparse_mode=3)[0]
    expected = [output.detach(), *torch.autograd.grad(output, leaves, tensors[3])]
    for checkpoint in (False, True):
        torch.manual_seed(1)
        got = run(*tensors, input_layout=input_layout, keep_prob=0.8, sparse_mode=3, checkpoint=checkpoint)
        assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


def test_recomputed_chunks_drop_the_same_elements():
    torch.manual_seed(0)
    tensors = draw(20, 20)
    results = []
    for checkpoint in (False, True):
        torch.manual_seed(3)
        results.append(run(*tensors, keep_prob=0.5, chunk_size=6, checkpoint=checkpoint))
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))
    assert not torch.allclose(results[0][0], run(*tensors)[0], atol=0.1)


def kept_bytes(**choice):
    """Bytes of all tensors that wait for the gradient, inputs left out."""
    query, key, value, _ = draw(64, 64)
    leaves = [t.requires_grad_() for t in (query, key, value)]
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = memory_efficient_attention(*leaves, **choice)
    inputs = {t.untyped_storage().data_ptr() for t in leaves}
    return sum(size for pointer, size in saved.items() if pointer not in inputs), output


def test_checkpoint_keeps_only_inputs():
    plain, _ = kept_bytes()
    assert plain >= 2 * 4 * 64 * (16 + 2 * 8) * 4  # output, softmax_max and softmax_sum
    kept_now, _ = kept_bytes(checkpoint=True)
    assert kept_now == 0


@pytest.mark.parametrize("quantize, bound", [("int8", 0.02), ("int4", 0.4), ("float8_e4m3fn", 0.1)])
@pytest.mark.parametrize("chunk_size", [None, 1, 5])
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_quantised_is_exact_for_the_quantised_values(quantize, bound, chunk_size, rules):
    from npufa.quantization import quantize_kv

    torch.manual_seed(0)
    query, key, value, _ = draw(13, 21)
    got = memory_efficient_attention(query, key, value, quantize=quantize, chunk_size=chunk_size, **rules)
    keep = kept(13, 21, **rules)
    restored = quantize_kv(key, value, QuantConfig(quantize, "token_head")).dequantize()
    torch.testing.assert_close(got, attention(query, *restored, keep)[0].float(), atol=3e-5, rtol=1e-3)
    assert (got - attention(query, key, value, keep)[0]).abs().max() < bound


def test_quantised_single_row_with_mask_and_config():
    torch.manual_seed(0)
    query, key, value, _ = draw(1, 12)
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, 8:] = True
    config = QuantConfig("int8", ("channel", "token"), symmetric=False)
    got = memory_efficient_attention(query, key, value, atten_mask=mask, pre_tokens=0, next_tokens=9, quantize=config)
    expected = memory_efficient_attention(query, key[:, :, :8], value[:, :, :8])
    torch.testing.assert_close(got, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("rows, keys", [(0, 5), (5, 0)])
@pytest.mark.parametrize("choice", [*CHOICES, {"quantize": "int8"}], ids=str)
def test_empty(rows, keys, choice):
    query, key, value, _ = draw(rows, keys)
    output = memory_efficient_attention(query, key, value, **choice)
    assert output.shape == query.shape and not output.any()


def test_autocast():
    tensors = draw(9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        for choice in (*CHOICES, {"quantize": "int8"}):
            assert memory_efficient_attention(*tensors[:3], **choice).dtype == torch.bfloat16


@pytest.mark.parametrize("choice", [{"checkpoint": True}, {"checkpoint": True, "chunk_size": 6}], ids=str)
def test_compiled(choice):
    torch.manual_seed(0)
    tensors = draw(11, 11)
    compiled = torch.compile(memory_efficient_attention, backend="aot_eager", fullgraph=True)
    leaves = [t.detach().requires_grad_() for t in tensors[:3]]
    output = compiled(*leaves, sparse_mode=3, **choice)
    got = output.detach(), *torch.autograd.grad(output, leaves, tensors[3])
    torch.testing.assert_close([*got], [*run(*tensors, sparse_mode=3)], atol=3e-6, rtol=1e-4)


@pytest.mark.parametrize("wrong, error, words", [
    ({"input_layout": "TND"}, ValueError, "input_layout"),
    ({"input_layout": "BSH"}, ValueError, "input_layout"),
    ({"keep_prob": 0.0}, ValueError, "keep_prob"),
    ({"keep_prob": 1.1}, ValueError, "keep_prob"),
    ({"chunk_size": 0}, ValueError, "chunk_size"),
    ({"sparse_mode": 1}, ValueError, "sparse_mode"),
    ({"sparse_mode": 3, "atten_mask": torch.zeros(4, 4, dtype=torch.bool)}, ValueError, "atten_mask"),
    ({"atten_mask": torch.zeros(4, 4)}, TypeError, "atten_mask"),
    ({"atten_mask": torch.zeros(4, 5, dtype=torch.bool)}, ValueError, r"atten_mask .*\[4, 5\]"),
    ({"atten_mask": torch.zeros(2, 3, 4, 4, dtype=torch.bool)}, ValueError, "atten_mask"),
    ({"quantize": "int3"}, ValueError, "dtype"),
    ({"quantize": "int8", "keep_prob": 0.9}, ValueError, "keep_prob"),
])  # fmt: skip
def test_illegal_calls_name_the_argument(wrong, error, words):
    query, key, value, _ = draw(4, 4)
    if wrong.get("input_layout") == "TND":
        query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
    with pytest.raises(error, match=words):
        memory_efficient_attention(query, key, value, **wrong)


def test_quantised_training_is_refused():
    query, key, value, _ = draw(4, 4)
    with pytest.raises(ValueError, match="inference"):
        memory_efficient_attention(query.requires_grad_(), key, value, quantize="int8")


@on_device
def test_on_npu():
    torch.manual_seed(0)
    tensors = draw(9, 9)
    on_npu = [t.npu() for t in tensors]
    for choice in ({"checkpoint": True}, {"checkpoint": True, "chunk_size": 4}):
        got = [t.cpu() for t in run(*on_npu, sparse_mode=3, **choice)]
        torch.testing.assert_close(got, [*run(*tensors, sparse_mode=3)], atol=1e-5, rtol=1e-3)
    results = []
    for checkpoint in (False, True):
        torch.manual_seed(3)
        results.append(run(*on_npu, keep_prob=0.5, checkpoint=checkpoint))
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))
    got = memory_efficient_attention(*on_npu[:3], sparse_mode=3, chunk_size=4, quantize="int8").cpu()
    torch.testing.assert_close(got, memory_efficient_attention(*tensors[:3], sparse_mode=3), atol=0.02, rtol=0)
