"""Illegal calls of atb's attention operators name their own argument, on the CPU, on meta tensors and while tracing,
and write nothing."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import npufa
from cases.model import operator

F16 = torch.float16


def paged(**more):
    """Two sequences of 5 and 9 tokens, N 4, Nkv 2, D 16, blocks of 4."""
    return dict(query=torch.randn(2, 4, 16).half(), key_cache=torch.randn(6, 4, 2, 16).half(),
                value_cache=torch.randn(6, 4, 2, 16).half(), num_kv_heads=2, num_heads=4, scale_value=0.25,
                block_table=torch.tensor([[0, 1, 5], [2, 3, 4]], dtype=torch.int32), context_lens=torch.tensor([5, 9]),
                out=torch.full((2, 4, 16), 77, dtype=F16), **more)


def mla():
    kw = paged()
    del kw["value_cache"]
    return kw | dict(mla_vheadsize=12, out=torch.full((2, 4, 12), 77, dtype=F16))


def chunks(**more):
    """Query tokens 2 and 3 of the sequences."""
    return paged(**more) | dict(query=torch.randn(5, 4, 16).half(), seq_len=torch.tensor([2, 3]),
                                mask=torch.randn(5, 9).half(), out=torch.full((5, 4, 16), 77, dtype=F16))


def packed(**more):
    return dict(query=torch.randn(5, 4, 16).half(), key=torch.randn(5, 2, 16).half(),
                value=torch.randn(5, 2, 16).half(), seq_len=torch.tensor([2, 3]), num_kv_heads=2, num_heads=4,
                scale_value=0.25, out=torch.full((5, 4, 16), 77, dtype=F16), **more)


def lists(kw):
    return {n: v.tolist() if n in ("seq_len", "context_lens") else v for n, v in kw.items()}


BASES = {
    "_npu_paged_attention": paged,
    "_npu_paged_attention_v2.out": lambda: lists(paged()),
    "_npu_paged_attention_mla": mla,
    "_npu_paged_attention_splitfuse": chunks,
    "_npu_paged_attention_splitfuse_v2": lambda: chunks() | dict(mask=torch.zeros(16, 16).half()),
    "_npu_flash_attention_qlens": lambda: chunks() | dict(mask=torch.zeros(16, 16).half()),
    "_npu_flash_attention_prefix_v2.out": lambda: lists(chunks()) | dict(mask=torch.zeros(16, 16).half()),
    "_npu_flash_attention": lambda: packed(mask=torch.randn(3, 3).half()),
    "_npu_flash_attention_v2.out": lambda: lists(packed(mask=torch.randn(3, 3).half())),
    "_npu_flash_attention_v3": lambda: packed(mask=torch.zeros(16, 16).half()),
    "_npu_flash_attention_unpad": packed,
    "_npu_flash_attention_unpad_v2": packed,
}
PA, MLA, SPLIT, V2, PA2 = ("_npu_paged_attention", "_npu_paged_attention_mla", "_npu_paged_attention_splitfuse",
                           "_npu_flash_attention_v2.out", "_npu_paged_attention_v2.out")
UNPAD, FA = "_npu_flash_attention_unpad", "_npu_flash_attention"
LINE, INT8 = torch.ones(2, dtype=torch.int64), torch.zeros(6, 4, 2, 16, dtype=torch.int8)

# operator, what is changed, the argument that the message names, and whether the fault is a tensor's content
TABLE = [
    (PA, dict(query=torch.randn(2, 4, 16).to(torch.int8)), "query", False),
    (PA, dict(query=torch.randn(4)), "query", False),
    (PA, dict(query=torch.randn(2, 63).half()), "query", False),
    (PA, dict(query=torch.randn(2, 5, 16).half()), "query", False),
    (PA, dict(query=torch.randn(2, 4, 8).half()), "key_cache", False),
    (PA, dict(key_cache=torch.randn(6, 4, 2, 16)), "key_cache", False),
    (PA, dict(key_cache=INT8, value_cache=INT8), "key_cache", False),
    (PA, dict(key_cache=torch.randn(6, 2, 1, 4, 16).half()), "key_cache", False),
    (PA, dict(value_cache=torch.randn(6, 4, 2, 16)), "value_cache", False),
    (PA, dict(value_cache=torch.randn(5, 4, 2, 16).half()), "value_cache", False),
    (PA, dict(value_cache=torch.randn(6, 4, 2, 17).half()), "value_cache", False),
    (PA, dict(num_kv_heads=3), "num_kv_heads", False),
    (PA, dict(num_kv_heads=-1), "num_kv_heads", False),
    (PA, dict(num_heads=0), "num_heads", False),
    (PA, dict(scale_value=float("nan")), "scale_value", False),
    (PA, dict(block_table=torch.zeros(2, 3)), "block_table", False),
    (PA, dict(block_table=torch.zeros(3, 3, dtype=torch.int32)), "block_table", False),
    (PA, dict(block_table=torch.full((2, 3), 6, dtype=torch.int32)), "block_table", True),
    (PA, dict(context_lens=torch.tensor([5.0, 9.0])), "context_lens", False),
    (PA, dict(context_lens=torch.tensor([[5, 9]])), "context_lens", False),
    (PA, dict(context_lens=torch.tensor([5])), "context_lens", False),
    (PA, dict(context_lens=torch.tensor([5, 13])), "context_lens", True),
    (PA, dict(context_lens=torch.tensor([-1, 9])), "context_lens", True),
    (PA, dict(out=torch.empty(2, 4, 15, dtype=F16)), "out", False),
    (PA, dict(out=torch.empty(2, 4, 16)), "out", False),
    (PA, dict(out=torch.empty(4, 2, 16, dtype=F16).transpose(0, 1)), "out", False),
    (PA, dict(workspace=torch.empty(8, 2)[:, 0]), "workspace", True),
    (PA2, dict(context_lens=[5]), "context_lens", False),
    (PA2, dict(context_lens=[5, 13]), "context_lens", False),
    (PA2, dict(value_cache=None), "value_cache", False),
    (PA2, dict(mask_type=1), "mask_type", False),
    (PA2, dict(mask_type=2), "mask", False),
    (PA2, dict(mask=torch.randn(4, 1, 9).half()), "mask", False),
    (PA2, dict(mask_type=2, mask=torch.randn(4, 1, 8).half()), "mask", False),
    (PA2, dict(mask_type=2, mask=torch.randn(3, 1, 9).half()), "mask", False),
    (PA2, dict(mask_type=2, mask=torch.randn(4, 1, 9)), "mask", False),
    (MLA, dict(mla_vheadsize=0), "mla_vheadsize", False),
    (MLA, dict(mla_vheadsize=17), "mla_vheadsize", False),
    (MLA, dict(query=torch.randn(2, 4, 600).half(), key_cache=torch.randn(6, 4, 2, 600).half()), "query", False),
    (SPLIT, dict(mask=torch.randn(4, 9).half()), "mask", False),
    (SPLIT, dict(mask=torch.randn(1, 5, 9).half()), "mask", False),
    (SPLIT, dict(seq_len=torch.tensor([2, 4])), "seq_len", True),
    (SPLIT, dict(seq_len=torch.tensor([-2, 4])), "seq_len", True),
    (SPLIT, dict(seq_len=torch.tensor([2, 1, 2])), "context_lens", False),
    (SPLIT, dict(seq_len=torch.tensor([2.0, 3.0])), "seq_len", False),
    ("_npu_paged_attention_splitfuse_v2", dict(mask_type=3), "mask_type", False),
    ("_npu_paged_attention_splitfuse_v2", dict(mask=torch.zeros(16, 15).half()), "mask", False),
    ("_npu_flash_attention_prefix_v2.out", dict(slopes=torch.ones(4)), "slopes", False),
    ("_npu_flash_attention_prefix_v2.out", dict(kernel_type=3), "kernel_type", False),
    ("_npu_flash_attention_v3", dict(mask_type=1), "mask_type", False),
    (FA, dict(mask=torch.randn(2, 2).half()), "mask", True),
    (FA, dict(mask=torch.randn(3).half()), "mask", False),
    (FA, dict(mask=torch.randn(3, 3, 3).half()), "mask", False),
    (V2, dict(mask_type=7), "mask_type", False),
    (V2, dict(mask_type=4), "slopes", False),
    (V2, dict(mask_type=5, slopes=torch.ones(3)), "slopes", False),
    (V2, dict(mask_type=6, slopes=torch.ones(4, dtype=torch.int32)), "slopes", False),
    (V2, dict(mask_type=4, slopes=torch.ones(4)), "mask", False),
    (V2, dict(mask_type=4, slopes=torch.ones(4), mask=torch.zeros(4, 5, 128).half()), "mask", False),
    (V2, dict(mask_type=4, slopes=torch.ones(4), mask=None), "mask", False),
    ("_npu_flash_attention_prefix_v2.out", dict(mask_type=6, slopes=torch.ones(4)), "mask_type", False),
    (V2, dict(mask_type=0), "mask", False),
    (V2, dict(seq_len=[2, 4]), "seq_len", False),
    (UNPAD, dict(key=torch.randn(5, 2, 16)), "key", False),
    (UNPAD, dict(key=torch.randn(4, 2, 16).half()), "value", False),
    (UNPAD, dict(value=torch.randn(5, 2, 17).half()), "value", False),
    (UNPAD, dict(seq_len=LINE[None]), "seq_len", False),
    ("_npu_flash_attention_unpad_v2", dict(kernel_type=-1), "kernel_type", False),
]


IDS = [f"{op}-{','.join(changes)}-{i}" for i, (op, changes, _, _) in enumerate(TABLE)]


def check_raises(op, kw, argument):
    with pytest.raises((RuntimeError, ValueError)) as caught:
        operator(op)(**kw)
    message = str(caught.value).splitlines()[0]
    name = op.removesuffix(".out")
    assert re.match(rf"npufa::{name}: {argument}\b.*, got .*; expected .", message), message


@pytest.mark.parametrize("op", BASES)
def test_the_unchanged_call_is_legal(op):
    torch.manual_seed(0)
    kw = BASES[op]()
    operator(op)(**kw)
    assert (kw["out"] != 77).all()


@pytest.mark.parametrize("entry", TABLE, ids=IDS)
def test_illegal_call(entry):
    op, changes, argument, by_content = entry
    kw = BASES[op]() | changes
    before = kw["out"].clone()
    check_raises(op, kw, argument)
    assert torch.equal(kw["out"], before) or "out" in changes
    if by_content:
        return
    check_raises(op, {n: v.to("meta") if isinstance(v, torch.Tensor) else v for n, v in kw.items()}, argument)
    with FakeTensorMode() as mode:
        fake = {n: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for n, v in kw.items()}
        check_raises(op, fake, argument)


@pytest.mark.parametrize("op", BASES)
def test_meta_and_fake_tensors_take_legal_calls(op):
    kw = BASES[op]()
    result = operator(op)(**{n: v.to("meta") if isinstance(v, torch.Tensor) else v for n, v in kw.items()})
    assert result is None or result.shape == kw["out"].shape
    with FakeTensorMode() as mode:
        operator(op)(**{n: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for n, v in kw.items()})


def test_out_is_not_differentiable():
    kw = paged()
    query = kw["query"].clone().requires_grad_()
    with pytest.raises(RuntimeError, match="out does not support automatic differentiation"):
        npufa._npu_paged_attention(**kw | dict(query=query))
    with torch.no_grad():
        npufa._npu_paged_attention(**kw | dict(query=query))
    assert kw["out"]._version == 1


@pytest.mark.parametrize("op", ["_npu_paged_attention", "_npu_paged_attention_v2"])
def test_the_workspace_is_checked_like_the_call(op):
    kw = paged() if op == "_npu_paged_attention" else lists(paged())
    workspace = getattr(npufa, f"{op}_get_workspace")(**kw)
    assert workspace.dtype == torch.uint8 and workspace.dim() == 1
    getattr(npufa, op)(**kw, workspace=workspace)
    with pytest.raises(RuntimeError, match=f"npufa::{op}_get_workspace: num_kv_heads "):
        getattr(npufa, f"{op}_get_workspace")(**kw | dict(num_kv_heads=3))


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiled(backend):
    """`out` is used afterwards: in the functional graph its mutation is kept."""
    kw = paged()
    expected = paged()["out"]
    npufa._npu_paged_attention(**kw | dict(out=expected))

    def step(query, out):
        npufa._npu_paged_attention(**{**kw, "query": query * 2, "out": out})
        return out + 1

    torch._dynamo.reset()
    out = kw["out"].clone()
    got = torch.compile(step, backend=backend, fullgraph=True)(kw["query"] / 2, out)
    assert torch.equal(out, expected) and torch.equal(got, expected + 1)
