"""The arguments of a quantised cache, through the operators, against the float64 references."""

from __future__ import annotations

import pytest
import torch

import npufa
import reference
from cases.device import on_device
from npufa.quantization import QuantConfig, quantize_kv
from quantization.draws import GRANULARITIES, MODES, PAGED_MODES, cache, in_layout, legal

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


@pytest.mark.parametrize("granularity, layout", legal([*GRANULARITIES, ("channel", "token"), ("tensor", "channel")]))
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_infer(dtype, granularity, layout):
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


# Nkv, D and B, Skv whose scales have one shape, extents of 1 left out
COINCIDING = [(2, 16, 2, 16), (2, 8, 1, 16), (1, 16, 1, 16)]


@pytest.mark.parametrize("heads, width, batch, tokens", COINCIDING)
@pytest.mark.parametrize("granularity", ["channel", "token"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_incre_tells_channels_from_tokens(kind, granularity, heads, width, batch, tokens):
    drawn = cache(batch=batch, heads=heads, tokens=tokens, head_dim=width, value_dim=width, dtype=kind)
    quantized = quantize_kv(*drawn, QuantConfig("int8", granularity))
    if (kind, granularity) == (torch.float32, "token"):
        with pytest.raises(ValueError, match=r"takes scales per token of this shape for scales per channel"):
            quantized.arguments("npu_incre_flash_attention")
        return
    query = torch.randn(batch, heads, 1, width, generator=torch.Generator().manual_seed(5)).to(kind)
    got = npufa.npu_incre_flash_attention(
        query, **quantized.arguments("npu_incre_flash_attention"), num_heads=heads, scale_value=SCALE,
        input_layout="BNSD")
    expected = reference.fused_infer(query, **quantized.arguments(), num_heads=heads, scale=SCALE, input_layout="BNSD")
    torch.testing.assert_close(
        got.double(), expected.out, rtol=2e-3, atol=1e-3 * expected.magnitude.max().item())


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


@pytest.mark.parametrize("granularity", ["tensor", "token", "head"])
@on_device
def test_decode_on_npu(granularity):
    """One token per sequence, by lengths that end before the cache does."""
    quantized = quantized_cache("BSND", QuantConfig("int8", granularity), "npu", dtype=torch.float16)
    on_cpu = quantized_cache("BSND", QuantConfig("int8", granularity), dtype=torch.float16)
    query = query_for("BSND", 1).half()
    call = {"num_heads": 6, "input_layout": "BSND"}
    lengths = {"actual_seq_lengths_kv": [17, 9]}
    expected = reference.fused_infer(query, **on_cpu.arguments(), **call, **lengths, scale=SCALE)
    outputs = [npufa.npu_fused_infer_attention_score(
        query.npu(), **quantized.arguments(), **call, **lengths, scale=SCALE)[0]]
    if granularity != "head":
        outputs.append(npufa.npu_incre_flash_attention(
            query.npu(), **quantized.arguments("npu_incre_flash_attention"), **call, scale_value=SCALE,
            actual_seq_lengths=lengths["actual_seq_lengths_kv"]))
    for got in outputs:
        tolerance = 1e-3 * expected.magnitude.max().item()
        torch.testing.assert_close(got.cpu().double(), expected.out, rtol=2e-3, atol=tolerance)


@pytest.mark.parametrize("dtype, granularity", [("int8", "token"), ("int4", "token_head"), ("int8", "channel")])
@on_device
def test_paged_on_npu(dtype, granularity):
    def pages(device):
        key, value = (in_layout(t, "BSND").to(device) for t in cache(batch=7, tokens=16))
        return quantize_kv(key, value, QuantConfig(dtype, granularity), input_layout="BSND", paged=True)

    query = query_for("BSND", 1)
    changes = {"block_size": 16, "actual_seq_lengths_kv": [33, 64]}
    got = npufa.npu_fused_infer_attention_score(query.npu(), **paged_call(pages("npu"), "BSND", "npu") | changes)[0]
    close(got, reference.fused_infer(query, **paged_call(pages("cpu"), "BSND") | changes))
