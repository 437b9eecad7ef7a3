"""Seeds that npu_fusion_attention and _v2 draw in graphs: torch.compile, export, make_fx, fake and meta tensors."""

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils.checkpoint import checkpoint

from cases import Draw
from cases.model import operator

BACKENDS = ("aot_eager", "inductor")
NAMES = ("npu_fusion_attention", "npu_fusion_attention_v2")
SCORES = 2 * 3 * 5 * 7


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def leaves():
    d = Draw(1)
    return [d.normal((2, 3, rows, 16), torch.float32).requires_grad_() for rows in (5, 7, 7)]


def attention(name, keep_prob=0.5, **more):
    op = operator(name)
    return lambda q, k, v: op(q, k, v, 3, "BNSD", keep_prob=keep_prob, **more)


def trained(model, seed=11):
    """Everything the call returns, and gradients."""
    inputs = leaves()
    torch.manual_seed(seed)
    results = model(*inputs)
    results[0].square().sum().backward()
    return [*results, *(leaf.grad for leaf in inputs)]


def same(got, want):
    for a, b in zip(got, want, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b)
        else:
            assert a == b


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_graph_draws_what_eager_calls_draw(name, backend):
    counter = CompileCounterWithBackend(backend)
    model = attention(name)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for seed in (11, 12):
        same(trained(compiled, seed), trained(model, seed))
    drawn = [compiled(*leaves())[4] for _ in range(2)]
    assert drawn[0] != drawn[1] and 0 not in drawn and counter.frame_count == 1


def test_what_only_v2_has():
    d = Draw(2)
    ropes = {name: d.normal((2, 3, rows, 8), torch.float32) for name, rows in (("query_rope", 5), ("key_rope", 7))}
    slopes = torch.tensor([0.5, 0.25, 0.125])
    model = attention("npu_fusion_attention_v2", **ropes, pse=slopes, pse_type=2, q_start_idx=[1], sparse_mode=4,
                      pre_tokens=3, next_tokens=2, scale=0.3)
    same(trained(torch.compile(model, backend="aot_eager", fullgraph=True)), trained(model))


def test_what_v1_spells_otherwise_and_packed_lengths():
    op = operator("npu_fusion_attention")
    q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in leaves())

    def model(q, k, v):
        return op(q, k, v, 3, "TND", scale=0.3, keep_prob=0.5, sparse_mode=4, pre_tockens=3, next_tockens=1,
                  actual_seq_qlen=[4, 10], actual_seq_kvlen=[6, 14])

    results = []
    for function in (torch.compile(model, backend="aot_eager", fullgraph=True), model):
        torch.manual_seed(1)
        results.append(function(q, k, v))
    same(*results)


@pytest.mark.parametrize("name", ["npu_fusion_attention", "npu_fusion_attention_v3"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_equal_calls_have_two_masks(backend, name):
    """A compiler that takes them for one expression computes one."""
    model = attention(name)

    def twice(*inputs):
        first, second = model(*inputs), model(*inputs)
        return first[0] + 2 * second[0], first[4], second[4]

    with torch._inductor.config.patch(force_disable_caches=True):
        got = trained(torch.compile(twice, backend=backend, fullgraph=True))
    want = trained(twice)
    assert got[1] != got[2]
    same(got, want)


@pytest.mark.parametrize("name", NAMES)
def test_integers_in_the_graph(name):
    """The caller's own backward pass, as with torch_npu."""
    forward = attention(name)
    gradient = operator(name.replace("attention", "attention_grad"))

    def model(q, k, v):
        out, maximum, total, _, seed, offset, numels = forward(q, k, v)
        gradients = gradient(q, k, v, 2 * out, 3, "BNSD", softmax_max=maximum, softmax_sum=total, attention_in=out,
                             keep_prob=0.5, seed=seed, offset=offset, numels=numels)
        return out, seed * 2 - seed, *gradients[:3]

    with torch.no_grad():
        torch.manual_seed(11)
        got = torch.compile(model, backend="aot_eager", fullgraph=True)(*leaves())
    want = trained(forward)
    same(got, [want[0], want[4], *want[7:]])


def graphs_of(function, *inputs):
    targets = []

    def record(graph, _):
        targets.append([str(node.target) for node in graph.graph.nodes if "npufa" in str(node.target)])
        return graph

    torch.compile(function, backend=aot_autograd(fw_compiler=record, bw_compiler=record), fullgraph=True)(
        *inputs).sum().backward()
    return targets


def test_what_nobody_uses_is_not_computed():
    model = attention("npu_fusion_attention")
    assert graphs_of(lambda *inputs: model(*inputs)[0], *leaves()) == [
        ["npufa._npu_fusion_attention_drawn.default"], ["npufa._npu_fusion_attention_grad_masked.default"]]
    for known in ({"keep_prob": 1.0}, {"seed": 5}, {"dropout_mask": torch.zeros(27, dtype=torch.uint8)}):
        model = attention("npu_fusion_attention", **known)
        assert graphs_of(lambda *inputs: model(*inputs)[0], *leaves())[0] == ["npufa.npu_fusion_attention.default"]


@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("backend", BACKENDS)
def test_without_gradients(backend, grad):
    model = attention("npu_fusion_attention")
    with grad():
        inputs = [leaf.detach().clone() for leaf in leaves()]
        results = []
        for function in (torch.compile(model, backend=backend, fullgraph=True), model):
            torch.manual_seed(4)
            results.append([*function(*inputs), *function(*inputs)])
    same(*results)
    assert results[0][4] != results[0][11]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint(reentrant):
    model = attention("npu_fusion_attention_v2")

    def run(*inputs):
        return [checkpoint(lambda *t: model(*t)[0], *inputs, use_reentrant=reentrant)]

    same(trained(torch.compile(run, backend="aot_eager")), trained(run))


class Model(torch.nn.Module):
    def forward(self, q, k, v):
        results = operator("npu_fusion_attention")(q, k, v, 3, "BNSD", keep_prob=0.5)
        return results[0], results[4]


@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_export(strict, lowered):
    inputs = [leaf.detach() for leaf in leaves()]
    program = torch.export.export(Model(), tuple(inputs), strict=strict)
    if lowered:
        program = program.run_decompositions({})
    runs = []
    for function in (program.module(), Model()):
        torch.manual_seed(4)
        runs.append([*function(*inputs), *function(*inputs)])
    same(*runs)
    assert runs[0][1] != runs[0][3]


@pytest.mark.parametrize("mode", ["fake", "symbolic"])
def test_make_fx(mode):
    model = attention("npu_fusion_attention")
    graph = make_fx(lambda *inputs: model(*inputs)[:1], tracing_mode=mode)(*leaves())
    same(trained(graph), trained(lambda *inputs: model(*inputs)[:1]))


@pytest.mark.parametrize("name", NAMES)
def test_meta_tensors(name):
    inputs = [leaf.detach().to("meta").requires_grad_() for leaf in leaves()]
    before = torch.get_rng_state()
    results = attention(name)(*inputs)
    assert results[0].shape == inputs[0].shape and results[0].is_meta
    assert results[4:] == (0, 0, SCORES)
    results[0].sum().backward()
    assert all(leaf.grad.shape == leaf.shape for leaf in inputs)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_fake_tensors(name):
    with FakeTensorMode(shape_env=ShapeEnv()) as mode:
        inputs = [mode.from_tensor(leaf.detach()) for leaf in leaves()]
        drawn = [attention(name)(*inputs) for _ in range(2)]
    symbols = {str(number) for results in drawn for number in results[4:6]}
    assert len(symbols) == 4 and all(isinstance(results[4], torch.SymInt) for results in drawn)
    assert drawn[0][0].shape == inputs[0].shape and drawn[0][6] == SCORES
    with FakeTensorMode() as mode:
        assert attention(name)(*[mode.from_tensor(leaf.detach()) for leaf in leaves()])[4] == 0


def test_illegal_calls_name_the_operator_that_was_called():
    with pytest.raises(Exception, match="npufa::npu_fusion_attention: query has a head axis"):
        make_fx(lambda q: operator("npu_fusion_attention")(q, q, q, 5, "BNSD", keep_prob=0.5)[0])(leaves()[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_beside_an_offset(name, backend):
    model = attention(name, offset=3)
    same(trained(torch.compile(model, backend=backend, fullgraph=True)), trained(model))


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name):
    inputs = leaves()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operator(name).default, (*inputs, 3, "BNSD"), {"keep_prob": 0.5}, test_utils=checks)


def test_sizes_and_seeds_that_change_make_one_graph():
    op = operator("npu_fusion_attention")
    counter = CompileCounterWithBackend("aot_eager")

    def model(q, seed):
        results = op(q, q, q, 3, "BNSD", keep_prob=0.5, seed=seed)
        return results[0], results[4], results[6]

    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=True)
    for rows, seed in ((5, 3), (6, 4), (11, 9)):
        q = Draw(rows).normal((2, 3, rows, 16), torch.float32)
        same(compiled(q, seed), model(q, seed))
    assert counter.frame_count == 1
