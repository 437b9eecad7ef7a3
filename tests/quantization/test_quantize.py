"""quantize_kv against SPEC section 7 in float64: shapes, error bounds, saturation, illegal caches."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings, strategies as st

from npufa.quantization import QuantConfig, quantize_kv
from quantization.draws import GRANULARITIES, cache, heads_first, in_layout, legal, scale_for, stored

DTYPES = ["int8", "int4", "float8_e4m3fn", "float8_e5m2"]
MANTISSA_BITS = {"float8_e4m3fn": 3, "float8_e5m2": 2}
SMALLEST_STEP = {"float8_e4m3fn": 2.0**-9, "float8_e5m2": 2.0**-16}
ROUNDING = 2e-5  # of scale, by the float32 arithmetic on up to 255 steps


def bound(x, scale, dtype):
    """Largest legal error of each element."""
    if dtype in MANTISSA_BITS:
        half_ulp = x.abs() * 2.0 ** -(MANTISSA_BITS[dtype] + 1)
        return half_ulp * (1 + 1e-5) + scale * SMALLEST_STEP[dtype] / 2
    return scale * (0.5 + ROUNDING)


def assert_within_bounds(part, x, layout, granularity, dtype):
    batch, heads, *_ = x.shape
    values = heads_first(stored(part.data), layout, batch, heads)
    shape = (1, heads, x.shape[0] * x.shape[2], x.shape[3]) if layout == "TND" else x.shape
    scale = scale_for(part.scale, granularity, shape)
    offset = torch.zeros(()).double() if part.offset is None else scale_for(part.offset, granularity, shape)
    if layout == "TND":  # the same for all tokens
        scale, offset = (t[:, :, :1].expand(x.shape) if t.dim() else t for t in (scale, offset))
    restored = (values + offset) * scale
    assert bool(((restored - x.double()).abs() <= bound(x.double(), scale, dtype)).all())
    mine = heads_first(part.dequantize().double(), layout, batch, heads)
    torch.testing.assert_close(mine, restored, rtol=1e-6, atol=0)


@pytest.mark.parametrize("granularity, layout", legal(GRANULARITIES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_element_is_within_half_a_step(dtype, granularity, layout):
    key, value = cache(value_dim=8)
    for symmetric in (True, False) if dtype.startswith("int") else (True,):
        quantized = quantize_kv(
            in_layout(key, layout), in_layout(value, layout), QuantConfig(dtype, granularity, symmetric),
            input_layout=layout, num_key_value_heads=3 if layout == "BSH" else 0)
        assert (quantized.key.offset is None) == symmetric
        for part, x in ((quantized.key, key), (quantized.value, value)):
            assert_within_bounds(part, x, layout, granularity, dtype)
            if not symmetric:
                assert torch.equal(part.offset, part.offset.round())


def test_the_whole_range_of_integers_is_used():
    key, value = cache(dtype=torch.float32)
    for dtype, low, high in (("int8", -128, 127), ("int4", -8, 7)):
        data = stored(quantize_kv(key, value, QuantConfig(dtype, "head")).key.data)
        assert data.abs().amax((0, 2, 3)).tolist() == [high] * 3
        data = stored(quantize_kv(key, value, QuantConfig(dtype, "head", symmetric=False)).key.data)
        assert data.amax((0, 2, 3)).tolist() == [high] * 3 and data.amin((0, 2, 3)).tolist() == [low] * 3


def test_asymmetric_is_finer_for_one_sided_values():
    key, value = (t.abs() for t in cache())
    scales = [quantize_kv(key, value, QuantConfig("int8", "channel", symmetric)).key.scale
              for symmetric in (True, False)]
    torch.testing.assert_close(scales[1], scales[0] * 127 / 255)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_zeros_and_constants(granularity, dtype):
    zeros = torch.zeros(1, 2, 3, 8)
    quantized = quantize_kv(zeros, zeros, QuantConfig(dtype, granularity))
    assert torch.equal(quantized.dequantize()[0], zeros) and bool((quantized.key.scale == 1).all())
    for constant in (3.7, -3.7, 1e-30, 65504.0, 3.4e38):
        same = torch.full((1, 2, 3, 8), constant)
        for symmetric in (True, False) if dtype.startswith("int") else (True,):
            restored = quantize_kv(same, zeros, QuantConfig(dtype, granularity, symmetric)).dequantize()[0]
            torch.testing.assert_close(restored, same, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_smallest_float32_values_are_not_lost(dtype):
    """The scale of values near the smallest normal number would not be normal itself."""
    key, value = (t * 1e-37 for t in cache())
    part = quantize_kv(key, value, QuantConfig(dtype, "tensor")).key
    assert part.scale.item() >= torch.finfo(torch.float32).tiny
    assert (part.dequantize() - key).abs().max() <= key.abs().max() / 8


def test_no_graph_is_kept():
    key, value = (t.requires_grad_() for t in cache())
    for symmetric in (True, False):
        quantized = quantize_kv(key, value, QuantConfig("int8", "channel", symmetric))
        for tensor in (quantized.key.scale, quantized.value.offset, *quantized.dequantize()):
            assert tensor is None or not tensor.requires_grad


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["key", "value"])
def test_values_that_are_no_numbers_raise(name, bad):
    tensors = dict(zip(("key", "value"), cache(dtype=torch.bfloat16)))
    tensors[name][1, 2, 3, 4] = bad
    with pytest.raises(ValueError, match=f"{name} holds values that are infinite"):
        quantize_kv(**tensors)


@pytest.mark.parametrize("shape", [(0, 2, 3, 8), (2, 2, 0, 8), (1, 1, 1, 8), (1, 1, 129, 8)])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_empty_and_odd_sizes(granularity, shape):
    key = torch.randn(shape)
    for clip in ("absmax", "percentile", "mse"):
        restored, _ = quantize_kv(key, key, QuantConfig("int8", granularity, clip=clip, percentile=100)).dequantize()
        assert restored.shape == shape
        if key.numel():
            assert (restored - key).abs().max() <= key.abs().max() / 3


def test_views_are_quantised_as_they_read():
    key, value = cache(tokens=34)
    strided = quantize_kv(key[:, :, ::2], value[:, :, ::2], QuantConfig("int4", "token_head", symmetric=False))
    dense = quantize_kv(key[:, :, ::2].contiguous(), value[:, :, ::2].contiguous(), QuantConfig(
        "int4", "token_head", symmetric=False))
    assert torch.equal(strided.key.data, dense.key.data) and torch.equal(strided.value.scale, dense.value.scale)
    assert strided.key.data.is_contiguous()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_tokens_are_those_of_the_whole(granularity):
    key, value = cache()
    for layout in ("BNSD", "BSND", "BSH"):
        quantized = quantize_kv(in_layout(key, layout), in_layout(value, layout), QuantConfig(
            "int8", granularity, symmetric=False), input_layout=layout, num_key_value_heads=3)
        for whole, part in zip(quantized.dequantize(), quantized.tokens(5, 11).dequantize()):
            assert torch.equal(part, whole[:, :, 5:11] if layout == "BNSD" else whole[:, 5:11])


@given(st.integers(0, 2**32), st.sampled_from(GRANULARITIES), st.sampled_from(DTYPES), st.booleans(),
       st.floats(-30, 12), st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
@settings(max_examples=60, deadline=None)
def test_bounds_hold_at_any_magnitude(seed, granularity, dtype, symmetric, magnitude, kind):
    symmetric = symmetric or not dtype.startswith("int")
    key, value = (t * 2.0**magnitude for t in cache(seed, batch=1, heads=2, tokens=5, head_dim=8, value_dim=8))
    key, value = key.clamp(-6e4, 6e4).to(kind), value.clamp(-6e4, 6e4).to(kind)
    quantized = quantize_kv(key.float(), value.float(), QuantConfig(dtype, granularity, symmetric))
    again = quantize_kv(key, value, QuantConfig(dtype, granularity, symmetric))
    assert again.key.dequantize().dtype == kind and torch.equal(stored(again.key.data), stored(quantized.key.data))
    for part, x in ((quantized.key, key), (quantized.value, value)):
        assert_within_bounds(part, x.float(), "BNSD", granularity, dtype)


def _call(**changes):
    key, value = cache()
    call = {"key": key, "value": value, "config": QuantConfig()} | changes
    return quantize_kv(call.pop("key"), call.pop("value"), call.pop("config"), **call)


ODD = torch.randn(1, 2, 3, 12)
OUT_OF_RANGE = "tokens are out of range, got "
ILLEGAL = {
    "dtype is unknown": lambda: QuantConfig("int7"),
    "granularity is unknown": lambda: QuantConfig("int8", "row"),
    "granularity is unknown, got ['head', 'token']": lambda: QuantConfig("int8", ["head", "token"]),
    "granularity has the wrong length": lambda: QuantConfig("int8", ("head",)),
    "granularity is a pair that no operator takes": lambda: QuantConfig("int8", ("head", "token")),
    "clip is unknown": lambda: QuantConfig(clip="kl"),
    "percentile is out of range": lambda: QuantConfig(percentile=101),
    "symmetric=False does not go with": lambda: QuantConfig("float8_e5m2", symmetric=False),
    "input_layout is unknown": lambda: _call(input_layout="SBH"),
    "per token does not go with input_layout TND": lambda: _call(input_layout="TND"),
    "TND is not that of a paged cache": lambda: _call(input_layout="TND", paged=True),
    "num_key_value_heads is needed": lambda: _call(input_layout="BSH"),
    "does not split into heads": lambda: _call(key=torch.ones(1, 2, 7), input_layout="BSH", num_key_value_heads=2),
    "expected num_key_value_heads 2": lambda: _call(num_key_value_heads=2),
    "expected 4 dimensions": lambda: _call(key=torch.ones(2, 3, 4)),
    "a head size that int4 cannot pack, got 12": lambda: _call(key=ODD, value=ODD, config=QuantConfig("int4")),
    "value does not fit key": lambda: _call(value=torch.ones(2, 3, 5, 16)),
    "key has the wrong dtype, got torch.float64": lambda: _call(key=torch.ones(2, 3, 17, 16).double()),
    "value differs from key": lambda: _call(value=torch.ones(2, 3, 17, 16).half()),
    "value is not a tensor, got list": lambda: _call(value=[1.0]),
    OUT_OF_RANGE + "[-4, 0)": lambda: _call().tokens(-4, 0),
    OUT_OF_RANGE + "[5, 18)": lambda: _call().tokens(5, 18),
    OUT_OF_RANGE + "[5, 4)": lambda: _call().tokens(5, 4),
    "tokens of a paged cache": lambda: _call(paged=True).tokens(0, 1),
}


@pytest.mark.parametrize("message", ILLEGAL)
def test_illegal_calls(message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        ILLEGAL[message]()
