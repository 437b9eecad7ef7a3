"""Paged caches in NZ: pieces of 32 bytes of every token, one piece behind the other."""

import dataclasses
import re

import pytest
import torch
from hypothesis import given, settings, strategies as st

from cases.inference import FUSED_LAYOUTS
from cases.model import operator
from cases.nz import exact_case, int8_products_case, nz_case
from cases.variants import as_v2
from cases.versions import needs_opcheck

INFER = "npu_fused_infer_attention_score"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10 ** 6), layout=st.sampled_from(FUSED_LAYOUTS), v2=st.booleans())
def test_random_calls(seed, layout, v2):
    case = nz_case(seed, layout=layout)
    if v2 and "antiquant_scale" in case.kwargs:
        return
    (as_v2(case) if v2 else case).verify()


@pytest.mark.parametrize("seed", range(6))
def test_long_calls(seed):
    nz_case(seed, long=True).verify()


@pytest.mark.parametrize("cache", [torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("block_size", [16, 128])
@pytest.mark.parametrize("head_dim,rope", [(64, 0), (128, 0), (512, 64)])
def test_sizes(head_dim, rope, block_size, cache):
    for rows in (1, 3, 17):
        exact_case((1, 17, 127, 129), block_size, head_dim, rope, cache, rows).verify()


def test_int8_products():
    int8_products_case().verify()


def test_one_tensor_as_key_and_value():
    case = exact_case((40, 7), head_dim=64)
    one = {"key": case.kwargs["key"], "value": case.kwargs["key"]}
    other = {"key": one["key"], "value": one["key"].clone()}
    assert torch.equal(case.call(**one)[0], case.call(**other)[0])


@pytest.mark.parametrize("v2", [False, True])
def test_shapes_without_a_call(v2):
    case = exact_case((40, 7), head_dim=64)
    case = as_v2(case) if v2 else case
    want = case.call()
    on_meta = {n: t.to("meta") if isinstance(t, torch.Tensor) else t for n, t in case.kwargs.items()}
    helper = operator(f"_{case.op}_infer_output")
    names = [a.name for a in helper.default._schema.arguments]
    for got in (operator(case.op)(**on_meta), helper(**{n: t for n, t in case.kwargs.items() if n in names})):
        assert [(t.shape, t.dtype) for t in got] == [(t.shape, t.dtype) for t in want]


@needs_opcheck
def test_opcheck():
    torch.library.opcheck(operator(INFER).default, (), exact_case((40, 7), head_dim=64).kwargs)


def changed(**changes):
    """A legal call with D 64 and blocks of 16 tokens, and what is changed of it."""
    case = exact_case((40, 7), block_size=16, head_dim=64, rope=changes.pop("rope", 0))
    return {**case.kwargs, **{n: f(case.kwargs[n]) if callable(f) else f for n, f in changes.items()}}


def pair(function, **more):
    return changed(key=function, value=function, **more)


NZ = r"or in NZ \(num_blocks, 2, D/16, 16, 16\)"
ILLEGAL = {
    "int8 in pieces of 16": (pair(lambda t: t.to(torch.int8), **{f"{n}_antiquant_scale": torch.ones(1).half()
                                                                 for n in ("key", "value")}),
                             r"key is not a paged cache of block_size 16, got \[7, 2, 4, 16, 16\]; expected .*"
                             r"in NZ \(num_blocks, 2, D/32, 16, 32\)"),
    "float32": ({**pair(lambda t: t.float()), "query": torch.zeros(2, 1, 4, 64)},
                r"key is not a paged cache of block_size 16, got .*; expected (?!.*NZ)"),
    "tokens first": (pair(lambda t: t.transpose(2, 3)), f"key is not a paged cache .*{NZ}"),
    "pieces of 32": (pair(lambda t: t.reshape(7, 2, 2, 16, 32)), f"key is not a paged cache .*{NZ}"),
    "heads": (pair(lambda t: t[:, :1]), f"key is not a paged cache .*{NZ}"),
    "block size": (pair(lambda t: t[:, :, :, :15]), f"key is not a paged cache .*{NZ}"),
    "head size": (pair(lambda t: t[:, :, :3]), "key has another head size than query, got 48; expected 64"),
    "mixed": (changed(value=lambda t: t.permute(0, 3, 1, 2, 4).flatten(3)), "value differs from key in cache layout"),
    "blocks": (changed(value=lambda t: t[1:]), "value differs from key in cache layout"),
    "rope in ND": (changed(rope=64, key_rope=lambda t: t.permute(0, 3, 1, 2, 4).flatten(3)),
                   "key_rope differs from key in cache layout"),
    "rope's width": (changed(rope=64, key_rope=lambda t: t[:, :, :2]), "key_rope differs from query_rope in head size"),
    "no table": (changed(block_table=None, block_size=0), "key has the wrong number of dimensions, got .*; expected 4"),
}


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_calls(name, meta):
    call, message = ILLEGAL[name]
    if meta:
        call = {n: t.to("meta") if isinstance(t, torch.Tensor) else t for n, t in call.items()}
    with pytest.raises((RuntimeError, ValueError), match="npufa::" + INFER) as caught:
        operator(INFER)(**call)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_incre_has_no_nz():
    kw = changed()
    with pytest.raises(RuntimeError, match="key is not a paged cache of block_size 16, got .*; expected (?!.*NZ)"):
        operator("npu_incre_flash_attention")(
            kw["query"], kw["key"], kw["value"], num_heads=4, num_key_value_heads=2, input_layout="BSND",
            block_table=kw["block_table"], block_size=16, actual_seq_lengths=[40, 7])


def test_a_block_id_beyond_the_cache():
    case = exact_case((40, 7), block_size=16, head_dim=64)
    table = case.kwargs["block_table"].clone()
    table[0, 2] = 7
    wrong = r"block_table has a block id out of range at \[0, 2\], got 7; expected 0..6"
    with pytest.raises(RuntimeError, match=wrong):
        dataclasses.replace(case, kwargs={**case.kwargs, "block_table": table}).call()
