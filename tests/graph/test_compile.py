"""torch.compile, torch.export and functionalisation."""

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend

from cases import Draw, random_case
from cases.model import operator

BACKENDS = ("aot_eager", "inductor")
INFERENCE = {
    "prompt": dict(layout="BNSD", int8=False, out_int8=False),
    "incre": dict(layout="BNSD", paged=True, out_int8=False),
    "fused_infer": dict(layout="BNSD_BSND", kind="paged", cache="float"),
    "fused_infer_tnd": dict(layout="TND", kind="plain", cache="float", lse=True),
    "fused_infer_int8": dict(layout="BSH", kind="plain", cache="int8", mode=("split", 0, 0), sq=1),
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def tensors_of(result):
    return [t for t in ([result] if isinstance(result, torch.Tensor) else result) if isinstance(t, torch.Tensor)]


def assert_same(got, want):
    for a, b in zip(tensors_of(got), tensors_of(want), strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def split_arguments(case):
    tensors = {n: v for n, v in case.kwargs.items() if isinstance(v, torch.Tensor)}
    return tensors, {n: v for n, v in case.kwargs.items() if n not in tensors}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", INFERENCE)
def test_inference(name, backend):
    kind = name.removesuffix("_tnd").removesuffix("_int8")
    case = random_case(kind, 12, **INFERENCE[name])
    tensors, rest = split_arguments(case)
    op = operator(case.op)

    def model(arguments):
        query = arguments["query"] * 1
        result = op(**{**arguments, "query": query}, **rest)
        first = result if isinstance(result, torch.Tensor) else result[0]
        return first + 1, result

    got = torch.compile(model, backend=backend, fullgraph=True)(tensors)
    want = model(tensors)
    assert_same([got[0], *tensors_of(got[1])], [want[0], *tensors_of(want[1])])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["BNSD", "TND"])
def test_training_graph(layout, backend):
    """v3 forward and backward in one graph."""
    case = random_case("fusion", 21, version=3, layout=layout, dtype=torch.float32, dropout=False, sparse_mode=3)
    tensors, rest = split_arguments(case)
    op = operator(case.op)

    def model(q, k, v):
        out = op(**{**tensors, "query": q, "key": k, "value": v}, **rest)[0]
        return (out * out).sum()

    grads = []
    for fn in (model, torch.compile(model, backend=backend, fullgraph=True)):
        leaves = [tensors[n].detach().clone().requires_grad_() for n in ("query", "key", "value")]
        fn(*leaves).backward()
        grads.append([leaf.grad for leaf in leaves])
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_compiled_module_keeps_working_with_graph_breaks(version):
    """v1 and v2 return python integers; whatever the compiler does with them, results must be those of eager mode."""
    case = random_case("fusion", 22, version=version, layout="BSH", dtype=torch.float32, dropout=False)
    tensors, rest = split_arguments(case)
    op = operator(case.op)
    model = lambda q: op(**{**tensors, "query": q * 2}, **rest)[0] * 2  # noqa: E731
    leaves = [tensors["query"].detach().clone().requires_grad_() for _ in range(2)]
    outs = [fn(leaf) for fn, leaf in zip((model, torch.compile(model, backend="aot_eager")), leaves)]
    for out in outs:
        out.sum().backward()
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_v3_dropout_in_a_graph_draws_anew():
    """Seed and offset are tensors, so every run of one compiled graph has its own mask and a matching backward."""
    d = Draw(1)
    q, k, v = d.normal((1, 2, 40, 16)), d.normal((1, 2, 40, 16)), d.normal((1, 2, 40, 16))
    op = operator("npu_fusion_attention_v3")
    counter = CompileCounterWithBackend("aot_eager")
    model = torch.compile(lambda q: op(q, k, v, 2, "BNSD", keep_prob=0.5)[0], backend=counter, fullgraph=True)
    first, second = model(q), model(q)
    assert not torch.equal(first, second) and counter.frame_count == 1


def incre_arguments(batch, skv, heads=4, kv_heads=2, dim=16):
    d = Draw(batch * 1000 + skv)
    return (d.normal((batch, heads, 1, dim)), d.normal((batch, kv_heads, skv, dim)),
            d.normal((batch, kv_heads, skv, dim)))


def incre(q, k, v, lengths=None, table=None, block_size=0):
    """Constants stand in the call: a float from outside would become a symbol of its own under dynamic=True."""
    return torch.ops.npufa.npu_incre_flash_attention(
        q, k, v, num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale_value=0.25, actual_seq_lengths=lengths,
        block_table=table, block_size=block_size)


def fused_infer(q, k, v, lengths=None, mode=0):
    return torch.ops.npufa.npu_fused_infer_attention_score(
        q, k, v, num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale=0.25, actual_seq_lengths_kv=lengths,
        sparse_mode=mode, softmax_lse_flag=True)


def check_one_graph(fn, calls):
    """Every call gives what eager mode gives, all from one compiled graph."""
    operator("npu_incre_flash_attention")
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(fn, backend=counter, fullgraph=True, dynamic=True)
    for arguments in calls:
        assert_same(compiled(*arguments), fn(*arguments))
    assert counter.frame_count == 1, f"{counter.frame_count} graphs for {len(calls)} calls"


# Sizes that differ from each other and from the numbers of heads: equal ones are taken to be one symbol.
@pytest.mark.parametrize("fn", [incre, fused_infer])
def test_changing_lengths_do_not_recompile(fn):
    q, k, v = incre_arguments(3, 40)
    check_one_graph(fn, [(q, k, v, n) for n in ([5, 9, 30], [6, 10, 31], [7, 11, 32], [40, 2, 17])])


@pytest.mark.parametrize("fn", [incre, fused_infer])
def test_changing_batch_and_cache_do_not_recompile(fn):
    check_one_graph(fn, [incre_arguments(*sizes) for sizes in ((3, 40), (5, 41), (6, 100), (9, 17))])


def test_changing_prompt_sizes_do_not_recompile():
    d, calls = Draw(5), []
    for batch, sq, skv in ((3, 7, 40), (5, 8, 41), (6, 30, 31)):
        calls.append((d.normal((batch, 4, sq, 16)), d.normal((batch, 2, skv, 16)), d.normal((batch, 2, skv, 16))))
    check_one_graph(lambda q, k, v: fused_infer(q, k, v, None, 3), calls)


def test_changing_paged_state_does_not_recompile():
    d, calls = Draw(6), []
    pool = d.normal((12, 2, 16, 16))
    for step in range(4):
        table = torch.randperm(12, generator=d.generator)[:8].view(2, 4).int()
        calls.append((d.normal((2, 4, 1, 16)), pool, pool + 1, [20 + step, 40 + 3 * step], table))
    check_one_graph(lambda q, k, v, lengths, table: incre(q, k, v, lengths, table, 16), calls)


def test_changing_packed_lengths_do_not_recompile():
    """v3 takes its lengths as tensors, so new lengths are new data, not a new graph."""
    counter = CompileCounterWithBackend("aot_eager")
    op = operator("npu_fusion_attention_v3")
    fn = lambda q, k, v, lq, lk: op(  # noqa: E731
        q, k, v, 2, "TND", actual_seq_qlen=lq, actual_seq_kvlen=lk, sparse_mode=3)[0]
    compiled = torch.compile(fn, backend=counter, fullgraph=True)
    d = Draw(7)
    q, k, v = d.normal((20, 2, 16)), d.normal((30, 2, 16)), d.normal((30, 2, 16))
    for lq, lk in (([5, 20], [10, 30]), ([11, 20], [30, 30]), ([19, 20], [1, 30])):
        arguments = (q, k, v, torch.tensor(lq), torch.tensor(lk))
        assert_same(compiled(*arguments), fn(*arguments))
    assert counter.frame_count == 1


class Decoder(torch.nn.Module):
    def forward(self, query, key, value):
        return fused_infer(query, key, value, None, 3)[0].transpose(1, 2).flatten(2)


def test_export():
    operator("npu_fused_infer_attention_score")
    d = Draw(8)
    arguments = d.normal((2, 4, 9, 16)), d.normal((2, 2, 20, 16)), d.normal((2, 2, 20, 16))
    batch, queries, keys = (torch.export.Dim(n, min=2, max=64) for n in ("batch", "queries", "keys"))
    shapes = ({0: batch, 2: queries}, {0: batch, 2: keys}, {0: batch, 2: keys})
    program = torch.export.export(Decoder(), arguments, dynamic_shapes=shapes)
    names = [str(n.target) for n in program.graph.nodes]
    assert any("npu_fused_infer_attention_score" in n for n in names)
    assert_same(program.module()(*arguments), Decoder()(*arguments))
    other = d.normal((3, 4, 11, 16)), d.normal((3, 2, 33, 16)), d.normal((3, 2, 33, 16))
    assert_same(program.module()(*other), Decoder()(*other))


def advance(kw):
    """Uses the mutated tensors afterwards, as a serving loop does."""
    operator("npu_advance_step_flashattn")(**kw)
    return kw["input_tokens"] + kw["slot_mapping"], kw["seq_lens"] * 2


MUTATED = ("input_tokens", "input_positions", "seq_lens", "slot_mapping")


@pytest.mark.parametrize("speculative", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_advance_step(backend, speculative):
    eager, compiled = (random_case("advance_step", 5, speculative=speculative).kwargs for _ in range(2))
    want = advance(eager)
    got = torch.compile(advance, backend=backend, fullgraph=True)(compiled)
    assert_same(got, want)
    assert_same([compiled[n] for n in MUTATED], [eager[n] for n in MUTATED])


def test_advance_step_functionalises():
    """In the functional graph the mutation is an auto_functionalized call, and its results are written back."""
    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph

    eager, compiled = (random_case("advance_step", 6, speculative=False).kwargs for _ in range(2))
    want = advance(eager)
    got = torch.compile(advance, backend=aot_autograd(fw_compiler=keep), fullgraph=True)(compiled)
    assert_same(got, want)
    assert_same([compiled[n] for n in MUTATED], [eager[n] for n in MUTATED])
    targets = [str(node.target) for node in graphs[0].graph.nodes]
    assert any("auto_functionalized" in t for t in targets), targets
    assert not any(t.startswith("npufa.") for t in targets), targets
