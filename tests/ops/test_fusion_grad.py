"""Gradients of npu_fusion_attention against autograd of the float64 reference."""

import pytest
import torch

import reference
from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import LAYOUTS, compare_gradient, draw_call, grad_case, op_name, place, spelled
from cases.model import operator

DIFFERENTIABLE = ("query", "key", "value", "pse", "query_rope", "key_rope", "sink")
MODES = {"TND": (0, 1, 2, 3, 4, 6, 7, 8), **{n: (0, 1, 2, 3, 4, 5, 6) for n in LAYOUTS if n != "TND"}}


def check_backward(kw, version, d, op=None):
    """Run the operator, .backward() and compare every leaf's gradient."""
    leaves = {n: kw[n].detach().requires_grad_() for n in DIFFERENTIABLE if kw.get(n) is not None}
    out = operator(op or op_name(version))(**spelled({**kw, **leaves}, version))[0]
    dy = d.strided(d.normal(out.shape, out.dtype))
    out.backward(dy)
    expected = reference.fusion_attention_grad(dy=dy, **kw)
    for name, leaf in leaves.items():
        assert leaf.grad is not None, f"d{name}: no gradient"
        assert leaf.grad.shape == leaf.shape
        compare_gradient(kw, name, leaf.grad, expected)
    return leaves


def explicit(layout="BNSD", batch=1, heads=2, kv_heads=2, sq=20, skv=30, dim=16, value_dim=None, dtype=torch.float32,
             seed=0, **kw):
    d = Draw(seed)
    q, k = d.normal((batch, heads, sq, dim), dtype), d.normal((batch, kv_heads, skv, dim), dtype)
    v = d.normal((batch, kv_heads, skv, value_dim or dim), dtype)
    return dict(query=place(q, layout), key=place(k, layout), value=place(v, layout), head_num=heads,
                input_layout=layout, **{"scale": dim ** -0.5, **kw})


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout,mode", [(name, mode) for name in LAYOUTS for mode in MODES[name]])
def test_grad_operator(layout, mode, dtype, version):
    for seed in range(2):
        random_case("fusion_grad", seed, layout=layout, sparse_mode=mode, dtype=dtype, version=version).verify()


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_backward(layout, dtype, version):
    for seed in range(100, 108):
        d = Draw(seed)
        _, kw = draw_call(d, dict(layout=layout, dtype=dtype, version=version))
        if version == 3:
            kw.pop("keep_prob", None)
        check_backward(kw, version, d)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("layout", ["BNSD", "TND"])
def test_backward_with_a_given_dropout_mask(layout, version):
    seen = 0
    for seed in range(40):
        d = Draw(seed)
        _, kw = draw_call(d, dict(layout=layout, version=version, dropout=True, dtype=torch.float32))
        if "dropout_mask" in kw:
            check_backward(kw, version, d)
            seen += 1
    assert seen > 5


@pytest.mark.parametrize("dim,value_dim", [(1, 1), (7, 3), (16, 16), (64, 33), (72, 72), (128, 128), (192, 128),
                                           (512, 256), (768, 768)])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_head_dims(dim, value_dim, dtype):
    kw = explicit(dim=dim, value_dim=value_dim, dtype=dtype, sparse_mode=3, heads=4, kv_heads=2)
    check_backward(kw, 1, Draw(1))
    grad_case(kw, 2, Draw(2)).verify()


@pytest.mark.parametrize("sq,skv", [(1, 1), (1, 129), (129, 1), (127, 128), (128, 257), (300, 129), (513, 513)])
@pytest.mark.parametrize("mode", [0, 2, 3])
def test_lengths_around_tiles(sq, skv, mode):
    check_backward(explicit(sq=sq, skv=skv, sparse_mode=mode, heads=2, kv_heads=1), 1, Draw(3))


@pytest.mark.parametrize("shape", [(2, 4, 33, 40), (1, 4, 33, 40), (2, 4, 1, 40), (2, 4, 36, 48), (1, 4, 40, 40)],
                         ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pse_shapes(shape, dtype):
    kw = explicit(batch=2, heads=4, kv_heads=2, sq=33, skv=40, dtype=dtype, pse=Draw(5).normal(shape, dtype))
    leaves = check_backward(kw, 1, Draw(6))
    assert leaves["pse"].grad.shape == shape
    grad_case(kw, 1, Draw(7)).verify()


@pytest.mark.parametrize("pse_type", [2, 3])
def test_alibi_slopes(pse_type):
    slopes = torch.tensor([0.1, 0.4])
    kw = explicit(batch=2, pse=slopes, pse_type=pse_type, q_start_idx=[3], kv_start_idx=[-2], sparse_mode=3)
    check_backward(kw, 2, Draw(1))
    grad_case(kw, 2, Draw(2)).verify()


def test_compressed_alibi_rows_collect_what_they_fed():
    size = 1030
    kw = explicit(heads=1, kv_heads=1, sq=size, skv=size, dim=4, pse=Draw(8).normal((1, 1, 1024, size)), sparse_mode=3)
    check_backward(kw, 1, Draw(9))


@pytest.mark.parametrize("sink", [-40.0, 0.0, 5.0])
def test_sink(sink):
    check_backward(explicit(sink=torch.tensor([sink, sink + 1]), sparse_mode=3, sq=30, skv=20), 1, Draw(1))


def test_rows_without_keys_have_zero_gradients():
    kw = explicit(sq=30, skv=20, sparse_mode=3, sink=torch.tensor([0.5, 1.0]))
    leaves = check_backward(kw, 1, Draw(1))
    assert bool((leaves["query"].grad[:, :, :10] == 0).all())
    nothing = explicit(sq=8, skv=8, sparse_mode=4, pre_tokens=-9, next_tokens=0, sink=torch.tensor([0.5, 1.0]))
    leaves = check_backward(nothing, 1, Draw(1))
    assert all(bool((t.grad == 0).all()) for t in leaves.values())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_absent_inputs_have_empty_gradients(version):
    case = grad_case(explicit(), version, Draw(1))
    result = case.verify()
    assert all(t.numel() == 0 for t in result[3:])


@pytest.mark.parametrize("wanted", ["query", "key", "value"])
def test_only_one_input_requires_grad(wanted):
    kw = explicit()
    leaf = kw[wanted].detach().requires_grad_()
    out = operator("npu_fusion_attention")(**{**kw, wanted: leaf})[0]
    dy = Draw(1).normal(out.shape)
    out.backward(dy)
    compare_gradient(kw, wanted, leaf.grad, reference.fusion_attention_grad(dy=dy, **kw))


def test_expanded_output_gradient():
    kw = explicit()
    leaf = kw["query"].detach().requires_grad_()
    out = operator("npu_fusion_attention")(**{**kw, "query": leaf})[0]
    out.sum().backward()
    expected = reference.fusion_attention_grad(dy=torch.ones_like(out), **kw)
    compare_gradient(kw, "query", leaf.grad, expected)


def test_shared_query_key_value():
    """Self-attention of one tensor: its gradient is the sum of the three."""
    kw = explicit(sq=20, skv=20)
    x = kw["query"].detach().requires_grad_()
    out = operator("npu_fusion_attention")(x, x, x, 2, "BNSD", scale=0.25)[0]
    dy = Draw(2).normal(out.shape)
    out.backward(dy)
    kw |= {"key": kw["query"], "value": kw["query"], "scale": 0.25}
    grads = reference.fusion_attention_grad(**kw, dy=dy).grads
    torch.testing.assert_close(x.grad.double(), sum(grads[n] for n in ("query", "key", "value")), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_double_backward_raises(version):
    kw = explicit()
    leaf = kw["query"].detach().requires_grad_()
    out = operator(op_name(version))(**{**kw, "query": leaf})[0]
    with pytest.raises(RuntimeError):
        grad, = torch.autograd.grad(out.sum(), leaf, create_graph=True)
        grad.sum().backward()


def test_no_graph_without_gradients():
    kw = explicit()
    assert not operator("npu_fusion_attention")(**kw)[0].requires_grad
    with torch.no_grad():
        out = operator("npu_fusion_attention")(**{**kw, "query": kw["query"].detach().requires_grad_()})[0]
    assert not out.requires_grad


def test_backward_twice_is_bit_identical():
    grads = []
    for _ in range(2):
        leaves = check_backward(explicit(heads=6, kv_heads=2, sq=130, skv=200, dtype=torch.bfloat16), 1, Draw(4))
        grads.append([leaf.grad for leaf in leaves.values()])
    assert all(torch.equal(a, b) for a, b in zip(*grads))


def test_backward_again_on_a_retained_graph():
    kw = explicit(keep_prob=0.8)
    leaf = kw["query"].detach().requires_grad_()
    out = operator("npu_fusion_attention")(**{**kw, "query": leaf})[0].sum()
    first, = torch.autograd.grad(out, leaf, retain_graph=True)
    second, = torch.autograd.grad(out, leaf)
    assert torch.equal(first, second)


def test_changing_an_input_before_backward_raises():
    kw = explicit()
    leaf = kw["query"].detach().requires_grad_()
    query = leaf * 1
    out = operator("npu_fusion_attention")(**{**kw, "query": query})[0]
    query.detach().add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        out.sum().backward()


def test_checkpointing_recomputes_the_same_gradient():
    kw = explicit(sparse_mode=3)
    op = operator("npu_fusion_attention")

    def run(q, checkpointed):
        fn = lambda x: op(**{**kw, "query": x, "keep_prob": 0.7})[0]  # noqa: E731
        torch.manual_seed(3)
        out = torch.utils.checkpoint.checkpoint(fn, q, use_reentrant=False) if checkpointed else fn(q)
        out.square().sum().backward()
        return q.grad

    first, second = (run(kw["query"].detach().requires_grad_(), c) for c in (False, True))
    assert torch.equal(first, second)
