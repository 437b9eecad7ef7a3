"""Variants of the operators on the simulated device: second version, sink, given results and workspace."""

import pytest
import torch

from cases import Draw, random_case
from cases.device import on_device
from cases.model import operator
from cases.on_npu import on_npu, to_npu
from cases.variants import as_v2, with_sink


@pytest.mark.parametrize("features", [
    dict(kind="plain", cache="float", layout="BNSD"),
    dict(kind="paged", cache="int8", mode=("split", 0, 0), layout="BSH"),
    dict(kind="rope", layout="TND"),
], ids=lambda f: f["kind"])
@on_device
def test_second_version(features):
    on_npu(as_v2(random_case("fused_infer", 21, **features))).verify()


@pytest.mark.parametrize("layout,kind,dtype", [("TND", "plain", torch.bfloat16), ("BNSD", "paged", torch.float16),
                                               ("BSH", "rope", torch.float32)])
@on_device
def test_sink(layout, kind, dtype):
    case = random_case("fused_infer", 22, kind=kind, layout=layout, cache="float", lse=True, dtype=dtype,
                       out_int8=False)
    on_npu(with_sink(case, Draw(23).normal((case.kwargs["num_heads"],), dtype, 3.0))).verify()


@on_device
def test_lengths_on_the_device():
    """One call, other lengths in the same tensor: the kernel reads them."""
    call = as_v2(random_case("fused_infer", 21, kind="plain", cache="float", layout="BNSD", dtype=torch.float16)).kwargs
    call = {n: to_npu(v) for n, v in call.items() if not n.startswith("actual_seq")}
    op, batch = torch.ops.npufa.npu_fused_infer_attention_score_v2, call["query"].shape[0]
    lengths = torch.ones(batch, dtype=torch.int64, device="npu")
    for used in (1, call["key"].shape[2]):
        lengths.fill_(used)
        got = op.tensor_lengths(**call, actual_seq_kvlen=lengths)[0]
        assert torch.equal(got.cpu(), op(**call, actual_seq_kvlen=[used] * batch)[0].cpu())


def on_device_kwargs(case):
    return {name: to_npu(value) for name, value in case.kwargs.items()}


def call_out(case, kwargs, workspace):
    out = [torch.full_like(t, 77) for t in operator(case.op)(**kwargs)]
    operator(case.op + ".out")(**kwargs, workspace=workspace, out=out)
    return out


def max_workspace(case, kwargs):
    return operator(f"_{case.op}_get_max_workspace")(**kwargs)


CASES = {
    "fused_infer": lambda: random_case("fused_infer", 31, kind="paged", cache="float", layout="BNSD", lse=True),
    "v2": lambda: as_v2(random_case("fused_infer", 31, kind="paged", cache="float", layout="BNSD", lse=True)),
    "training": lambda: random_case("fusion", 32, version=3, layout="TND", dropout=False),
    "gradient": lambda: random_case("fusion_grad", 33, version=3, layout="TND", dropout=False),
}


@pytest.mark.parametrize("name", CASES)
@on_device
def test_given_results_and_workspace(name):
    case = CASES[name]()
    kwargs = on_device_kwargs(case)
    want = operator(case.op)(**kwargs)
    workspace = max_workspace(case, kwargs)
    assert workspace.dtype == torch.uint8 and workspace.device == kwargs["query"].device
    out = call_out(case, kwargs, workspace)
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(out, want, strict=True))


@on_device
def test_exactly_the_given_workspace_is_used():
    """Nothing is allocated, and a byte less raises with both sizes before anything is written."""
    case = CASES["fused_infer"]()
    kwargs = on_device_kwargs(case)
    enough = max_workspace(case, kwargs)
    out = [torch.full_like(t, 77) for t in operator(case.op)(**kwargs)]
    torch.npu.synchronize()
    torch.npu.reset_peak_memory_stats()
    before = torch.npu.memory_allocated()
    operator(case.op + ".out")(**kwargs, workspace=enough, out=out)
    assert torch.npu.max_memory_allocated() == before
    out = [torch.full_like(t, 77) for t in out]
    message = f"workspace is too small, got {enough.numel() - 1} bytes; expected at least {enough.numel()} bytes"
    with pytest.raises(RuntimeError, match=f"npufa::{case.op}: {message}"):
        operator(case.op + ".out")(**kwargs, workspace=enough[:-1], out=out)
    assert all(torch.all(t.cpu() == 77) for t in out)


def paged(lengths, heads=8, kv_heads=2, blocks=24, size=128):
    d = Draw(5)
    pool = d.normal((blocks, kv_heads, size, 64), torch.float16).npu()
    table = torch.arange(blocks, dtype=torch.int32).view(len(lengths), -1)
    return dict(query=d.normal((len(lengths), heads, 1, 64), torch.float16).npu(), key=pool, value=pool,
                num_heads=heads, num_key_value_heads=kv_heads, input_layout="BNSD", scale=0.125, block_size=size,
                block_table=table.npu(), actual_seq_lengths_kv=lengths)


@on_device
def test_a_workspace_serves_every_length_of_a_paged_cache():
    first = paged([1, 1])
    workspace = torch.ops.npufa._npu_fused_infer_attention_score_get_max_workspace(**first)
    for lengths in ([0, 3], [128, 129], [700, 1], [1536, 1536]):
        kwargs = first | dict(actual_seq_lengths_kv=lengths)
        want = torch.ops.npufa.npu_fused_infer_attention_score(**kwargs)
        out = [torch.empty_like(t) for t in want]
        torch.ops.npufa.npu_fused_infer_attention_score.out(**kwargs, workspace=workspace, out=out)
        assert torch.equal(out[0].cpu(), want[0].cpu())
        again = torch.ops.npufa._npu_fused_infer_attention_score_get_max_workspace(**kwargs)
        assert again.numel() <= workspace.numel()


@on_device
def test_a_workspace_serves_every_division_of_a_packed_batch():
    """Few rows per sequence multiply int8 caches as digits, many convert them: other tiles, other workspace."""
    d = Draw(6)
    pool, scale = d.integers((6, 2, 128, 64), -9, 9).npu(), torch.ones(1).npu()
    call = dict(query=d.normal((96, 8, 64), torch.float16).npu(), key=pool, value=pool, num_heads=8,
                num_key_value_heads=2, input_layout="TND", scale=0.125, block_size=128,
                block_table=torch.arange(6, dtype=torch.int32).view(3, 2).npu(), key_antiquant_scale=scale,
                value_antiquant_scale=scale)
    sizes = [torch.ops.npufa._npu_fused_infer_attention_score_get_max_workspace(
        **call, actual_seq_lengths=queries, actual_seq_lengths_kv=keys).numel()
        for queries, keys in (([1, 2, 96], [1, 2, 3]), ([32, 64, 96], [256, 256, 256]), ([4, 8, 12], [9, 200, 0]))]
    assert len(set(sizes)) == 1


@pytest.mark.parametrize("on_host", [False, True])
@on_device
def test_a_workspace_serves_every_division_of_a_training_batch(on_host):
    """Cores that share a sequence keep partial gradients of it: how many, and how long, depends on the lengths."""
    d = Draw(7)
    q, k, v, dy = (d.normal((120, 3, 16), torch.float32).npu() for _ in range(4))
    ops = torch.ops.npufa
    workspace = None
    for ends in ([40, 80, 120], [1, 2, 120], [120, 120, 120], [7, 8, 100]):
        lengths = torch.tensor(ends) if on_host else torch.tensor(ends).npu()
        call = dict(head_num=3, input_layout="TND", actual_seq_qlen=lengths, actual_seq_kvlen=lengths, sparse_mode=3)
        out, softmax_max, softmax_sum, *_ = ops.npu_fusion_attention_v3(q, k, v, **call, scale=0.25)
        call |= dict(softmax_max=softmax_max, softmax_sum=softmax_sum, attention_in=out, scale_value=0.25)
        want = ops.npu_fusion_attention_grad_v3(q, k, v, dy, **call)
        enough = ops._npu_fusion_attention_grad_v3_get_max_workspace(q, k, v, dy, **call)
        workspace = enough if workspace is None else workspace
        assert enough.numel() == workspace.numel()
        got = [torch.full_like(t, 77) for t in want]
        ops.npu_fusion_attention_grad_v3.out(q, k, v, dy, **call, workspace=workspace, out=got)
        assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(got, want, strict=True))


@on_device
def test_the_largest_workspace_has_room_for_copies_of_gradients():
    """Sizes alone: all core groups but one continue the one long sequence of a key head."""
    tokens, heads, dim = 2560, 8, 128
    q, k = (torch.empty(tokens, n, dim, dtype=torch.float16, device="npu") for n in (heads, 1))
    statistics = torch.empty(tokens, heads, 8, device="npu")
    call = dict(head_num=heads, input_layout="TND", softmax_max=statistics, softmax_sum=statistics, attention_in=q,
                actual_seq_qlen=torch.tensor([tokens]), actual_seq_kvlen=torch.tensor([tokens]))
    ops = torch.ops.npufa
    enough = ops._npu_fusion_attention_grad_v3_get_max_workspace(q, k, k, q, **call).numel()
    results = [torch.empty_like(q), torch.empty_like(k), torch.empty_like(k), q.new_empty(0), statistics.new_empty(0)]
    with pytest.raises(RuntimeError, match="workspace is too small") as error:
        ops.npu_fusion_attention_grad_v3.out(q, k, k, q, **call, out=results,
                                             workspace=torch.empty(1, dtype=torch.uint8, device="npu"))
    assert int(str(error.value).split("expected at least ")[1].split()[0]) <= enough


VARIANTS = [name + suffix for name in ("npu_fused_infer_attention_score", "npu_fused_infer_attention_score_v2",
                                       "npu_fusion_attention_v3", "npu_fusion_attention_grad_v3")
            for suffix in ("", ".out", "_get_max_workspace", "_infer_output")]


@pytest.mark.parametrize("name", VARIANTS)
@on_device
def test_schemas_are_those_of_torch_npu(name):
    """Names, types, order and defaults, but for softcap; torch_npu's do not say which tensors are written."""
    import torch_npu  # noqa: F401  registers its operators

    name = "_" + name if name.endswith(("workspace", "output")) else name
    base, _, overload = name.partition(".")
    ours, theirs = (getattr(getattr(ops, base), overload or "default")._schema
                    for ops in (torch.ops.npufa, torch.ops.npu))
    arguments = [[(a.name, str(a.type), a.kwarg_only, a.default_value) for a in s.arguments if a.name != "softcap"]
                 for s in (ours, theirs)]
    assert arguments[0] == arguments[1]
    assert [str(r.type) for r in ours.returns] == [str(r.type) for r in theirs.returns]


@on_device
def test_shapes_without_a_call():
    case = CASES["v2"]()
    kwargs = on_device_kwargs(case)
    op = operator(f"_{case.op}_infer_output")
    names = [a.name for a in op.default._schema.arguments]
    got = op(**{n: v for n, v in kwargs.items() if n in names})
    want = operator(case.op)(**kwargs)
    assert [(t.shape, t.dtype, t.device) for t in got] == [(t.shape, t.dtype, t.device) for t in want]
