"""Quantised caches, inputs and outputs of the inference operators."""

import pytest
import torch

import reference
from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import place
from cases.inference import inference_case
from cases.quantised import dequant_scale, int8_inputs, quantise_cache
from cases.versions import WIDE

SPLIT = [(m, m) for m in (0, 1, 2, 3)] + [(0, 1)]
PAGED = SPLIT + [(4, 4), (5, 5)]
CACHES = ("int8", "int4", "fp8")


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("modes", SPLIT, ids=str)
@pytest.mark.parametrize("sq", [1, 7])
@pytest.mark.parametrize("kind", ["plain", "padding"])
def test_split_scales(cache, modes, sq, kind):
    for seed in range(5):
        random_case("fused_infer", seed, layout=("BSH", "BSND", "BNSD")[seed % 3], kind=kind, cache=cache, sq=sq,
                    mode=("split", *modes)).verify()


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("modes", PAGED, ids=str)
@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "TND", "NTD_TND"])
@pytest.mark.parametrize("sq", [1, 7])
def test_split_scales_over_pages(cache, modes, layout, sq):
    for seed in range(2):
        random_case("fused_infer", seed, layout=layout, kind="paged", cache=cache, sq=sq,
                    mode=("split", *modes)).verify()


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("sq", [1, 7])
@pytest.mark.parametrize("kind", ["plain", "paged", "padding"])
def test_combined_scales(mode, sq, kind):
    for seed in range(8):
        random_case("fused_infer", seed, layout=("BSH", "BSND", "BNSD")[seed % 3], kind=kind, cache="int8", sq=sq,
                    mode=("combined", mode, mode)).verify()


@pytest.mark.parametrize("style", [("combined", 0, 0), ("split", 0, 0), ("split", 2, 2)], ids=str)
@pytest.mark.parametrize("sq", [1, 7])
def test_quantised_shared_prefix(style, sq):
    for seed in range(6):
        random_case("fused_infer", seed, layout=("BSH", "BSND", "BNSD")[seed % 3], kind="prefix", cache="int8", sq=sq,
                    mode=style).verify()


@pytest.mark.parametrize("layout", ["TND", "NTD_TND"])
@pytest.mark.parametrize("cache", CACHES)
def test_packed_quantised_keys(layout, cache):
    for seed in range(8):
        random_case("fused_infer", seed, layout=layout, kind="plain", cache=cache).verify()


@pytest.mark.parametrize("dim", [8, 24, 72, 128, 512])
@pytest.mark.parametrize("sq", [1, 5])
def test_int4_head_dims(dim, sq):
    d = Draw(dim)
    packed = [reference.pack_int4(d.integers((2, 2, 19, dim), -8, 7)) for _ in range(2)]
    scales = {f"{n}_antiquant_scale": d.uniform((2, dim), 0.05, 0.2) for n in ("key", "value")}
    inference_case("fused_infer", dict(
        query=d.normal((2, 4, sq, dim)), key=packed[0], value=packed[1], num_heads=4, num_key_value_heads=2,
        input_layout="BNSD", scale=dim ** -0.5, **scales), antiquant=True).verify()


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("sq", [1, 5])
def test_fp8_values(kind, sq):
    """Every finite fp8 value is converted exactly."""
    every = torch.arange(256, dtype=torch.uint8).view(kind).float()
    finite = every[every.isfinite() & (every.abs() < 100)]
    value = finite[torch.arange(256) % len(finite)].view(1, 1, 16, 16).to(kind)
    d = Draw(3)
    key = quantise_cache(d, kind, d.normal((1, 1, 16, 16)))
    scale = torch.tensor([0.5])
    inference_case("fused_infer", dict(
        query=d.normal((1, 2, sq, 16)), key=key, value=value, num_heads=2, num_key_value_heads=1, input_layout="BNSD",
        scale=0.25, key_antiquant_scale=scale, value_antiquant_scale=scale), antiquant=True).verify()


def test_split_and_combined_scales_exclude_each_other():
    case = random_case("fused_infer", 1, layout="BNSD", kind="plain", cache="int8", mode=("split", 0, 0))
    case.verify()
    heads = case.kwargs.get("num_key_value_heads", case.kwargs["num_heads"])
    other = torch.ones(2, heads, 1, case.kwargs["key"].shape[-1], dtype=case.kwargs["query"].dtype)
    with pytest.raises(RuntimeError, match="antiquant_scale is given beside key_/value_antiquant_scale.*expected"):
        case.call(antiquant_scale=other)


def int8_call(operator="prompt", layout="BNSD", batch=2, sq=17, skv=40, dim=32, kind=torch.float32, **kw):
    d = Draw(4)
    q, k, v = int8_inputs(d, [(batch, 4, sq, dim), (batch, 2, skv, dim), (batch, 2, skv, dim)])
    name = "deq" if operator == "prompt" else "dequant"
    scales = {f"{name}_scale1": dequant_scale(0.002, kind), "quant_scale1": torch.tensor([127.0]),
              f"{name}_scale2": dequant_scale(0.003, kind)}
    part = layout.split("_")[0]
    return inference_case(operator, dict(query=place(q, part), key=place(k, part), value=place(v, part), num_heads=4,
                                         num_key_value_heads=2, input_layout=layout, **scales, **kw))


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_BSND"])
@pytest.mark.parametrize("kind", [torch.float32, *WIDE], ids=str)
def test_int8_inputs(operator, layout, kind):
    out = int8_call(operator, layout, kind=kind).verify()
    assert (out if operator == "prompt" else out[0]).dtype == torch.float16


def test_high_word_of_wide_scales_is_ignored():
    """64-bit dequantisation scales carry the float in the low word; hardware flags sit above it."""
    flags = torch.tensor([5 << 40])
    case = int8_call(kind=torch.int64)
    changed = {n: case.kwargs[n] | flags for n in ("deq_scale1", "deq_scale2")}
    assert torch.equal(case.call(**changed), case.verify())


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
@pytest.mark.parametrize("mode", [0, 2, 3, 4])
def test_int8_inputs_with_modes_and_lengths(operator, mode):
    extra = {} if mode != 4 else dict(pre_tokens=3, next_tokens=10)
    int8_call(operator, sparse_mode=mode, actual_seq_lengths=[17, 4], actual_seq_lengths_kv=[40, 9], **extra).verify()


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
def test_int8_inputs_with_pse(operator):
    int8_call(operator, pse_shift=Draw(1).normal((2, 4, 17, 40), torch.float16)).verify()


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
def test_int8_inputs_long(operator):
    int8_call(operator, skv=1000, sq=5).verify()


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
@pytest.mark.parametrize("offset", [None, 3.0])
def test_int8_in_int8_out(operator, offset):
    extra = {} if offset is None else {"quant_offset2": torch.tensor([offset])}
    out = int8_call(operator, quant_scale2=torch.tensor([12.0]), **extra).verify()
    assert (out if operator == "prompt" else out[0]).dtype == torch.int8


SCALE_SHAPES = [(1,), (), (1, 1, 1), (128,), (1, 1, 128), (1, 4, 1, 32), (4, 32), (1, 1, 4, 32)]


@pytest.mark.parametrize("operator", ["prompt", "fused_infer", "incre"])
@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD"])
@pytest.mark.parametrize("shape", SCALE_SHAPES, ids=str)
def test_output_scale_shapes(operator, layout, shape):
    d = Draw(5)
    sq = 1 if operator == "incre" else 9
    q, k, v = (place(d.normal((2, n, s, 32), torch.float16), layout) for n, s in ((4, sq), (2, 20), (2, 20)))
    inference_case(operator, dict(
        query=q, key=k, value=v, num_heads=4, num_key_value_heads=2, input_layout=layout,
        quant_scale2=d.uniform(shape, 20, 90), quant_offset2=d.uniform(shape, -9, 9))).verify()


@pytest.mark.parametrize("operator", ["prompt", "fused_infer", "incre"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_output_rounds_half_to_even_and_saturates(operator, dtype):
    """With one key the output is v itself, so the quantised values are known exactly."""
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, 1000.0, -127.5, -128.5, -1000.0, 0.0, 3.0,
                           -7.0, 0.75])
    kw = dict(query=torch.zeros(1, 1, 16, dtype=dtype), key=torch.zeros(1, 1, 16, dtype=dtype),
              value=values.to(dtype).view(1, 1, 16), num_heads=1, quant_scale2=torch.ones(1))
    out = inference_case(operator, kw).verify()
    out = out if operator != "fused_infer" else out[0]
    assert out.flatten().tolist() == [0, 2, 2, 0, -2, -2, 126, 127, 127, -128, -128, -128, 0, 3, -7, 1]


def test_bfloat16_output_scales():
    d = Draw(6)
    q, k, v = (d.normal((2, 9, 64), torch.bfloat16) for _ in range(3))
    inference_case("prompt", dict(query=q, key=k, value=v, num_heads=4, quant_scale2=torch.tensor([40.0]).bfloat16(),
                                  quant_offset2=torch.tensor([3.0]).bfloat16())).verify()


@pytest.mark.parametrize("operator", ["prompt", "fused_infer"])
def test_rows_without_keys_are_zero_despite_the_offset(operator):
    d = Draw(7)
    q, k, v = d.normal((1, 9, 64)), d.normal((1, 5, 64)), d.normal((1, 5, 64))
    out = inference_case(operator, dict(query=q, key=k, value=v, num_heads=4, sparse_mode=3, quant_scale2=torch.ones(1),
                                        quant_offset2=torch.tensor([50.0]))).verify()
    out = out if operator == "prompt" else out[0]
    assert bool((out[:, :4] == 0).all()) and bool((out[:, 4:] > 0).all())


def test_quantised_cache_and_output():
    for seed in range(6):
        random_case("fused_infer", seed, layout="BNSD", kind="paged", cache="int8", out_int8=True, sq=1).verify()
        random_case("incre", seed, antiquant=True, out_int8=True).verify()


def test_int8_extremes_do_not_overflow():
    """-128 everywhere: the int32 products and the offsets are exact."""
    full = torch.full((1, 2, 40, 512), -128, dtype=torch.int8)
    kw = dict(query=full[:, :, :3], key=full, value=full, num_heads=2, input_layout="BNSD",
              dequant_scale1=torch.tensor([1e-6]), quant_scale1=torch.tensor([127.0]),
              dequant_scale2=torch.tensor([1 / 127]))
    inference_case("fused_infer", kw).verify()
    query = torch.ones(1, 2, 3, 512, dtype=torch.float16)
    inference_case("fused_infer", dict(
        query=query, key=full, value=full, num_heads=2, input_layout="BNSD", scale=0.001,
        antiquant_scale=torch.tensor([0.01, 0.01]).half(), antiquant_offset=torch.tensor([5.0, -9.0]).half()),
        antiquant=True).verify()
