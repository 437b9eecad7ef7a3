"""Quantised queries of the second version of fused_infer: int8 with a scale per token and head."""

import re

import pytest
import torch
from hypothesis import given, settings, strategies as st

from cases.inference import FUSED_LAYOUTS
from cases.model import operator
from cases.nz import quantised_case

V2 = "npu_fused_infer_attention_score_v2"


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10 ** 6), layout=st.sampled_from(FUSED_LAYOUTS))
def test_random_calls(seed, layout):
    quantised_case(seed, layout=layout).verify()


@pytest.mark.parametrize("seed", range(6))
def test_long_calls(seed):
    quantised_case(seed, long=True).verify()


@pytest.mark.parametrize("kind", ["plain", "paged", "rope"])
def test_decode(kind):
    for seed in range(6):
        quantised_case(seed, nz=False, kind=kind, layout="BNSD", sq=1).verify()


def test_the_scales_of_query_and_key_apply_to_ropes():
    case = quantised_case(3, nz=False, kind="rope", layout="BSND", lse=True, dtype=torch.float16, sparse_mode=0)
    kw = case.kwargs
    zero = {n: torch.zeros_like(kw[n]) for n in ("query", "key")}
    rope_alone = case.call(**zero)[0]
    halved = case.call(**zero, dequant_scale_query=kw["dequant_scale_query"] / 2, query_rope=kw["query_rope"] * 2)[0]
    torch.testing.assert_close(halved, rope_alone, atol=2e-3, rtol=2e-3)


def test_output_types():
    case = quantised_case(4, nz=False, kind="rope", layout="TND")
    rope = case.kwargs["query_rope"].dtype
    assert case.call(out_dtype=rope)[0].dtype == rope
    plain = quantised_case(4, nz=False, kind="plain", layout="TND")
    assert plain.call()[0].dtype == plain.call(out_dtype=torch.float16)[0].dtype == torch.float16


def test_shapes_without_a_call():
    case = quantised_case(5, kind="rope", layout="BSND_NBSD", lse=True)
    want = case.call()
    on_meta = {n: t.to("meta") if isinstance(t, torch.Tensor) else t for n, t in case.kwargs.items()}
    helper = operator(f"_{V2}_infer_output")
    names = [a.name for a in helper.default._schema.arguments]
    for got in (operator(V2)(**on_meta), helper(**{n: t for n, t in case.kwargs.items() if n in names})):
        assert [(t.shape, t.dtype) for t in got] == [(t.shape, t.dtype) for t in want]


def test_given_outputs():
    case = quantised_case(5, kind="rope", layout="TND_NTD", lse=True)
    want = case.call()
    workspace = operator(f"_{V2}_get_max_workspace")(**case.kwargs)
    out = [torch.full_like(t, 77) for t in want]
    operator(V2 + ".out")(**case.kwargs, workspace=workspace, out=out)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


def base_call(**changes):
    """B 2, N 4, Nkv 2, Sq 3, Skv 20, D 16, ropes of 8."""
    int8 = torch.zeros(2, 2, 20, 16, dtype=torch.int8)
    call = dict(query=torch.zeros(2, 4, 3, 16, dtype=torch.int8), key=int8, value=int8, num_query_heads=4,
                num_key_value_heads=2, input_layout="BNSD", softmax_scale=0.25, query_quant_mode=3,
                dequant_scale_query=torch.ones(2, 4, 3), dequant_scale_key=torch.ones(1),
                dequant_scale_value=torch.ones(1), query_rope=torch.zeros(2, 4, 3, 8, dtype=torch.bfloat16),
                key_rope=torch.zeros(2, 2, 20, 8, dtype=torch.bfloat16))
    return call | changes


def float_call(**changes):
    call = base_call() | {n: torch.zeros_like(base_call()[n], dtype=torch.bfloat16) for n in ("query", "key", "value")}
    return call | dict(query_quant_mode=0, dequant_scale_query=None, dequant_scale_key=None,
                       dequant_scale_value=None) | changes


BF16 = torch.bfloat16
ILLEGAL = [
    *((base_call(query_quant_mode=mode), f"query_quant_mode is not supported, got {mode}; expected 3 ")
      for mode in (0, 1, 2, 4, 6, 7, -1)),
    (base_call(dequant_scale_query=None), "dequant_scale_query is missing"),
    (base_call(dequant_scale_query=torch.ones(2, 4, 3, 1)), r"dequant_scale_query has the wrong shape, .* \[2, 4, 3\]"),
    (base_call(dequant_scale_query=torch.ones(2, 3, 4)), "dequant_scale_query has the wrong shape"),
    (base_call(dequant_scale_query=torch.ones(2, 4, 3, dtype=BF16)), "dequant_scale_query has the wrong dtype"),
    (base_call(dequant_scale_key=None), "dequant_scale_key is missing"),
    (base_call(dequant_scale_value=None), "dequant_scale_value is missing"),
    (base_call(dequant_scale_key=torch.ones(2)), "dequant_scale_key has the wrong shape"),
    (base_call(dequant_scale_value=torch.ones(2, 16)), "dequant_scale_value has the wrong shape"),
    (base_call(dequant_scale_key=torch.ones(1, dtype=BF16)), "dequant_scale_key has the wrong dtype"),
    (base_call(key_quant_mode=2, value_quant_mode=2), "key_quant_mode is not supported, got 2; expected 0"),
    (base_call(value_quant_mode=1), "value_quant_mode is not supported, got 1; expected 0"),
    (base_call(dequant_offset_key=torch.ones(1)), "dequant_offset_key does not go with a quantised query"),
    (base_call(dequant_offset_value=torch.ones(1)), "dequant_offset_value does not go with a quantised query"),
    (base_call(quant_scale_out=torch.ones(1)), "quant_scale_out does not go with a quantised query"),
    (base_call(quant_scale_p=torch.ones(1)), "quant_scale_p is not supported"),
    (base_call(dequant_scale_key_rope=torch.ones(1)), "dequant_scale_key_rope is reserved"),
    (base_call(query_rope=torch.zeros(2, 4, 3, 8), key_rope=torch.zeros(2, 2, 20, 8)),
     "query_rope has the wrong dtype, got float32; expected float16 or bfloat16"),
    (base_call(key_rope=torch.zeros(2, 2, 20, 8, dtype=torch.float16)), "key_rope has the wrong dtype"),
    (base_call(query_rope=torch.zeros(2, 4, 3, 8, dtype=torch.int8)), "query_rope has the wrong dtype"),
    (base_call(key=torch.zeros(2, 2, 20, 16, dtype=BF16), value=torch.zeros(2, 2, 20, 16, dtype=BF16)),
     "key differs from query in dtype, got bfloat16; expected int8"),
    (base_call(out_dtype=torch.float16), "out_dtype is not supported"),
    (base_call(query_dtype=torch.uint8), "query_dtype is not supported"),
    (float_call(query_quant_mode=3), "query_quant_mode is only for an int8 query, got 3; expected 0"),
    (float_call(dequant_scale_query=torch.ones(2, 4, 3)), "dequant_scale_query is only for an int8 query"),
    (float_call(dequant_scale_key=torch.ones(1)), "dequant_scale_key is only for a quantised cache"),
]


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("call,message", ILLEGAL, ids=lambda x: x.split(" ")[0] if isinstance(x, str) else "")
def test_messages(call, message, meta):
    if meta:
        call = {n: v.to("meta") if isinstance(v, torch.Tensor) else v for n, v in call.items()}
    with pytest.raises((RuntimeError, ValueError)) as caught:
        operator(V2)(**call)
    assert re.search(rf"npufa::{V2}: {message}", str(caught.value)), str(caught.value)
    assert re.search(r"got .*; expected ", str(caught.value)), str(caught.value)


def test_the_legal_calls_are_legal():
    operator(V2)(**base_call())
    operator(V2)(**float_call())


def test_bsh_scale():
    call = base_call(query_rope=None, key_rope=None, input_layout="BSH",
                     **{n: base_call()[n].transpose(1, 2).flatten(2) for n in ("query", "key", "value")})
    operator(V2)(**call | {"dequant_scale_query": torch.ones(2, 3, 4)})
    with pytest.raises(RuntimeError, match=r"dequant_scale_query has the wrong shape, got .*; expected \[2, 3, 4\]"):
        operator(V2)(**call)
