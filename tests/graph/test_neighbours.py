"""The operators beside attention in compiled functions and in NPU graphs."""

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.model import operator
from cases.on_npu import to_npu

CALLS = {
    "scatter": ("scatter", dict(op="npu_scatter_pa_kv_cache")),
    "scatter one": ("scatter", dict(op="npu_scatter_pa_cache.value")),
    "reshape": ("scatter", dict(op="_npu_reshape_and_cache", dtype=torch.float16)),
    "gather": ("gather", dict(op="npu_gather_pa_kv_cache")),
    "update": ("attention_update", dict(update_type=1)),
    "ring": ("ring_update", dict(layout="TND")),
    "rotary": ("rotary", dict(op="npu_apply_rotary_pos_emb")),
    "interleave": ("rotary", dict(op="npu_interleave_rope")),
    "latent": ("latent", dict(op="npu_kv_rmsnorm_rope_cache")),
}


def calls(name, count, seed=3):
    """The same call several times, with tensors of their own."""
    kind, fixed = CALLS[name]
    return [random_case(kind, seed, **fixed) for _ in range(count)]


def flat(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    return [tensor for part in tree or () for tensor in flat(part)] if isinstance(tree, (list, tuple)) or tree else []


def bits(tensor):
    return tensor.cpu().contiguous().flatten().view(torch.uint8)


def tensors(kw):
    return [v for v in kw.values() if isinstance(v, torch.Tensor)]


@pytest.mark.parametrize("name", CALLS)
def test_compiled(name):
    """Results and written tensors are those of the eager call; the caller's tensors are used afterwards."""
    eager, compiled = calls(name, 2)

    def run(kw):
        result = operator(eager.op)(**kw)
        return [t.view(torch.uint8).clone() if t.dtype.itemsize == 1 else t.clone() for t in flat(result)]

    want = run(eager.kwargs)
    torch._dynamo.reset()
    got = torch.compile(run, backend="aot_eager", fullgraph=True)(compiled.kwargs)
    for a, b in zip(got + tensors(compiled.kwargs), want + tensors(eager.kwargs), strict=True):
        assert torch.equal(bits(a), bits(b))


def test_rotary_gradients_compiled():
    leaves = [[torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for shape in
               ((2, 5, 3, 8), (1, 5, 1, 8), (1, 5, 1, 8))] for _ in range(2)]
    rotary = operator("npu_rotary_mul")
    rotary(*leaves[0]).square().sum().backward()
    torch.compile(lambda *t: rotary(*t).square().sum(), backend="aot_eager", fullgraph=True)(*leaves[1]).backward()
    for eager, compiled in zip(*leaves, strict=True):
        torch.testing.assert_close(compiled.grad, eager.grad)


@pytest.mark.parametrize("mode", ["half", "interleave"])
def test_rotary_gradcheck(mode):
    """Against differences of the operator, in float32."""
    torch.manual_seed(4)
    x, cosines, sines = torch.randn(2, 3, 4, 6), torch.randn(1, 3, 1, 6), torch.randn(1, 3, 1, 6)
    leaves = [t.clone().requires_grad_() for t in (x, cosines, sines)]
    rotary = operator("npu_rotary_mul")
    dy = torch.randn(2, 3, 4, 6)
    (rotary(*leaves, rotary_mode=mode) * dy).sum().backward()
    doubles = [t.double().requires_grad_() for t in (x, cosines, sines)]
    import reference

    (reference.rotary(*doubles, mode) * dy).sum().backward()
    for got, want in zip(leaves, doubles, strict=True):
        torch.testing.assert_close(got.grad.double(), want.grad, rtol=1e-5, atol=1e-5)
    explicit = operator("npu_rotary_mul_backward")(dy, x, cosines, sines, mode)
    assert all(torch.equal(a, b.grad) for a, b in zip(explicit, leaves, strict=True))


@pytest.mark.parametrize("name, message", [
    ("update", "npu_attention_update: local_out has no derivative"),
    ("ring", "npu_ring_attention_update: prev_attn_out has no derivative"),
    ("interleave", "npu_interleave_rope: x has no derivative here"),
])
def test_no_derivative(name, message):
    (case,) = calls(name, 1)
    kw = {n: v.float().requires_grad_() if isinstance(v, torch.Tensor) and v.is_floating_point() else
          [t.float().requires_grad_() for t in v] if isinstance(v, list) else v for n, v in case.kwargs.items()}
    with pytest.raises(RuntimeError, match=message):
        flat(operator(case.op)(**kw))[0].sum().backward()


@pytest.mark.parametrize("name", CALLS)
@on_device
def test_captured(name):
    """A replay works on what its tensors hold then."""
    first, second = (random_case(CALLS[name][0], 5, **CALLS[name][1]) for _ in range(2))
    held = {n: to_npu(v) for n, v in first.kwargs.items()}
    before = {n: v.clone() for n, v in held.items() if isinstance(v, torch.Tensor) and v.dtype.itemsize > 1}
    want = flat(operator(second.op)(**(want_kw := {n: to_npu(v) for n, v in second.kwargs.items()})))
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        results = flat(operator(first.op)(**held))
    for n, v in before.items():
        held[n].copy_(v)
    for _ in range(2):
        graph.replay()
        for a, b in zip(results + tensors(held), want + tensors(want_kw), strict=True):
            assert torch.equal(bits(a), bits(b))
