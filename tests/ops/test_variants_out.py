"""Overloads that write into given tensors, and the helpers that size these."""

import pytest
import torch
from functorch.compile import aot_function, nop

from cases import random_case
from cases.model import operator
from cases.variants import as_v2
from cases.versions import aliases_raise


def fused_infer(v2, lse=True):
    case = random_case("fused_infer", 9, kind="paged", layout="BNSD", cache="float", lse=lse, dtype=torch.float16,
                       out_int8=False)
    return as_v2(case) if v2 else case


def helper(op, name):
    return operator(f"_{op}_{name}")


def given(shape, dtype, fill=77):
    return torch.full(tuple(shape), fill, dtype=dtype)


def output_arguments(case):
    """What the infer_output helper takes of a call."""
    names = [a.name for a in helper(case.op, "infer_output").default._schema.arguments]
    return {n: v for n, v in case.kwargs.items() if n in names}


@pytest.mark.parametrize("lse", [False, True])
@pytest.mark.parametrize("v2", [False, True])
def test_fused_infer(v2, lse):
    case = fused_infer(v2, lse)
    want = case.call()
    workspace = helper(case.op, "get_max_workspace")(**case.kwargs)
    shapes = helper(case.op, "infer_output")(**output_arguments(case))
    assert [(t.shape, t.dtype) for t in shapes] == [(t.shape, t.dtype) for t in want]
    out = [torch.full_like(t, 77) for t in want]
    result = operator(case.op + ".out")(**case.kwargs, workspace=workspace, out=out)
    assert [t.data_ptr() for t in result] == [t.data_ptr() for t in out]
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


@pytest.mark.parametrize("v2", [False, True])
def test_an_output_that_is_not_asked_for_is_left_alone(v2):
    """Callers give a tensor of one element for the log-sum-exp."""
    case = fused_infer(v2, lse=False)
    out = [torch.empty_like(case.call()[0]), given((1,), torch.float32)]
    result = operator(case.op + ".out")(**case.kwargs, out=out)
    assert torch.equal(result[0], case.call()[0]) and out[1].item() == 77


@pytest.mark.parametrize("layout", ["TND", "BNSD", "SBH"])
def test_training_forward(layout):
    case = random_case("fusion", 13, version=3, layout=layout, dropout=False)
    want = case.call()
    kw = case.kwargs
    shapes = helper(case.op, "infer_output")(kw["query"], kw["key"], kw["value"], kw["head_num"], layout)
    assert [(t.shape, t.dtype) for t in shapes] == [(t.shape, t.dtype) for t in want[:3]]
    out = [torch.full_like(t, 77) for t in want]
    operator(case.op + ".out")(**kw, workspace=helper(case.op, "get_max_workspace")(**kw), out=out)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


def test_training_forward_with_dropout_writes_the_seed():
    case = random_case("fusion", 14, version=3, layout="BNSD", dropout=False)
    kw = case.kwargs | dict(keep_prob=0.5)
    torch.manual_seed(3)
    want = operator(case.op)(**kw)
    out = [torch.full_like(t, 77) for t in want]
    torch.manual_seed(3)
    operator(case.op + ".out")(**kw, out=out)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True)) and out[4].item() != 0


@pytest.mark.parametrize("layout,features", [("TND", {}), ("BNSD", dict(pse=True)), ("BSH", dict(sink=True))])
def test_training_backward(layout, features):
    case = random_case("fusion_grad", 15, version=3, layout=layout, dropout=False, **features)
    want = case.call()
    kw = case.kwargs
    shapes = helper(case.op, "infer_output")(kw["query"], kw["key"], kw["value"], kw.get("pse"), kw.get("sink"))
    assert [(t.shape, t.dtype) for t in shapes] == [(t.shape, t.dtype) for t in want]
    out = [torch.full_like(t, 77) for t in want]
    operator(case.op + ".out")(**kw, workspace=helper(case.op, "get_max_workspace")(**kw), out=out)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


def bad_out(case):
    good = [torch.full_like(t, 77) for t in case.call()]
    first, second = good
    wide = torch.full((*first.shape[:-1], 2 * first.shape[-1]), 77, dtype=first.dtype)
    return {
        "number": ([first], r"out has the wrong number of tensors, got 1; expected 2"),
        "shape": ([first[..., 1:].clone(), second], r"out\[0\] \(attention_out\) has the wrong shape"),
        "dtype": ([first, second.double()], r"out\[1\] \(softmax_lse\) has the wrong dtype, got .?float64"),
        "strides": ([wide[..., ::2], second], r"out\[0\] \(attention_out\) is not contiguous"),
        "device": ([first.to("meta"), second], r"out\[0\] \(attention_out\) is on another device"),
        "query": ([case.kwargs["query"].view(first.shape), second], r"out\[0\] .* shares memory with query"),
        "twice": ([wide.view(-1)[:first.numel()].view(first.shape),
                   wide.view(-1).view(torch.float32)[:second.numel()].view(second.shape)],
                  r"out\[0\] .* shares memory with out\[1\]"),
    }


@pytest.mark.parametrize("fault", ["number", "shape", "dtype", "strides", "device", "query", "twice"])
def test_illegal_out_is_not_written(fault):
    case = random_case("fused_infer", 9, kind="plain", layout="BNSD", cache="float", lse=True, dtype=torch.float16,
                       out_int8=False)
    case.kwargs["query"] = case.kwargs["query"].contiguous()
    out, message = bad_out(case)[fault]
    before = [t.clone() for t in out]
    with pytest.raises(RuntimeError, match=rf"npufa::{case.op}: {message}"):
        operator(case.op + ".out")(**case.kwargs, out=out)
    assert all(t.is_meta or torch.equal(t, b) for t, b in zip(out, before))


@pytest.mark.parametrize("workspace,message", [
    (torch.empty(8, device="meta"), "workspace is on another device than query"),
    (torch.empty(8, 2)[:, 0], "workspace is not contiguous"),
])
def test_illegal_workspace(workspace, message):
    case = fused_infer(v2=True)
    with pytest.raises(RuntimeError, match=f"npufa::{case.op}: {message}"):
        operator(case.op + ".out")(**case.kwargs, workspace=workspace, out=list(case.call()))


def test_out_is_not_differentiable():
    case = fused_infer(v2=False)
    out = [t.clone() for t in case.call()]
    query = case.kwargs["query"].clone().requires_grad_()
    call = operator(case.op + ".out")
    with pytest.raises(RuntimeError, match="out does not support automatic differentiation"):
        call(**case.kwargs | dict(query=query), out=out)
    with torch.no_grad():
        call(**case.kwargs | dict(query=query), out=out)
    assert out[0]._version == 1


@pytest.mark.parametrize("v2,lse,backend", [(False, True, "aot_eager"), (True, False, "inductor"),
                                            (False, True, "inductor")])
def test_compiled(v2, lse, backend):
    """The written tensors are used afterwards; in the functional graph the mutation is kept."""
    case = fused_infer(v2, lse)
    want = case.call()
    overload = operator(case.op + ".out")

    def step(out):
        overload(**case.kwargs, out=out)
        return out[0] + 1

    out = [torch.full_like(t, 77) for t in want]
    torch._dynamo.reset()
    with aliases_raise():
        got = torch.compile(step, backend=backend, fullgraph=True)(out)
    assert torch.equal(got, want[0] + 1)
    assert all(torch.equal(a, b) for a, b in zip(out, want, strict=True))


def test_functional_call_checks_out():
    case = fused_infer(v2=False)
    out = [torch.full_like(t, 77) for t in case.call()]
    out[1] = out[1].half()
    call = aot_function(lambda kwargs, out: operator(case.op + ".out")(**kwargs, out=out), fw_compiler=nop)
    with pytest.raises(RuntimeError, match=r"\.out: out\[1\] has the wrong shape or dtype, got .*float16"):
        call(case.kwargs, out)
    assert (out[0] == 77).all()
