"""Task groups of captured graphs, and streams that wait for events of others."""

import ctypes

import pytest
import torch

from cases.device import fails_a_capture, on_device

SYNC_TIMEOUT = 507046


def captured_with_group(group_tasks=1, event=None):
    """A graph that adds x to y in a task group; returns it with the group's handle, x and y."""
    x, y = torch.ones(4).npu(), torch.zeros(4).npu()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        stream = torch.npu.current_stream()
        if event is not None:
            event.wait(stream)
        torch.npu.graph_task_group_begin(stream)
        for _ in range(group_tasks):
            y.add_(x)
        handle = torch.npu.graph_task_group_end(stream)
        y.mul_(2)
    return graph, handle, x, y


def update(handle, run, event=None):
    stream = torch.npu.Stream()
    with torch.npu.stream(stream):
        torch.npu.graph_task_update_begin(stream, handle)
        run()
        torch.npu.graph_task_update_end(stream)
        if event is not None:
            event.record(stream)


@on_device
def test_a_group_is_replaced():
    graph, handle, x, y = captured_with_group()
    graph.replay()
    assert y.tolist() == [2] * 4
    update(handle, lambda: y.sub_(x))
    assert y.tolist() == [2] * 4  # an update runs nothing
    graph.replay()
    assert y.tolist() == [2] * 4
    x.fill_(5)
    graph.replay()
    assert y.tolist() == [-6] * 4


@on_device
def test_replay_waits_for_the_update():
    event = torch.npu.ExternalEvent()
    graph, handle, x, y = captured_with_group(event=event)
    graph.replay()
    assert not torch.npu.current_stream().query()
    library = ctypes.CDLL("libascendcl.so")
    library.aclGetRecentErrMsg.restype = ctypes.c_char_p
    assert library.aclrtSynchronizeStream(ctypes.c_void_p(torch.npu.current_stream().npu_stream)) == SYNC_TIMEOUT
    assert b"waits for a value that no stream has written" in library.aclGetRecentErrMsg()
    with pytest.raises(RuntimeError, match=str(SYNC_TIMEOUT)):
        torch.npu.synchronize()
    z = y + 1  # behind the replay
    update(handle, lambda: y.add_(x, alpha=10), event)
    assert torch.npu.current_stream().query()
    assert y.tolist() == [20] * 4 and z.tolist() == [21] * 4
    update(handle, lambda: y.sub_(x), event)  # before the replay
    graph.replay()
    assert y.tolist() == [38] * 4
    graph.replay()
    with pytest.raises(RuntimeError, match=str(SYNC_TIMEOUT)):
        y.tolist()
    event.record(torch.npu.Stream())
    assert y.tolist() == [74] * 4


@on_device
def test_waiting_spreads_to_streams_that_wait_for_the_stream():
    event, later, other = torch.npu.ExternalEvent(), torch.npu.Event(), torch.npu.Stream()
    x = torch.ones(4).npu()
    event.wait()
    y = x + 1
    later.record()
    assert not later.query()
    with pytest.raises(RuntimeError, match="waits for a value"):
        later.synchronize()
    with torch.npu.stream(other):
        other.wait_event(later)
        z = y * 3
    x.fill_(4)  # behind the wait, after y
    event.record(torch.npu.Stream())
    assert later.query() and z.tolist() == [6] * 4 and x.tolist() == [4] * 4


@on_device
def test_errors_behind_a_wait_reach_the_one_who_ends_it():
    event, index = torch.npu.ExternalEvent(), torch.full((1,), 9).npu()
    x = torch.ones(4).npu()
    event.wait()
    torch.index_select(x, 0, index)
    with pytest.raises(RuntimeError, match="aten::index_select, captured or waiting in its stream"):
        event.record(torch.npu.Stream())
    assert (x + 1).tolist() == [2] * 4


@on_device
@fails_a_capture
def test_wrong_use_is_refused():
    graph, handle, x, y = captured_with_group(group_tasks=2)
    with pytest.raises(RuntimeError, match="the update has 1 tasks, expected the group's 2"):
        update(handle, lambda: y.sub_(x))
    graph.replay()
    assert y.tolist() == [4] * 4
    stream = torch.npu.Stream()
    with pytest.raises(RuntimeError, match="the stream is not being captured"):
        torch.npu.graph_task_group_begin(stream)
    with pytest.raises(RuntimeError, match="no update was begun"):
        torch.npu.graph_task_update_end(stream)
    graph.reset()
    with pytest.raises(RuntimeError, match="no task group of a live graph"):
        torch.npu.graph_task_update_begin(stream, handle)
    with pytest.raises(RuntimeError):
        with torch.npu.graph(torch.npu.NPUGraph()):
            torch.npu.graph_task_group_begin(torch.npu.current_stream())
    assert (x + 1).tolist() == [2] * 4


@on_device
def test_core_limits_are_not_modelled():
    stream = torch.npu.Stream()
    limits = torch.npu.get_stream_limit(stream)
    assert limits == {"cube_core_num": 20, "vector_core_num": 40}
    torch.npu.set_stream_limit(stream, *limits.values())
    with pytest.raises(RuntimeError, match="a limit of 10 cores is not modelled; expected all 20"):
        torch.npu.set_stream_limit(stream, 10)
