"""Dropout inside a captured graph: every replay draws its own mask, the one that eager calls would draw."""

import pytest
import torch

from cases.device import fails_a_capture, on_device

SETTINGS = dict(scale=0.25, keep_prob=0.7, sparse_mode=3)


def tensors():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(1, 2, 50, 16, generator=generator).half().npu().requires_grad_() for _ in range(3)]


def step(query, key, value):
    """Outputs, seed and offset, and gradients."""
    results = torch.ops.npufa.npu_fusion_attention_v3(query, key, value, 2, "BNSD", **SETTINGS)
    gradients = torch.autograd.grad(results[0], (query, key, value), torch.ones_like(results[0]))
    return [results[0].detach(), results[4], results[5], *gradients]


@pytest.mark.parametrize("seed", [5, 0])
@on_device
def test_replays_draw_what_eager_calls_draw(seed):
    torch.npu.manual_seed(seed)
    inputs = tensors()
    state = torch.npu.get_rng_state()
    eager = [[t.clone() for t in step(*inputs)] for _ in range(3)]
    assert not torch.equal(eager[0][0], eager[1][0])

    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        captured = step(*inputs)
    torch.npu.set_rng_state(state)
    for expected in eager:
        for t in captured:
            t.zero_()
        graph.replay()
        for got, want in zip(captured, expected, strict=True):
            assert torch.equal(got, want)


@on_device
def test_seeds_of_two_calls_in_one_graph_follow_each_other():
    torch.npu.manual_seed(5)
    inputs = tensors()
    state = torch.npu.get_rng_state()
    eager = [[t.clone() for t in step(*inputs)] for _ in range(2)]
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        captured = [step(*inputs), step(*inputs)]
    torch.npu.set_rng_state(state)
    graph.replay()
    for got, want in zip(captured, eager, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@on_device
@fails_a_capture
def test_integers_cannot_be_captured():
    query, key, value = (t.detach() for t in tensors())
    graph = torch.npu.NPUGraph()
    with pytest.raises(RuntimeError, match="seed cannot be drawn while a graph is captured, got 0; .*_v3"):
        with torch.npu.graph(graph):
            torch.ops.npufa.npu_fusion_attention(query, key, value, 2, "BNSD", **SETTINGS)
    torch.npu.synchronize()
    assert torch.ops.npufa.npu_fusion_attention(query, key, value, 2, "BNSD", **SETTINGS)[4] != 0


@on_device
def test_the_gradient_reads_its_seed_on_the_device():
    """The same bits as from numbers of the host."""
    query, key, value = (t.detach() for t in tensors())
    out, top, total, _, seed, offset = torch.ops.npufa.npu_fusion_attention_v3(query, key, value, 2, "BNSD", **SETTINGS)
    settings = dict(SETTINGS)
    settings["scale_value"] = settings.pop("scale")
    grads = [torch.ops.npufa.npu_fusion_attention_grad_v3(
        query, key, value, torch.ones_like(out), 2, "BNSD", softmax_max=top, softmax_sum=total, attention_in=out,
        seed=seed.to(place), offset=offset.to(place), **settings) for place in ("npu", "cpu")]
    for on_device_seed, on_host_seed in zip(*grads, strict=True):
        assert torch.equal(on_device_seed, on_host_seed)
