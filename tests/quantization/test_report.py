"""The error report against its definitions in float64."""

from __future__ import annotations

import math

import pytest
import torch

import npufa
from cases.device import on_device
from npufa.quantization import QuantConfig, error_report, quantize_kv
from quantization.draws import cache, in_layout


def decibel(before, after):
    noise = (before.double() - after.double()).square().sum().item()
    return 10 * math.log10(before.double().square().sum().item() / noise)


@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
def test_errors_per_head(layout):
    key, value = cache(dtype=torch.float16)
    query = torch.randn(2, 6, 5, 16, generator=torch.Generator().manual_seed(1)).half()
    given = [in_layout(t, layout) for t in (key, value, query)]
    quantized = quantize_kv(given[0], given[1], QuantConfig("int4", "head"), input_layout=layout, num_key_value_heads=3)
    report = error_report(quantized, *given, num_heads=6, sparse_mode=3)
    restored = quantize_kv(key, value, QuantConfig("int4", "head")).dequantize()
    call = {"num_heads": 6, "num_key_value_heads": 3, "scale": 0.25, "input_layout": "BNSD", "sparse_mode": 3}
    plain = npufa.npu_fused_infer_attention_score(query, key, value, **call)[0]
    reduced = npufa.npu_fused_infer_attention_score(query, *restored, **call)[0]
    for errors, before, after, tolerance in (
            (report.key, key, restored[0], 1e-6), (report.value, value, restored[1], 1e-6),
            (report.output, plain, reduced, 0.02)):
        for head in range(before.shape[1]):
            expected = decibel(before[:, head], after[:, head])
            assert errors.sqnr[head].item() == pytest.approx(expected, rel=tolerance)
            largest = (before[:, head].double() - after[:, head].double()).abs().max().item()
            assert errors.largest[head].item() == pytest.approx(largest, rel=0.05 if tolerance > 1e-3 else 1e-6)


def test_table_and_bytes():
    key, value = cache(dtype=torch.float16)
    quantized = quantize_kv(key, value, QuantConfig("int4", "head"))
    report = error_report(quantized, key, value, key)
    elements = 2 * 3 * 17 * 16
    assert (report.nbytes_before, report.nbytes) == (2 * elements * 2, 2 * (elements // 2 + 3 * 4))
    lines = str(report).splitlines()
    assert lines[0] == f"int4 per head: {4 * elements} bytes -> {elements + 24} bytes, {report.saved:.1%} saved"
    assert [line.split()[0] for line in lines[1:]] == ["head", "0", "1", "2"]
    assert f"{report.output.sqnr[1]:.1f} dB" in lines[3] and f"{report.key.largest[1]:.2e}" in lines[3]
    assert "output" not in str(error_report(quantized, key, value))


def test_a_query_head_shows_in_the_row_of_its_group():
    key, value = cache()
    report = error_report(quantize_kv(key, value, QuantConfig("int4", "head")), key, value, key.repeat(1, 2, 1, 1))
    worst = report.output.sqnr.view(3, 2).amin(1)
    for head, line in enumerate(str(report).splitlines()[2:]):
        assert f"{worst[head]:.1f} dB" in line


def test_finer_granularity_and_more_bits_err_less():
    key, value = cache()

    def quality(dtype, granularity):
        return error_report(quantize_kv(key, value, QuantConfig(dtype, granularity)), key, value).key.sqnr.min().item()

    assert quality("int8", "token_head") > quality("int8", "head") > quality("int8", "tensor")
    assert quality("int8", "head") > quality("int4", "head") + 20
    assert quality("float8_e4m3fn", "head") > quality("float8_e5m2", "head")


def test_packed_and_paged_caches():
    """Of the same cache as one sequence, packed, and in blocks: the output errs by the same amount."""
    key, value = (t.half() for t in cache(batch=1, tokens=32))
    query = torch.randn(1, 6, 1, 16, generator=torch.Generator().manual_seed(1)).half()
    config = QuantConfig("int4", "head")
    expected = error_report(quantize_kv(key, value, config), key, value, query).output
    packed = [t[0].transpose(0, 1) for t in (key, value)]
    pages = [t.view(1, 3, 2, 16, 16).squeeze(0).transpose(0, 1).flip(0) for t in (key, value)]
    table = torch.tensor([[1, 0]], dtype=torch.int32)
    for report in (
            error_report(quantize_kv(*packed, config, input_layout="TND"), *packed, query[:, :, 0],
                         actual_seq_lengths=[1], actual_seq_lengths_kv=[32]),
            error_report(quantize_kv(*pages, config, paged=True), *pages, query, block_table=table, block_size=16,
                         actual_seq_lengths_kv=[32])):
        torch.testing.assert_close(report.output.sqnr, expected.sqnr, rtol=0.01, atol=0)
        torch.testing.assert_close(report.output.largest, expected.largest, rtol=0.05, atol=0)


def test_exact_caches_and_wrong_ones():
    zeros = torch.zeros(1, 2, 3, 8)
    quantized = quantize_kv(zeros, zeros)
    report = error_report(quantized, zeros, zeros, zeros)
    assert report.key.sqnr.tolist() == report.output.sqnr.tolist() == [math.inf] * 2
    with pytest.raises(ValueError, match="value is not what was quantised"):
        error_report(quantized, zeros, zeros[:, :1])
    with pytest.raises(ValueError, match="input_layout of query is unknown"):
        error_report(quantized, zeros, zeros, zeros, input_layout="XYZ")
    with pytest.raises(ValueError, match="num_heads is needed"):
        error_report(quantized, zeros, zeros, torch.zeros(1, 3, 16), input_layout="BSH")


@on_device
def test_on_npu():
    key, value = (t.half() for t in cache())
    reports = []
    for device in ("cpu", "npu"):
        given = [t.to(device) for t in (key, value)]
        reports.append(error_report(quantize_kv(*given, QuantConfig("int4", "channel")), *given, given[0]))
    for name in ("key", "value", "output"):
        on_cpu, on_npu = (getattr(report, name).sqnr for report in reports)
        torch.testing.assert_close(on_npu, on_cpu, rtol=0.01, atol=0)
    assert reports[0].nbytes == reports[1].nbytes
