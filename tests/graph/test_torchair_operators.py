"""Every operator in the graph that the real torchair makes: node type, edges, attributes, results.

Two results are compared with the eager ones: what the compiled function returns, and what the node computes when it
runs with nothing but its own edges and attributes.
"""

import math

import pytest
import torch

import npufa
from cases import Draw, random_case
from cases.device import on_device
from cases.model import operator
from cases.nz import nz_case, quantised_case
from cases.on_npu import to_npu
from cases.quantised import dequant_scale
from cases.variants import SPELLING
from graph.ge import attributes, captured, compiled, needs_torchair, value_of
from graph.nodes import run_node
from npufa import ops
from npufa.graph.op_defs import op_defs

pytestmark = needs_torchair

INFERENCE = {
    "prompt": ("prompt", dict(layout="BSH", int8=False, out_int8=False, pse=True, sparse_mode=0)),
    "prompt causal": ("prompt", dict(layout="BNSD_BSND", int8=False, sparse_mode=3)),
    "prompt int8": ("prompt", dict(layout="BNSD", int8=True)),
    "incre paged": ("incre", dict(layout="BNSD", paged=True, out_int8=False)),
    "incre quantised": ("incre", dict(layout="BSH", out_int8=True)),
    "fused paged": ("fused_infer", dict(layout="BNSD", kind="paged", cache="float", lse=True)),
    "fused prefix": ("fused_infer", dict(layout="BSND", kind="prefix", cache="float")),
    "fused padding": ("fused_infer", dict(layout="BNSD", kind="padding", cache="float")),
    "fused rope": ("fused_infer", dict(layout="BNSD", kind="rope")),
    "fused packed": ("fused_infer", dict(layout="TND", kind="plain", cache="float", lse=True)),
    "fused int8 cache": ("fused_infer", dict(layout="BSH", kind="plain", cache="int8", mode=("split", 0, 0), sq=1)),
    "fused int4 cache": ("fused_infer", dict(layout="BNSD", kind="plain", cache="int4", mode=("combined", 0, 0))),
}
TRAINING = {
    "dense": ("fusion", dict(version=1, layout="BNSD", dropout=False, sparse_mode=3, pse=True)),
    "packed": ("fusion", dict(version=1, layout="TND", dropout=False, sparse_mode=0)),
    "prefix": ("fusion", dict(version=2, layout="BSND", dropout=False, sparse_mode=5)),
    "rope": ("fusion", dict(version=2, layout="SBH", dropout=False, rope=True, pse=False, sparse_mode=4)),
    "slopes": ("fusion", dict(version=2, layout="BSH", dropout=False, rope=False, pse=True, sparse_mode=0)),
    "lengths as tensors": ("fusion", dict(version=3, layout="TND", dropout=False, sink=True, sparse_mode=3)),
}
GRADIENTS = {
    "gradient": ("fusion_grad", dict(version=1, layout="BNSD", dropout=False, sparse_mode=3, pse=True, sink=True)),
    "gradient with rope": ("fusion_grad", dict(version=2, layout="BSND", dropout=False, rope=True, sparse_mode=0)),
    "gradient, packed": ("fusion_grad", dict(version=2, layout="TND", dropout=False, sparse_mode=4)),
    "gradient, lengths as tensors": ("fusion_grad", dict(version=3, layout="TND", dropout=False, sparse_mode=3)),
}
CASES = INFERENCE | TRAINING | GRADIENTS
VERSION_2 = ("fused paged", "fused packed", "fused int8 cache", "fused rope")

# What the pages of the operators do not leave to equal names.
NODES = {
    "npu_prompt_flash_attention": "NpufaPromptFlashAttention",
    "npu_incre_flash_attention": "NpufaIncreFlashAttention",
    "npu_fused_infer_attention_score": "NpufaFusedInferAttentionScore",
    "npu_fused_infer_attention_score_v2": "NpufaFusedInferAttentionScore",
    "npu_fusion_attention": "NpufaFlashAttention",
    "npu_fusion_attention_v2": "NpufaFlashAttention",
    "npu_fusion_attention_v3": "NpufaFlashAttention",
    "npu_fusion_attention_grad": "NpufaFlashAttentionGrad",
    "npu_fusion_attention_grad_v2": "NpufaFlashAttentionGrad",
    "npu_fusion_attention_grad_v3": "NpufaFlashAttentionGrad",
}
_FORWARD = ["attention_out", "softmax_max", "softmax_sum"]
RESULTS = {
    "npu_prompt_flash_attention": ["attention_out"],
    "npu_incre_flash_attention": ["attention_out"],
    "npu_fused_infer_attention_score": ["attention_out", "softmax_lse"],
    "npu_fused_infer_attention_score_v2": ["attention_out", "softmax_lse"],
    "npu_fusion_attention": _FORWARD,
    "npu_fusion_attention_v2": _FORWARD,
    "npu_fusion_attention_v3": _FORWARD,
    "npu_fusion_attention_grad": ["dq", "dk", "dv", "dpse", "dsink"],
    "npu_fusion_attention_grad_v2": ["dq", "dk", "dv", "dpse", "dq_rope", "dk_rope", "dsink"],
    "npu_fusion_attention_grad_v3": ["dq", "dk", "dv", "dpse", "dsink"],
}
# Operators with tests of their own.
OTHER_FILES = {name for module in (ops.cache, ops.combine, ops.rotary, ops.step) for name in module.__all__
               if name.startswith("npu_")}
SPELLINGS = {"scale": "scale_value", "pre_tockens": "pre_tokens", "next_tockens": "next_tokens"}
SPELLINGS_V2 = {name: SPELLINGS.get(old, old) for old, name in SPELLING.items()}
# Attributes that some signatures have no argument for.
WITHOUT_ARGUMENT = {"inner_precise": 1, "pse_type": 1, "antiquant_mode": 0, "any_lengths": False,
                    "query_quant_mode": 0, "batch_invariant": False, "softcap": 0.0, "pse_layout": 0,
                    "value_head_size": 0}
NOT_IN_GRAPH = {"gen_mask_parallel", "sync", "padding_mask", "softmax_in", "seed", "offset", "numels"}


def tensors_of(result):
    return [t for t in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(t, torch.Tensor)]


def in_graph(case, name):
    """The name of an argument in the operator's definition."""
    return (SPELLINGS_V2 if case.op.endswith("score_v2") else SPELLINGS).get(name, name)


def expected_attributes(case, names):
    values = {a.name: a.default_value for a in operator(case.op).default._schema.arguments} | case.kwargs
    values = {in_graph(case, name): value for name, value in values.items()}
    return {name: values.get(name, WITHOUT_ARGUMENT.get(name)) for name in names}


def check_attributes(case, node):
    got = attributes(node)
    for name, value in expected_attributes(case, got).items():
        if isinstance(value, float):
            assert math.isclose(got[name], value, rel_tol=1e-6), name
        else:
            assert got[name] == value, name


def check_edges(case, graph, node, tensors):
    """Every argument reaches the input of its name, and nothing else is connected."""
    sources = graph.inputs(node)
    used = [name for name in tensors if name not in NOT_IN_GRAPH]
    data = {name: op.name for name, op in zip(used, graph.data(), strict=True)}
    attribute_names = attributes(node)
    for name, value in case.kwargs.items():
        target = in_graph(case, name)
        if name in NOT_IN_GRAPH or target in attribute_names:
            continue
        if isinstance(value, torch.Tensor):
            place = f"{target}_tensor" if name.startswith("actual_") else target
            assert sources.pop(place).name == data[name], name
        else:
            constant = sources.pop(target)
            assert constant.type == "Const", name
            assert value_of(constant).tolist() == value, name
    assert not {name for name, source in sources.items() if source is not None}


def check_node(case, graph, node, tensors, want):
    data = [tensor for name, tensor in tensors.items() if name not in NOT_IN_GRAPH]
    data = {op.name: tensor for op, tensor in zip(graph.data(), data, strict=True)}
    results = dict(zip(RESULTS[case.op], tensors_of(want), strict=False))
    query = case.kwargs["query"]
    outputs = {tensor.name: torch.empty(0, dtype=query.dtype, device="npu") for tensor in op_defs()[node.type].outputs}
    outputs |= {name: torch.full_like(tensor, 77) for name, tensor in results.items()}
    run_node(graph, node, data, outputs)
    for name, tensor in results.items():
        torch.testing.assert_close(outputs[name].cpu(), tensor.cpu(), rtol=0, atol=0, equal_nan=True)


def draw(name):
    kind, features = CASES[name]
    case = random_case(kind, 7, **features)
    case.kwargs = {name: value for name, value in case.kwargs.items() if value is not None}
    return case


def check(case):
    tensors = {n: to_npu(v) for n, v in case.kwargs.items() if isinstance(v, torch.Tensor)}
    rest = {n: v for n, v in case.kwargs.items() if n not in tensors}
    names = tuple(tensors)

    def model(*values):
        return operator(case.op)(**dict(zip(names, values, strict=True)), **rest)

    with captured() as graphs, torch.no_grad():
        got = compiled(model)(*tensors.values())
    (graph,) = graphs
    node = graph.node(NODES[case.op])
    check_attributes(case, node)
    check_edges(case, graph, node, tensors)
    found = [output for op_type, output in graph.results() if op_type == node.type]
    want = model(*tensors.values())
    assert found == RESULTS[case.op]
    for a, b in zip(tensors_of(got), tensors_of(want), strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), rtol=0, atol=0, equal_nan=True)
    check_node(case, graph, node, tensors, want)


@pytest.mark.parametrize("name", CASES)
@on_device
def test_operator(name):
    check(draw(name))


@on_device
def test_batch_invariance_is_that_of_the_conversion():
    case = draw(next(iter(CASES)))
    tensors = [to_npu(case.kwargs[name]) for name in ("query", "key", "value")]
    rest = {name: to_npu(value) for name, value in case.kwargs.items() if name not in ("query", "key", "value")}
    with npufa.batch_invariant(), captured() as graphs, torch.no_grad():
        compiled(lambda *values: operator(case.op)(*values, **rest))(*tensors)
    assert attributes(graphs[0].node(NODES[case.op]))["batch_invariant"] is True


@pytest.mark.parametrize("name", VERSION_2)
@on_device
def test_fused_infer_v2(name):
    case = draw(name)
    case.op = "npu_fused_infer_attention_score_v2"
    case.kwargs = {SPELLING.get(name, name): value for name, value in case.kwargs.items()}
    check(case)


@pytest.mark.parametrize("build", [nz_case, quantised_case])
@on_device
def test_nz_caches_and_quantised_queries(build):
    check(build(7, kind="rope", layout="BSND_NBSD", lse=True))


@pytest.mark.parametrize("kind", (torch.int64, torch.uint64), ids=str)
@on_device
def test_scales_in_64_bits(kind):
    case = draw("prompt int8")
    case.kwargs |= {name: dequant_scale(0.01, kind) for name in ("deq_scale1", "deq_scale2")}
    check(case)


@on_device
def test_combined_scale_that_is_per_channel_by_its_type():
    """Its shape would be one per token if it were float32."""
    d = Draw(3)
    case = draw("incre paged")
    case.kwargs = {
        "query": d.normal((2, 2, 1, 32), torch.float16),
        "key": d.integers((2, 2, 30, 32), -100, 100),
        "value": d.integers((2, 2, 30, 32), -100, 100),
        "antiquant_scale": d.uniform((2, 2, 32), 0.01, 0.02, torch.float16),
        "antiquant_offset": d.uniform((2, 2, 32), -5, 5, torch.float16),
        "num_heads": 2, "num_key_value_heads": 2, "input_layout": "BNSD", "scale_value": 0.25,
    }  # fmt: skip
    check(case)


RANDOM = {"prompt": {}, "incre": {}, "fused_infer": {}, "fusion": {"dropout": False}, "fusion_grad": {"dropout": False}}


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", RANDOM)
@on_device
def test_random_calls(kind, seed):
    features = {"cache": ("float", "int8", "int4")[seed % 3]} if kind == "fused_infer" else RANDOM[kind]
    case = random_case(kind, 500 + seed, **features)
    case.kwargs = {name: value for name, value in case.kwargs.items() if value is not None}
    check(case)


def test_every_operator_has_a_case():
    import npufa

    covered = {draw(name).op for name in CASES} | {"npu_fused_infer_attention_score_v2"}
    assert {name for name in dir(npufa) if name.startswith("npu_")} - covered == OTHER_FILES
