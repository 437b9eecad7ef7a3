"""torch.autocast: inputs of the query's type are cast to the region's, everything else is left alone."""

import pytest
import torch

from cases import Draw, random_case
from cases.device import on_device
from cases.model import operator
from cases.on_npu import to_npu

HALVES = (torch.bfloat16, torch.float16)
TYPED = ("query", "key", "value", "query_rope", "key_rope", "pse", "pse_shift", "key_shared_prefix",
         "value_shared_prefix", "dy", "attention_in")
CALLS = {
    "fusion": dict(version=1, layout="BNSD", dropout=False, pse=True),
    "fusion_rope": dict(version=2, layout="TND", dropout=False, rope=True),
    "fusion_sink": dict(version=3, layout="BSH", dropout=False, sink=True),
    "fusion_grad": dict(version=3, layout="BNSD", dropout=False),
    "prompt": dict(layout="BNSD", pse=True, int8=False, out_int8=False),
    "prompt_int8_output": dict(layout="BSH", int8=False, out_int8=True),
    "incre": dict(layout="BNSD", paged=True, antiquant=True, out_int8=False),
    "fused_infer": dict(layout="BNSD", kind="prefix", cache="float", lse=True),
    "fused_infer_rope": dict(layout="TND", kind="rope", lse=True),
}


def case_of(name):
    kind = next(k for k in ("fusion_grad", "fusion", "prompt", "incre", "fused_infer") if name.startswith(k))
    return random_case(kind, 3, dtype=torch.float32, **CALLS[name])


def tensors_of(result):
    return [t for t in ([result] if isinstance(result, torch.Tensor) else result) if isinstance(t, torch.Tensor)]


def cast(kwargs, dtype):
    return {n: v.to(dtype) if n in TYPED and isinstance(v, torch.Tensor) and v.dtype == torch.float32 else v
            for n, v in kwargs.items()}


def check(case, kwargs, device, dtype):
    """The region gives what casting by hand gives, bit by bit."""
    op = operator(case.op)
    want = op(**cast(kwargs, dtype))
    with torch.autocast(device, dtype=dtype):
        got = op(**kwargs)
    assert len(tensors_of(got)) == len(tensors_of(want))
    for a, b in zip(tensors_of(got), tensors_of(want)):
        assert a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", CALLS)
def test_cpu(name, dtype):
    case = case_of(name)
    check(case, case.kwargs, "cpu", dtype)


@pytest.mark.parametrize("name", ["fusion", "fusion_grad", "incre", "fused_infer_rope"])
@on_device
def test_npu(name):
    case = case_of(name)
    check(case, {n: to_npu(v) for n, v in case.kwargs.items()}, "npu", torch.float16)


def qkv(dtype=torch.float32, seed=1):
    d = Draw(seed)
    return [d.normal(s, dtype) for s in ((2, 4, 6, 16), (2, 2, 9, 16), (2, 2, 9, 16))]


def attention(q, k, v):
    return torch.ops.npufa.npu_fusion_attention_v3(q, k, v, 4, "BNSD", scale=0.25, sparse_mode=3)[0]


def test_mixed_types_become_legal():
    operator("npu_fusion_attention_v3")
    q, k, v = qkv()
    with pytest.raises(RuntimeError, match="key differs from query in dtype"):
        attention(q.half(), k, v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = attention(q.half(), k.bfloat16(), v)
    assert mixed.dtype == torch.bfloat16
    assert torch.equal(mixed, attention(q.half().bfloat16(), k.bfloat16(), v.bfloat16()))


def test_regions_nest():
    operator("npu_fusion_attention_v3")
    q, k, v = qkv()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.autocast("cpu", enabled=False):
            assert attention(q, k, v).dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.float16):
            assert attention(q, k, v).dtype == torch.float16
        assert attention(q, k, v).dtype == torch.bfloat16
    assert attention(q, k, v).dtype == torch.float32


def test_float64_and_int8_are_not_cast():
    """They raise, or run, as outside."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(RuntimeError, match="query has the wrong dtype, got .?float64"):
            attention(*[t.double() for t in qkv()])
        case = random_case("prompt", 4, layout="BNSD", int8=True, out_int8=False, pse=True)
        assert case.verify().dtype == torch.float16


@pytest.mark.parametrize("pse_type", [2, 3])
def test_slopes_stay_float32(pse_type):
    op = operator("npu_fusion_attention_v2")
    slopes = torch.rand(4, dtype=torch.float32)
    call = lambda tensors: op(*tensors, 4, "BNSD", pse=slopes, pse_type=pse_type, sparse_mode=3)[0]  # noqa: E731
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = call(qkv())
    assert torch.equal(got, call([t.bfloat16() for t in qkv()]))


@pytest.mark.parametrize("inside", [False, True])
def test_gradients_have_the_inputs_types(inside):
    """backward() outside the region, as recommended, and inside."""
    operator("npu_fusion_attention_v3")
    leaves = [t.requires_grad_() for t in qkv()]
    by_hand = [t.detach().clone().requires_grad_() for t in leaves]
    attention(*[t.bfloat16() for t in by_hand]).float().sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = attention(*leaves).float().sum()
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    for a, b in zip(leaves, by_hand):
        assert a.grad.dtype == torch.float32 and torch.equal(a.grad, b.grad)


def test_a_region_around_backward_does_not_change_it():
    operator("npu_fusion_attention_v3")
    grads = []
    for enabled in (False, True):
        leaves = [t.requires_grad_() for t in qkv()]
        loss = attention(*leaves).sum()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss.backward()
        grads.append([t.grad for t in leaves])
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled(backend):
    operator("npu_fusion_attention_v3")
    torch._dynamo.reset()

    def step(q, k, v):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return attention(q * 2, k, v)

    results = []
    for fn in (step, torch.compile(step, backend=backend, fullgraph=True)):
        leaves = [t.requires_grad_() for t in qkv()]
        out = fn(*leaves)
        out.float().sum().backward()
        results.append([out, *[t.grad for t in leaves]])
    for a, b in zip(*results):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b)
