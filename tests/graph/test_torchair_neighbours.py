"""The operators beside attention in the graphs that the real torchair makes."""

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.model import operator
from cases.on_npu import to_npu
from graph.ge import captured, compiled, needs_torchair

pytestmark = needs_torchair

# name -> kind, features, node
CALLS = {
    "scatter": ("scatter", dict(op="npu_scatter_pa_kv_cache", dtype=torch.float16), "NpufaScatterPaKvCache"),
    "scatter one": ("scatter", dict(op="npu_scatter_pa_cache.value", dtype=torch.bfloat16), "NpufaScatterPaCache"),
    "reshape one": ("scatter", dict(op="_npu_reshape_and_cache_siso", dtype=torch.int8), "NpufaScatterPaCache"),
    "gather": ("gather", dict(op="npu_gather_pa_kv_cache", dtype=torch.float16), "NpufaGatherPaKvCache"),
    "update": ("attention_update", dict(update_type=1, parts=3), "NpufaAttentionUpdate"),
    "ring": ("ring_update", dict(layout="TND"), "NpufaRingAttentionUpdate"),
    "interleave": ("rotary", dict(op="npu_interleave_rope"), "NpufaRotaryMul"),
    "latent": ("latent", dict(op="npu_kv_rmsnorm_rope_cache_v2", quantised=[True, False]), "NpufaKvRmsnormRopeCache"),
}
SEEDS = {"gather": 5, "latent": 9}


def bits(tensor):
    return tensor.cpu().contiguous().flatten().view(torch.uint8)


def results(result):
    return [t for t in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(t, torch.Tensor)]


@pytest.mark.parametrize("name", CALLS)
@on_device
def test_node(name):
    kind, fixed, node = CALLS[name]
    case = random_case(kind, SEEDS.get(name, 6), **fixed)
    eager, graphed = ({n: v.contiguous() if isinstance(v := to_npu(value), torch.Tensor) else v
                       for n, value in case.kwargs.items()} for _ in range(2))
    names = [n for n, v in eager.items() if isinstance(v, torch.Tensor)]

    def model(*tensors, **others):
        return results(operator(case.op)(**{**others, **dict(zip(names, tensors, strict=True))}))

    others = {n: v for n, v in eager.items() if n not in names}
    want = model(*(eager[n] for n in names), **others)
    with captured() as graphs, torch.no_grad():
        got = compiled(model)(*(graphed[n] for n in names), **{n: v for n, v in graphed.items() if n not in names})
    (graph,) = graphs
    assert len(graph.nodes(node)) == 1
    written = [(graphed[n], eager[n]) for n in names]
    for a, b in [*zip(got, want, strict=True), *written]:
        assert torch.equal(bits(a), bits(b))
