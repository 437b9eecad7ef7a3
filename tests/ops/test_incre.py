"""npu_incre_flash_attention against the float64 reference."""

import pytest
import torch

from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import place
from cases.inference import MASK_DTYPES, inference_case

LAYOUTS = ("BSH", "BSND", "BNSD")


def incre(layout="BNSD", batch=3, heads=4, kv_heads=2, skv=50, dim=32, dtype=torch.float16, seed=0, **kw):
    d = Draw(seed)
    q = d.normal((batch, heads, 1, dim), dtype)
    k, v = (d.normal((batch, kv_heads, skv, dim), dtype) for _ in range(2))
    return inference_case("incre", dict(
        query=place(q, layout), key=place(k, layout), value=place(v, layout), num_heads=heads,
        num_key_value_heads=kv_heads, input_layout=layout, scale_value=dim ** -0.5, **kw))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("feature", ["plain", "paged", "padding", "antiquant", "out_int8"])
def test_layout_and_feature(layout, dtype, feature):
    features = {"paged": False, "padding": False, "antiquant": False, "out_int8": False}
    if feature != "plain":
        features[feature] = True
    for seed in range(12):
        random_case("incre", seed, layout=layout, dtype=dtype, **features).verify()


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 16, 31, 64, 72, 128, 192, 256, 512])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_head_dim(dim, dtype):
    for layout in LAYOUTS:
        incre(layout, dim=dim, dtype=dtype).verify()


@pytest.mark.parametrize("heads,kv_heads", [(1, 1), (8, 1), (64, 1), (6, 3), (32, 8), (10, 10)])
@pytest.mark.parametrize("skv", [1, 127, 128, 129, 1000])
def test_groups_and_lengths(heads, kv_heads, skv):
    incre(batch=2, heads=heads, kv_heads=kv_heads, skv=skv, dim=16, dtype=torch.bfloat16).verify()


@pytest.mark.parametrize("skv", [4096, 9001])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_long_cache_few_heads(skv, dtype):
    incre(batch=1, heads=4, kv_heads=1, skv=skv, dim=64, dtype=dtype, actual_seq_lengths=[skv - 3]).verify()


@pytest.mark.parametrize("lengths", [None, [50], [7], [0], [50, 1, 0], [3, 4, 5, 6, 7]], ids=str)
@pytest.mark.parametrize("padding", [None, 0, 5, 43, 60, -2])
def test_lengths_and_left_padding(lengths, padding):
    incre(actual_seq_lengths=lengths, kv_padding_size=None if padding is None else torch.tensor([padding])).verify()


@pytest.mark.parametrize("shape", [
    (3, 50), (1, 50), (3, 1, 50), (3, 1, 1, 50), (1, 1, 1, 50), (3, 64), (3, 1, 1, 64)], ids=str)
@pytest.mark.parametrize("kind", MASK_DTYPES, ids=str)
def test_mask_shapes(shape, kind):
    incre(atten_mask=Draw(1).mask(shape, kind), actual_seq_lengths=[50, 20, 31]).verify()


@pytest.mark.parametrize("shape", [(3, 4, 1, 50), (1, 4, 1, 50), (3, 4, 1, 64)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pse_shift(shape, dtype):
    incre(dtype=dtype, pse_shift=Draw(2).normal(shape, dtype), actual_seq_lengths=[50, 20, 31]).verify()


def test_left_padding_masks_are_indexed_by_storage():
    mask = Draw(1).mask((3, 50), torch.bool)
    pse = Draw(2).normal((3, 4, 1, 50), torch.float16)
    incre(atten_mask=mask, pse_shift=pse, actual_seq_lengths=[20, 10, 41], kv_padding_size=torch.tensor([9])).verify()


@pytest.mark.parametrize("block_size", [1, 3, 16, 48, 128, 512])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_block_sizes(block_size, layout):
    d = Draw(block_size)
    used = [37, 0, 90]
    width = -(-90 // block_size)
    table = torch.full((3, width), -1, dtype=torch.int32)
    ids = torch.randperm(3 * width, generator=d.generator).to(torch.int32)
    for b, n in enumerate(used):
        count = -(-n // block_size)
        table[b, :count] = ids[b * width:b * width + count]
    shape = (3 * width, 2, block_size, 16) if layout == "BNSD" else (3 * width, block_size, 32)
    kw = dict(key=d.normal(shape, torch.float16), value=d.normal(shape, torch.float16), block_table=table,
              block_size=block_size, actual_seq_lengths=used, num_heads=4, num_key_value_heads=2, input_layout=layout,
              scale_value=0.25, query=place(d.normal((3, 4, 1, 16), torch.float16), layout))
    inference_case("incre", kw).verify()


def test_inner_precise_keeps_accuracy():
    for value in (0, 1):
        incre(inner_precise=value).verify()
