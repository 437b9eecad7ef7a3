"""Ranges: percentile, least squares, and the observer over batches."""

from __future__ import annotations

import pytest
import torch

from cases.device import on_device
from npufa.quantization import KVObserver, QuantConfig, quantize_kv
from quantization.draws import cache, in_layout


def spiky(seed=0, tokens=400):
    """Normal values with one outlier in every head."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 2, tokens, 8, generator=generator)
    x[0, :, 7, 3] = 40.0
    return x


def mean_square(x, config):
    restored, _ = quantize_kv(x, x, config).dequantize()
    return (restored.double() - x.double()).square().mean().item()


@pytest.mark.parametrize("percentile", [50, 90, 99.5, 100])
def test_percentile_is_the_smallest_that_enough_do_not_exceed(percentile):
    x = spiky()
    scale = quantize_kv(x, x, QuantConfig("int8", "head", clip="percentile", percentile=percentile)).key.scale
    for head in range(2):
        ordered = sorted(x[0, head].abs().flatten().tolist())
        limit = next(v for i, v in enumerate(ordered) if (i + 1) / len(ordered) >= percentile / 100)
        assert scale[head].item() == pytest.approx(limit / 127, rel=1e-6)


def test_asymmetric_percentile_cuts_both_ends():
    x = torch.arange(-100.0, 301.0).view(1, 1, -1, 1)
    part = quantize_kv(x, x, QuantConfig("int8", "tensor", False, "percentile", 95)).key
    restored = part.dequantize()
    assert restored.min().item() == pytest.approx(-80, abs=part.scale.item())
    assert restored.max().item() == pytest.approx(280, abs=part.scale.item())


@pytest.mark.parametrize("dtype", ["int8", "int4"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_mse_is_the_best_of_all_fractions(dtype, symmetric):
    x = spiky()[:, :1]
    widest = quantize_kv(x, x, QuantConfig(dtype, "tensor", symmetric)).key
    chosen = mean_square(x, QuantConfig(dtype, "tensor", symmetric, "mse"))
    high = {"int8": 127, "int4": 7}[dtype]
    low = -high - 1
    best = float("inf")
    for fraction in torch.linspace(0.3, 1, 29).tolist():
        limits = (x.min().item() * fraction, x.max().item() * fraction)
        scale = max(-limits[0], limits[1]) / high if symmetric else (limits[1] - limits[0]) / (high - low)
        offset = 0 if symmetric else round(limits[0] / scale) - low
        levels = (x.double() / scale - offset).round().clamp(low, high)
        best = min(best, ((levels + offset) * scale - x.double()).square().mean().item())
    assert chosen <= best * 1.02
    assert chosen < 0.999 * ((widest.dequantize().double() - x.double()).square().mean().item()) or dtype == "int8"


def test_mse_gains_on_int4():
    x = spiky()
    absmax, least = (mean_square(x, QuantConfig("int4", "channel", clip=clip)) for clip in ("absmax", "mse"))
    assert least < absmax


@pytest.mark.parametrize("granularity", ["tensor", "channel", "head"])
@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH", "TND"])
def test_observed_absmax_is_that_of_all_batches(layout, granularity):
    config = QuantConfig("int8", granularity)
    batches = [[in_layout(t, layout) for t in cache(seed, batch=1 + seed, tokens=5 + seed)] for seed in range(3)]
    observer = KVObserver(config, input_layout=layout, num_key_value_heads=3)
    for key, value in batches:
        observer.observe(key, value)
    quantized = observer.quantize(*batches[1])
    key, value = (torch.cat([heads_last.flatten(0, -2) if layout in ("BSND", "TND", "BSH") else
                             heads_last.transpose(1, 2).flatten(0, -2) for heads_last in tensors])
                  for tensors in zip(*batches))
    for part, rows in ((quantized.key, key), (quantized.value, value)):
        rows = rows.reshape(-1, 3, 16).double()
        largest = {"tensor": rows.abs().max()[None], "channel": rows.abs().amax(0), "head": rows.abs().amax((0, 2))}
        torch.testing.assert_close(part.scale.double(), largest[granularity] / 127, rtol=1e-6, atol=0)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("clip", ["percentile", "mse"])
def test_histograms_choose_nearly_as_the_values_do(clip, symmetric):
    """The range doubles several times on the way: later batches are larger."""
    config = QuantConfig("int4", "channel", symmetric, clip, 99)
    batches = [spiky(seed, 200) * 3.0**seed for seed in range(4)]
    observer = KVObserver(config)
    for x in batches:
        observer.observe(x, -x)
    everything = torch.cat(batches)
    exact, observed = quantize_kv(everything, -everything, config), observer.quantize(everything, -everything)
    for one, other in ((exact.key, observed.key), (exact.value, observed.value)):
        torch.testing.assert_close(one.scale, other.scale, rtol=0.1 if clip == "mse" else 0.02, atol=0)
    errors = [(q.dequantize()[0].double() - everything).square().mean().item() for q in (exact, observed)]
    assert errors[1] <= errors[0] * 1.02


def test_observed_histogram_counts_every_value():
    observer = KVObserver(QuantConfig("int8", "head", clip="percentile"))
    zeros = torch.zeros(1, 2, 3, 8)
    observer.observe(zeros, zeros)
    observer.observe(zeros[:, :, :0], zeros[:, :, :0])
    observer.observe(spiky(), spiky(1))
    key, value = observer._histograms
    assert key.counts.sum(1).tolist() == value.counts.sum(1).tolist() == [3 * 8 + 400 * 8] * 2
    assert key.samples().extremes.high.tolist() == [40.0, 40.0]


@pytest.mark.parametrize("clip", ["percentile", "mse"])
def test_small_values_after_zeros_are_resolved(clip):
    """A cache is often all zeros before it is used; its histogram must not get the width of larger values."""
    config = QuantConfig("int4", "head", clip=clip, percentile=99)
    x = spiky() * 1e-5
    for first in (torch.zeros_like(x), x * 2.0**-40):
        observer = KVObserver(config)
        observer.observe(first, first)
        observer.observe(x, x)
        together = torch.cat([first, x])
        exact = quantize_kv(together, together, config)
        torch.testing.assert_close(
            observer.quantize(x, x).key.scale, exact.key.scale, rtol=0.1 if clip == "mse" else 0.02, atol=0)


@pytest.mark.parametrize("doublings", [1, 9, 10, 11, 40])
def test_the_order_of_batches_does_not_matter(doublings):
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(1, 2, 50, 8, generator=generator) * 2 - 1
    large = torch.rand(1, 2, 50, 8, generator=generator) * 2.0**doublings
    counts = []
    for batches in ((small, large), (large, small)):
        observer = KVObserver(QuantConfig("int8", "head", clip="percentile"))
        for x in batches:
            observer.observe(x, x)
        of_head = observer._histograms[0].counts
        middle = of_head.shape[1] // 2  # float32 may round small negative values up to the bin right of zero
        counts.append(torch.cat([of_head[:, :middle - 1], of_head[:, middle - 1:middle + 1].sum(1, keepdim=True),
                                 of_head[:, middle + 1:]], dim=1))
    assert torch.equal(*counts)


def test_values_beyond_the_calibrated_range_saturate():
    observer = KVObserver(QuantConfig("int8", "tensor"))
    x = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    observer.observe(x, x)
    restored = observer.quantize(x * 5, x).dequantize()[0]
    assert restored.abs().max().item() == pytest.approx(128 / 127, rel=1e-6)
    assert (restored - (x * 5).clamp(-1, 1)).abs().max() <= 1 / 127 + 1e-6


def test_illegal_use():
    with pytest.raises(ValueError, match="per token cannot be calibrated"):
        KVObserver(QuantConfig("int8", "token_head"))
    observer = KVObserver(QuantConfig("int8", "channel"))
    key, value = cache()
    with pytest.raises(RuntimeError, match="no statistics"):
        observer.quantize(key, value)
    observer.observe(key, value)
    before = observer._histograms[0].counts.clone()
    with pytest.raises(ValueError, match="key does not fit the batches observed before, got 16 scales"):
        observer.observe(key[:, :1], value[:, :1])
    with pytest.raises(ValueError, match="infinite or not numbers"):
        observer.observe(key * torch.inf, value)
    assert torch.equal(before, observer._histograms[0].counts)
    with pytest.raises(ValueError, match="value does not fit the batches observed before"):
        observer.quantize(key, value[..., :8])


@on_device
def test_on_npu():
    config = QuantConfig("int8", "head", clip="mse")
    on_cpu, on_npu = KVObserver(config), KVObserver(config)
    for seed in range(2):
        key, value = cache(seed, tokens=4)
        on_cpu.observe(key, value)
        on_npu.observe(key.npu(), value.npu())
    expected, got = on_cpu.quantize(key, value), on_npu.quantize(key.npu(), value.npu())
    torch.testing.assert_close(got.key.scale.cpu(), expected.key.scale)
    assert (got.key.data.cpu().int() - expected.key.data.int()).abs().max() <= 1
