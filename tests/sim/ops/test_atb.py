"""atb's attention operators on the simulated NPU: random calls with lengths on the host and on the device, captured
graphs whose lengths change, and what a call leaves alone."""

import pytest
import torch

from cases import random_case
from cases.atb import OPERATORS, WITH_OUT
from cases.device import on_device
from cases.model import one_thread, operator
from cases.on_npu import to_npu

LENGTHS = ("seq_len", "context_lens")


def on_chip(case, device_lengths=False):
    """What is written into `out` on the NPU."""
    keep = () if device_lengths else LENGTHS
    kwargs = {n: v if n in keep else to_npu(v) for n, v in case.kwargs.items()}
    operator(case.op)(**kwargs)
    return kwargs["out"].cpu()


@pytest.mark.parametrize("device_lengths", [False, True])
@pytest.mark.parametrize("op", OPERATORS)
@on_device
def test_random_calls(op, device_lengths):
    if device_lengths and op in WITH_OUT:
        return
    for seed in range(40_000, 40_008):
        case = random_case("atb", seed, op=op)
        with one_thread():
            case.compare(on_chip(case, device_lengths), case.expected())


@pytest.mark.parametrize("op", OPERATORS)
@on_device
def test_long_calls(op):
    for seed in range(41_000, 41_003):
        case = random_case("atb", seed, long=True, op=op)
        with one_thread():
            case.compare(on_chip(case), case.expected())


def paged_on_chip(lengths):
    case = random_case("atb", 42_000, op="_npu_paged_attention", dtype=torch.float16)
    kw = {n: v if n in LENGTHS else to_npu(v) for n, v in case.kwargs.items()}
    limit = kw["block_table"].shape[1] * kw["key_cache"].shape[1]
    kw["block_table"] = kw["block_table"].clamp(min=0)
    return kw | dict(context_lens=torch.tensor([min(n, limit) for n in lengths][:len(kw["query"])], dtype=torch.int32))


def eager(kw):
    out = torch.full_like(kw["out"], torch.nan)
    torch.ops.npufa._npu_paged_attention(**kw | dict(out=out))
    return out.cpu()


@on_device
def test_update_of_a_task_group():
    """As vLLM-Ascend's full_graph_pa: lengths on the host, captured with a workspace, changed between replays."""
    first, second = paged_on_chip([5, 3, 7, 2]), paged_on_chip([9, 1, 4, 6])
    kw = first | dict(workspace=torch.ops.npufa._npu_paged_attention_get_workspace(**first))
    event, graph = torch.npu.ExternalEvent(), torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        stream = torch.npu.current_stream()
        event.wait(stream)
        event.reset(stream)
        torch.npu.graph_task_group_begin(stream)
        torch.ops.npufa._npu_paged_attention(**kw)
        handle = torch.npu.graph_task_group_end(stream)
    updates = torch.npu.Stream()
    results = []
    for call in (first, second, first):
        with torch.npu.stream(updates):
            torch.npu.graph_task_update_begin(updates, handle)
            torch.ops.npufa._npu_paged_attention(**kw | dict(context_lens=call["context_lens"]))
            torch.npu.graph_task_update_end(updates)
            event.record(updates)
        graph.replay()
        results.append(kw["out"].cpu())
        assert torch.equal(results[-1], eager(call))
    assert not torch.equal(results[0], results[1])


@on_device
def test_replays_follow_lengths_on_the_device():
    kw = paged_on_chip([5, 3, 7, 2])
    kw["context_lens"] = kw["context_lens"].npu()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        torch.ops.npufa._npu_paged_attention(**kw)
    for lengths in ([9, 1, 4, 6], [2, 2, 2, 2]):
        changed = paged_on_chip(lengths)["context_lens"]
        kw["context_lens"].copy_(changed)
        graph.replay()
        assert torch.equal(kw["out"].cpu(), eager(kw | dict(context_lens=changed)))


@on_device
def test_a_small_workspace_and_a_foreign_block_are_named():
    kw = paged_on_chip([5, 3, 7, 2])
    with pytest.raises(RuntimeError, match="_npu_paged_attention: workspace is too small, got 8 bytes; expected"):
        torch.ops.npufa._npu_paged_attention(**kw, workspace=torch.empty(8, dtype=torch.uint8, device="npu"))
    with pytest.raises(RuntimeError, match="npufa::_npu_paged_attention: out is on another device than query"):
        torch.ops.npufa._npu_paged_attention(**kw | dict(out=kw["out"].cpu()))
    with pytest.raises(RuntimeError, match="npufa::_npu_paged_attention: block_table has a block id out of range"):
        torch.ops.npufa._npu_paged_attention(**kw | dict(block_table=torch.full_like(kw["block_table"], 9999)))
        torch.npu.synchronize()

