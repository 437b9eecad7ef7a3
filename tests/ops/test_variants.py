"""npu_fused_infer_attention_score_v2: the first version's results in its own spelling, and a sink."""

import re

import pytest
import torch

import npufa
from cases import Draw, random_case
from cases.model import operator
from cases.variants import as_v2, with_sink
from cases.versions import needs_opcheck

V2 = "npu_fused_infer_attention_score_v2"
KINDS = {
    "plain": dict(kind="plain", cache="float"),
    "paged": dict(kind="paged", cache="float"),
    "rope": dict(kind="rope"),
    "channel": dict(kind="plain", cache="int8", mode=("split", 0, 0), layout="BNSD"),
    "token": dict(kind="plain", cache="int8", mode=("split", 0, 1), layout="BSND"),
    "paged_scales": dict(kind="paged", cache="int8", mode=("split", 4, 4)),
    "int4": dict(kind="plain", cache="int4", mode=("split", 2, 2), layout="BSH"),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_spelling(kind, seed):
    as_v2(random_case("fused_infer", 500 + seed, **KINDS[kind])).verify()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("layout", ["TND", "NTD_TND", "BSH", "BNSD_BSND"])
@pytest.mark.parametrize("kind", ["plain", "paged", "rope"])
def test_sink(kind, layout, dtype):
    """Documented for packed layouts in bfloat16, here it goes with every layout; rows without keys stay 0."""
    case = random_case("fused_infer", 7, kind=kind, layout=layout, cache="float", lse=True, dtype=dtype, out_int8=False)
    sink = Draw(8).normal((case.kwargs["num_heads"],), dtype, 3.0)
    with_sink(case, sink).verify()


def test_a_large_sink_takes_everything():
    case = random_case("fused_infer", 7, kind="plain", layout="BNSD", cache="float", lse=True, out_int8=False)
    out, lse = with_sink(case, torch.full((case.kwargs["num_heads"],), 1000.0)).call()
    assert out.abs().max() < 1e-6
    assert torch.all((lse == 1000.0) | (lse == torch.inf))


def base_call(**changes):
    d = Draw(3)
    call = dict(query=d.normal((2, 4, 3, 16)), key=d.normal((2, 2, 20, 16)), value=d.normal((2, 2, 20, 16)),
                num_query_heads=4, num_key_value_heads=2, input_layout="BNSD", softmax_scale=0.25)
    return call | changes


def quantised(**changes):
    d = Draw(4)
    cache, scale = d.integers((2, 2, 20, 16), -9, 9), torch.ones(1)
    return base_call(key=cache, value=cache.clone(), dequant_scale_key=scale, dequant_scale_value=scale) | changes


ILLEGAL = [
    (base_call(num_query_heads=0), "num_query_heads is not positive"),
    (base_call(num_key_value_heads=-1), "num_key_value_heads .* a divisor of num_query_heads"),
    (base_call(actual_seq_kvlen=[21, 3]), "actual_seq_kvlen has a length out of range, got 21"),
    (base_call(actual_seq_qlen=[-1, 3]), "actual_seq_qlen has a length out of range, got -1"),
    (base_call(input_layout="BNSDX"), "input_layout"),
    (base_call(quant_offset_out=torch.ones(1)), "quant_offset_out is given without quant_scale_out"),
    (base_call(quant_scale_out=torch.ones(3)), "quant_scale_out has the wrong number of elements"),
    (base_call(dequant_scale_key=torch.ones(1)), "dequant_scale_key is only for a quantised cache"),
    (base_call(dequant_scale_query=torch.ones(1)), "dequant_scale_query is only for an int8 query"),
    (base_call(dequant_scale_key_rope=torch.ones(1)), "dequant_scale_key_rope is reserved"),
    (base_call(quant_scale_p=torch.ones(1)), "quant_scale_p is not supported"),
    (base_call(query_quant_mode=3), "query_quant_mode is only for an int8 query, got 3; expected 0"),
    (base_call(query_dtype=torch.int8), "query_dtype is not supported"),
    (base_call(key_shared_prefix_dtype=torch.float32), "key_shared_prefix_dtype is not supported"),
    (base_call(out_dtype=torch.int8), "out_dtype is not supported"),
    (base_call(query=torch.zeros(2, 4, 3, 16, dtype=torch.int8), key=torch.zeros(2, 2, 20, 16, dtype=torch.int8),
               value=torch.zeros(2, 2, 20, 16, dtype=torch.int8)),
     "query_quant_mode is not supported, got 0; expected 3"),
    (base_call(learnable_sink=torch.zeros(5)), r"learnable_sink has the wrong shape, got \[5\]"),
    (base_call(learnable_sink=torch.zeros(4, dtype=torch.int32)), "learnable_sink has the wrong dtype"),
    (base_call(sparse_mode=9), "sparse_mode is not supported, got 9"),
    (quantised(dequant_scale_value=None), "dequant_scale_value is missing"),
    (quantised(dequant_scale_key=None, dequant_scale_value=None), "dequant_scale_key is missing"),
    (quantised(key_quant_mode=6), "key_quant_mode is unknown"),
    (quantised(key_quant_mode=2), "value_quant_mode does not agree with key_quant_mode"),
    (quantised(dequant_offset_key=torch.ones(1)), "dequant_offset_value is missing"),
    (quantised(dequant_offset_key=torch.ones(1).half(), dequant_offset_value=torch.ones(1)),
     "dequant_offset_key differs from dequant_scale_key in dtype"),
    (quantised(dequant_scale_key=torch.ones(3)), "dequant_scale_key does not fit"),
]


@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("call,message", ILLEGAL, ids=lambda x: x.split(" ")[0] if isinstance(x, str) else "")
def test_messages_name_its_own_arguments(call, message, meta):
    if meta:
        call = {n: v.to("meta") if isinstance(v, torch.Tensor) else v for n, v in call.items()}
    with pytest.raises((RuntimeError, ValueError)) as caught:
        operator(V2)(**call)
    assert re.search(rf"npufa::{V2}: {message}", str(caught.value)), str(caught.value)
    assert re.search(r"got .*; expected ", str(caught.value)), str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_lengths_as_tensors(dtype):
    """The wrapper chooses the overload; the operator itself would turn tensors into lists."""
    lists = dict(actual_seq_qlen=[2, 3], actual_seq_kvlen=[5, 20])
    tensors = {name: torch.tensor(lengths, dtype=dtype) for name, lengths in lists.items()}
    want, _ = operator(V2)(**base_call(**lists))
    for op in (npufa.npu_fused_infer_attention_score_v2, operator(V2 + ".tensor_lengths")):
        assert torch.equal(op(**base_call(**tensors))[0], want)


@needs_opcheck
def test_opcheck():
    case = as_v2(random_case("fused_infer", 3, layout="BNSD", kind="paged", cache="float", lse=True))
    torch.library.opcheck(operator(V2).default, (), case.kwargs)


def test_types_the_tensors_have_anyway_are_legal():
    call = base_call()
    types = {f"{n}_dtype": torch.float16 for n in ("query", "key", "value", "out")}
    want = operator(V2)(**call | {n: call[n].half() for n in ("query", "key", "value")})
    got = operator(V2)(**call | {n: call[n].half() for n in ("query", "key", "value")}, **types)
    assert torch.equal(got[0], want[0])
