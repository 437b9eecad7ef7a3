"""The arguments of a quantised cache, through the operators, against the float64 references."""

from __future__ import annotations

import npufa
import pytest
import torch
from cases.device import on_device
from npufa.quantization import QuantConfig, quantize_kv

import reference
from quantization.draws import GRANULARITIES, LAYOUTS, MODES, PAGED_MODES, cache, in_layout

DTYPES = ["int8", "int4", "float8_e4m3fn", "float8_e5m2"]
SCALE = 0.25


def close(got, expected):
    torch.testing.assert_close(got.cpu().double(), expected.out, rtol=1e-4, atol=2e-4 * expected.magnitude.max().item())


def query_for(layout, tokens, heads=6, width=16):
    query = torch.randn(2, heads, tokens, width, generator=torch.Generator().manual_seed(5))
    return in_layout(query, layout)


def quantized_cache(layout, config, device="cpu", **sizes):
    key, value = (in_layout(t, layout).to(device) for t in cache(**sizes))
    return quantize_kv(key, value, config, input_layout=layout, num_key_value_heads=3)


def configs(dtype, granularity):
    return [QuantConfig(dtype, granularity, symmetric) for symmetric in ((True, False) if dtype[0] == "i" else (True,))]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("granularity", [*GRANULARITIES, ("channel", "token"), ("tensor", "channel")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_infer(dtype, granularity, layout):
    if layout == "TND" and "token" in str(granularity):
        pytest.skip("raises: test_illegal_calls")
    for config in configs(dtype, granularity):
        quantized = quantized_cache(layout, config, value_dim=8)
        arguments = quantized.arguments() | {"num_heads": 6, "scale": SCALE, "input_layout": layout, "sparse_mode": 3}
        if layout == "TND":
            arguments |= {"actual_seq_lengths": [4, 8], "actual_seq_lengths_kv": [17, 34]}
        query = query_for(layout, 4)
        got = npufa.npu_fused_infer_attention_score(query, **arguments)[0]
        close(got, reference.fused_infer(query, **arguments))
        names = granularity if isinstance(granularity, tuple) else (granularity,) * 2
        assert [arguments[f"{name}_antiquant_mode"] for name in ("key", "value")] == [MODES[name] for name in names]


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_fused_infer_v2(granularity):
    for config in configs("int8", granularity):
        quantized = quantized_cache("BSND", config)
        query = query_for("BSND", 3)
        call = {"input_layout": "BSND", "sparse_mode": 3}
        first = npufa.npu_fused_infer_attention_score(
            query, **quantized.arguments(), **call, num_heads=6, scale=SCALE)[0]
        second = npufa.npu_fused_infer_attention_score_v2(
            query, **quantized.arguments("npu_fused_infer_attention_score_v2"), **call, num_query_heads=6,
            softmax_scale=SCALE)[0]
        assert torch.equal(first, second)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "token"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_incre(dtype, granularity, layout):
    for config in configs(dtype, granularity):
        quantized = quantized_cache(layout, config)
        query = query_for(layout, 1)
        call = {"num_heads": 6, "input_layout": layout, "actual_seq_lengths": [17, 9]}
        got = npufa.npu_incre_flash_attention(
            query, **quantized.arguments("npu_incre_flash_attention"), scale_value=SCALE, **call)
        call["actual_seq_lengths_kv"] = call.pop("actual_seq_lengths")
        close(got, reference.fused_infer(query, **quantized.arguments(), scale=SCALE, **call))


def test_incre_tells_channels_from_tokens():
    """Nkv = B and D = Skv: the shapes of both granularities coincide."""
    query = query_for("BNSD", 1, heads=2)
    for granularity in ("channel", "token"):
        quantized = quantize_kv(*cache(batch=2, heads=2, tokens=16, head_dim=16), QuantConfig("int8", granularity))
        for kind in (torch.float32, torch.float16):
            if kind == torch.float32 and granularity == "token":
                continue  # float32 scales of that shape count as channels beside a float32 query
            got = npufa.npu_incre_flash_attention(
                query.to(kind), **quantized.arguments("npu_incre_flash_attention"), num_heads=2, scale_value=SCALE,
                input_layout="BNSD")
            expected = reference.fused_infer(query.to(kind), **quantized.arguments(), num_heads=2, scale=SCALE,
                                             input_layout="BNSD")
            tolerance = 1e-3 * expected.magnitude.max().item()
            torch.testing.assert_close(got.double(), expected.out, rtol=2e-3, atol=tolerance)


def paged_call(quantized, layout, device="cpu"):
    """Two sequences of 9 and 14 tokens in scattered blocks of 4."""
    table = torch.tensor([[6, 1, 4, -1], [0, 5, 2, 3]], dtype=torch.int32, device=device)
    return quantized.arguments() | {
        "num_heads": 6, "scale": SCALE, "input_layout": layout, "block_table": table, "block_size": 4,
        "actual_seq_lengths_kv": [9, 14]}


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_paged(dtype, granularity, layout):
    for config in configs(dtype, granularity):
        key, value = (in_layout(t, layout) for t in cache(batch=7, tokens=4))
        quantized = quantize_kv(key, value, config, input_layout=layout, num_key_value_heads=3, paged=True)
        call = paged_call(quantized, layout)
        assert call["key_antiquant_mode"] == call["value_antiquant_mode"] == PAGED_MODES[granularity]
        query = query_for(layout, 1)
        close(npufa.npu_fused_infer_attention_score(query, **call)[0], reference.fused_infer(query, **call))


def test_illegal_operators():
    per_head = quantized_cache("BNSD", QuantConfig("int8", "head"))
    with pytest.raises(ValueError, match="operator is unknown, got 'npu_flash'"):
        per_head.arguments("npu_flash")
    with pytest.raises(ValueError, match="no argument for these scales"):
        per_head.arguments("npu_incre_flash_attention")
    widths = quantized_cache("BNSD", QuantConfig("int8", "channel"), value_dim=8)
    with pytest.raises(ValueError, match="only for equal head sizes of key and value, got 16 and 8"):
        widths.arguments("npu_incre_flash_attention")
    pages = quantize_kv(*cache(), QuantConfig("int8", "token"), paged=True)
    with pytest.raises(ValueError, match="no argument for scales per token of a paged cache"):
        pages.arguments("npu_incre_flash_attention")
    mixed = quantize_kv(*cache(), QuantConfig("int8", ("channel", "token")), paged=True)
    with pytest.raises(ValueError, match="does not go with a paged cache"):
        mixed.arguments()


@pytest.mark.parametrize("granularity", ["channel", "token_head"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
@on_device
def test_on_npu(dtype, granularity):
    config = QuantConfig(dtype, granularity, symmetric=False)
    quantized = quantized_cache("BNSD", config, "npu")
    on_cpu = quantized_cache("BNSD", config)
    assert torch.equal(quantized.key.data.cpu(), on_cpu.key.data)
    torch.testing.assert_close(quantized.value.scale.cpu(), on_cpu.value.scale)
    torch.testing.assert_close(quantized.dequantize()[1].cpu(), on_cpu.dequantize()[1])
    query = query_for("BNSD", 2)
    call = {"num_heads": 6, "scale": SCALE, "input_layout": "BNSD", "sparse_mode": 3}
    got = npufa.npu_fused_infer_attention_score(query.npu(), **quantized.arguments(), **call)[0]
    close(got, reference.fused_infer(query, **on_cpu.arguments(), **call))
