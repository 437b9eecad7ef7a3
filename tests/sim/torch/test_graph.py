"""Operators of torch in captured graphs: nothing runs at capture, everything runs again at each replay."""

import gc

import pytest
import torch

import npufa
from cases.device import CAPTURES_RECOVER, fails_a_capture, on_device


def capture(run, **options):
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph, **options):
        result = run()
    return graph, result


def every_kind(x, index):
    """One operator of each kind; returns results that depend on x, and is its own reference on the CPU."""
    y = x + 1
    y.mul_(x)
    view = y.view(2, 4)
    view.t()[1].add_(3)
    out = torch.empty(0, device=x.device)
    torch.sub(y, x, out=out)
    ramp = torch.arange(8, device=x.device) + torch.full((8,), 2.5, device=x.device)
    like = torch.empty_like(x).copy_(ramp)
    picked = torch.index_select(view, 1, index)
    fancy = y[index]
    y[index] = out[index] * 2
    parts = torch.split(torch.cat((like, y)), 5)
    values, order = torch.topk(x, 3)
    total = (x.half() @ y.half()).to(torch.float64)
    return y, out, ramp, picked, fancy, *parts, values, order, total, torch.nn.functional.softmax(view, -1)


@on_device
def test_replay_equals_eager():
    torch.manual_seed(0)
    x, index = torch.zeros(8).npu(), torch.zeros(3, dtype=torch.int64).npu()
    graph, results = capture(lambda: every_kind(x, index))
    for _ in range(3):
        inputs = torch.randn(8), torch.randperm(4)[:3]
        x.copy_(inputs[0]), index.copy_(inputs[1])
        graph.replay()
        for actual, expected in zip(results, every_kind(*inputs), strict=True):
            torch.testing.assert_close(actual.cpu(), expected, rtol=1e-3, atol=1e-5)


@on_device
def test_nothing_runs_at_capture():
    x, y, half = torch.ones(4).npu(), torch.zeros(4).npu(), torch.zeros(4).half().npu()
    strided, index = torch.zeros(4, 2).npu(), torch.full((1,), 99).npu()

    def run():
        y.add_(x)
        half.copy_(x)
        strided.t()[1].copy_(half)
        y.index_add_(0, index, x[:1])  # out of range now

    graph, _ = capture(run)
    assert not y.any() and not half.any() and not strided.any()
    x.fill_(3)
    index.fill_(1)
    graph.replay()
    assert y.tolist() == [3, 6, 3, 3] and half.tolist() == [3] * 4 and strided.tolist() == [[0, 3]] * 4
    graph.replay()
    assert y.tolist() == [6, 12, 6, 6]


@on_device
def test_values_that_are_wrong_fail_at_replay():
    x, index = torch.ones(4).npu(), torch.zeros(1, dtype=torch.int64).npu()
    graph, result = capture(lambda: torch.index_select(x, 0, index))
    index.fill_(4)
    with pytest.raises(RuntimeError, match="(?s)aten::index_select, captured.*out of range"):
        graph.replay()
    index.fill_(3)
    graph.replay()
    assert result.tolist() == [1]


@on_device
def test_modes_of_the_replay_do_not_matter():
    x, y = torch.ones(4, 4).npu(), torch.zeros(4, 4).npu()
    with torch.inference_mode():
        graph, result = capture(lambda: y.add_(x @ x))
    with torch.autocast("npu", dtype=torch.float16), torch.autocast("cpu", dtype=torch.bfloat16):
        x.fill_(1 + 2**-12)
        graph.replay()
    assert result.dtype == torch.float32 and torch.equal(y.cpu(), (x.cpu() @ x.cpu()))
    with torch.inference_mode():
        graph.replay()
    assert torch.equal(y.cpu(), 2 * (x.cpu() @ x.cpu()))


@on_device
def test_kernels_and_operators_in_one_graph():
    torch.manual_seed(0)
    query, key = torch.zeros(1, 2, 64, 16).half().npu(), torch.randn(1, 2, 64, 16).half().npu()
    settings = dict(num_heads=2, input_layout="BNSD", scale_value=0.25, next_tokens=65535)

    def run():
        return npufa.npu_prompt_flash_attention(query * 2, key + 0, key, **settings).relu()

    graph, result = capture(run)
    for _ in range(2):
        query.normal_()
        garbage = [torch.full((1 << 16,), torch.nan, device="npu") for _ in range(4)]
        graph.replay()
        assert torch.equal(result, run())
        del garbage


@on_device
def test_graphs_share_a_pool_and_release_it():
    x = torch.ones(1 << 18).npu()
    gc.collect()
    torch.npu.empty_cache()
    before = torch.npu.mem_get_info()[0]
    first, a = capture(lambda: (x + 1) * 2)
    second, b = capture(lambda: (a - x) / 2, pool=first.pool())
    x.fill_(5)
    first.replay()
    second.replay()
    assert a.unique().tolist() == [12] and b.unique().tolist() == [3.5]
    shared = before - torch.npu.mem_get_info()[0]
    third, c = capture(lambda: (a - x) / 2)
    assert before - torch.npu.mem_get_info()[0] > shared
    third.replay()
    assert torch.equal(b, c)
    first.reset(), second.reset(), third.reset()
    del first, second, third, a, b, c
    gc.collect()
    torch.npu.empty_cache()
    assert torch.npu.mem_get_info()[0] >= before


@on_device
def test_several_streams_in_one_capture():
    x, side = torch.ones(4).npu(), torch.npu.Stream()

    def run():
        y = x * 2
        side.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(side):
            z = y + 1
        w = y - 1
        torch.npu.current_stream().wait_stream(side)
        return z * w

    graph, result = capture(run)
    x.fill_(3)
    graph.replay()
    assert result.tolist() == [35] * 4


@on_device
def test_other_streams_work_during_a_capture():
    x, side = torch.ones(4).npu(), torch.npu.Stream()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph, capture_error_mode="thread_local"):
        y = x + 1
        with torch.npu.stream(side):
            eager = x.add_(4)
    assert eager.tolist() == [5] * 4
    graph.replay()
    assert y.tolist() == [6] * 4


@on_device
@pytest.mark.parametrize(
    "draw",
    (
        "torch.rand(64, device='npu')",
        "torch.randperm(64, device='npu')",
        "torch.empty(64, device='npu').normal_()",
        "torch.nn.functional.dropout(torch.ones(64, device='npu'), 0.5)",
    ),
)
def test_random_numbers_follow_the_generator(draw):
    graph, result = capture(lambda: (eval(draw, globals()), eval(draw, globals())))
    torch.npu.manual_seed(3)
    replays = []
    for _ in range(2):
        graph.replay()
        replays += [result[0].clone(), result[1].clone()]
    torch.npu.manual_seed(3)
    for drawn in replays:
        assert torch.equal(drawn, eval(draw))
    assert not torch.equal(replays[0], replays[1]) and not torch.equal(replays[0], replays[2])


@on_device
def test_random_numbers_leave_those_of_the_cpu_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    torch.randperm(8, device="npu")
    assert torch.equal(torch.rand(4), expected)


@on_device
@fails_a_capture
@pytest.mark.parametrize(
    "call, message",
    (
        ("x.nonzero()", "aten::nonzero cannot be part of a captured graph: its result depends on values"),
        ("x[x > 0]", "aten::index.Tensor .*: a mask selects"),
        ("x.masked_select(x > 0)", "aten::masked_select .*: its result depends on values"),
        ("x.unique()", "unique.* cannot be part of a captured graph"),
        ("torch.equal(x, x)", "aten::equal cannot be part of a captured graph"),
        ("x.item()", "captured"),
        ("x.cpu()", "captured"),
        ("x.half().copy_(torch.ones(1))", "aten::copy_ .*: src is a tensor of the host"),
        ("x.copy_(torch.ones(1))", "captured"),
        ("x.add_(torch.ones(1))", "Expected all tensors to be on the same device"),
        ("x.add_(torch.ones(2, device='npu'))", "(?i)shape|size"),
        ("torch.nn.LSTM(1, 1, device='npu')(x[None])", "lstm.* cannot be part of a captured graph"),
        ("torch.npu.synchronize()", "captured"),
    ),
)
def test_what_cannot_be_captured(call, message):
    x = torch.ones(1).npu()
    with pytest.raises(RuntimeError, match=message):
        try:
            capture(lambda: eval(call, globals(), {"x": x}))
        except RuntimeError as error:  # the end of a spoilt capture raises another one
            raise error.__context__ or error
    assert (x + 1).tolist() == [2]
    if not CAPTURES_RECOVER:
        return
    graph, y = capture(lambda: x + 1)
    graph.replay()
    assert y.tolist() == [2]


@on_device
def test_memory_that_was_freed_is_not_touched():
    x = torch.ones(1 << 22).npu()
    graph, y = capture(lambda: x[:4] + 1)
    graph.replay()
    assert y.tolist() == [2] * 4
    del x
    torch.npu.empty_cache()
    with pytest.raises(RuntimeError, match="aten::add.Tensor.*memory that it uses was freed"):
        graph.replay()


@on_device
def test_graphed_callables_train():
    def model():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4)).npu()

    eager, data = model(), torch.randn(5, 3, 8).npu()
    graphed = torch.npu.make_graphed_callables(model(), (torch.randn(3, 8).npu(),))
    results = []
    for module in (eager, graphed):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        losses = []
        for batch in data:
            optimizer.zero_grad()
            loss = module(batch).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        results.append(losses)
    torch.testing.assert_close(results[1], results[0])
    assert results[0][-1] != results[0][0]
