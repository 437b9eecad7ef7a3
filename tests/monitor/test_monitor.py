"""What npufa.monitor counts, and that it leaves the operators alone."""

import subprocess
import sys
import threading
import time

import pytest
import torch

import npufa
from cases.device import on_device
from npufa.monitor import Monitor, _tap
from npufa.robust._failures import is_out_of_memory


def inputs(**options):
    return [torch.randn(2, 4, 8, 16, **options) for _ in range(3)]


def infer(*tensors, **more):
    return npufa.npu_fused_infer_attention_score(*tensors, num_heads=4, input_layout="BNSD", scale=0.25, **more)


def train(query, key, value):
    return npufa.npu_fusion_attention(query, key, value, 4, "BNSD", scale=0.25)[0]


def calls(monitor):
    return {name: s.calls for name, s in monitor.statistics().items()}


def test_forward_and_backward_by_wrapper_and_by_torch_ops():
    tensors = inputs(requires_grad=True)
    with Monitor() as monitor:
        train(*tensors).sum().backward()
        infer(*[t.detach() for t in tensors])
        torch.ops.npufa.npu_prompt_flash_attention(*[t.detach() for t in tensors], num_heads=4, input_layout="BNSD")
    train(*tensors)
    assert calls(monitor) == {"npu_fusion_attention": 1, "npu_fusion_attention_grad": 1,
                              "npu_fused_infer_attention_score": 1, "npu_prompt_flash_attention": 1}


def test_results_and_gradients_do_not_change():
    results = []
    for monitor in (None, Monitor()):
        torch.manual_seed(0)
        tensors = inputs(requires_grad=True)
        if monitor is not None:
            monitor.start()
        output = npufa.npu_fusion_attention(*tensors, 4, "BNSD", scale=0.25, keep_prob=0.8)
        output[0].sum().backward()
        if monitor is not None:
            monitor.stop()
        results.append([output[0], *output[4:], *(t.grad for t in tensors)])
    for plain, monitored in zip(*results, strict=True):
        assert torch.equal(torch.as_tensor(plain), torch.as_tensor(monitored))


def test_lengths_in_tensors_and_every_overload_are_seen():
    with Monitor() as monitor:
        infer(*inputs(), actual_seq_lengths_kv=torch.tensor([3, 8]))
    assert calls(monitor) == {"npu_fused_infer_attention_score": 1}
    seen = {name.partition(".")[0] for name in _tap.operators()}
    assert {name for name in npufa.__all__ if name.startswith("npu_")} <= seen


def test_calls_of_other_threads():
    tensors = inputs()

    def work():
        for _ in range(20):
            infer(*tensors)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with Monitor() as monitor:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    s = monitor.statistics()["npu_fused_infer_attention_score"]
    assert s.calls == s.time.count == 80


def test_monitors_starting_and_stopping_while_others_call():
    tensors, stop, failures = inputs(), threading.Event(), []

    def work():
        while not stop.is_set():
            try:
                infer(*tensors)
            except BaseException as error:
                failures.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(50):
        with Monitor():
            time.sleep(0.001)
    stop.set()
    thread.join()
    assert not failures


def test_nested_and_reentered():
    outer, inner = Monitor(), Monitor()
    with outer:
        with inner, inner:
            infer(*inputs())
        infer(*inputs())
    infer(*inputs())
    assert [calls(m)["npu_fused_infer_attention_score"] for m in (outer, inner)] == [2, 1]


def test_decorator_returns_and_documents():
    monitor = Monitor()

    @monitor
    def work(tensor):
        """Works."""
        return infer(tensor, tensor, tensor)[0]

    assert work(inputs()[0]).shape == (2, 4, 8, 16) and work.__doc__ == "Works."
    assert calls(monitor) == {"npu_fused_infer_attention_score": 1}


def test_stop_without_start():
    with pytest.raises(RuntimeError, match=r"stop\(\) without start\(\)"):
        Monitor().stop()
    with pytest.raises(ValueError, match="timing is unknown, got 'cuda'"):
        Monitor(timing="cuda")


def test_errors_are_counted_and_raised_as_they_are():
    query, key, value = inputs()
    with Monitor() as monitor:
        infer(query, key, value)
        with pytest.raises((RuntimeError, ValueError), match="npufa::npu_fused_infer_attention_score: key"):
            infer(query, key[:, :3], value)
        infer(query, key, value)
    s = monitor.statistics()["npu_fused_infer_attention_score"]
    assert (s.calls, s.errors, s.out_of_memory, s.time.count) == (3, 1, 0, 2)


def test_a_kernel_that_lacks_memory():
    key = torch.zeros(1).expand(2 ** 20, 2 ** 12, 2 ** 10, 16)  # the output would have 256 TB
    with Monitor() as monitor, pytest.raises(RuntimeError, match="can't allocate memory"):
        npufa.npu_fused_infer_attention_score(key, key[:, :, :1], key[:, :, :1], num_heads=2 ** 12, input_layout="BNSD")
    s = monitor.statistics()["npu_fused_infer_attention_score"]
    assert (s.calls, s.errors, s.out_of_memory) == (1, 1, 1)


@pytest.mark.parametrize(("error", "expected"), [
    (torch.OutOfMemoryError("NPU out of memory. Tried to allocate 2 GiB"), True), (MemoryError(), True),
    (RuntimeError("NPU Out Of Memory"), True), (RuntimeError("the kernel failed"), False),
    (ValueError("out of memory"), False)])
def test_what_counts_as_lack_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_memory_is_that_of_the_process():
    with Monitor() as monitor:
        infer(*(torch.randn(1, 4, 4096, 64) for _ in range(3)))
    s = monitor.statistics()["npu_fused_infer_attention_score"]
    assert s.memory_peak > 50e6 and 0 <= s.memory_growth <= s.memory_peak


def test_reset():
    monitor = Monitor()
    with monitor:
        infer(*inputs())
        monitor.reset()
        assert monitor.statistics() == {}
        infer(*inputs())
    assert calls(monitor) == {"npu_fused_infer_attention_score": 1}
    assert "npu_fused_infer_attention_score" in monitor.table()


def test_compiled_graphs_are_compiled_once_and_counted():
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda *x: train(*x) * 2, backend=counter, fullgraph=True)
    tensors = inputs(requires_grad=True)
    expected = train(*tensors) * 2
    with Monitor() as monitor:
        for _ in range(3):
            output = compiled(*tensors)
            output.sum().backward()
    compiled(*tensors)
    assert counter.frame_count == 1
    assert torch.equal(output, expected)
    assert calls(monitor) == {"npu_fusion_attention": 3, "npu_fusion_attention_grad": 3}


def test_tracing_is_no_call():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with Monitor() as monitor, FakeTensorMode():
        infer(*inputs())
    with monitor:
        infer(*inputs(device="meta"))
    assert monitor.statistics() == {}


IDLE = """
import threading
from npufa.monitor import Monitor, _tap
import torch
def taps():
    return [torch._C._dispatch_has_kernel_for_dispatch_key("npufa::" + name, _tap.KEY) for name in _tap.operators()]
assert len(taps()) > 10 and not any(taps())
with Monitor():
    assert all(taps())
assert not any(taps())
leave = threading.Event()
thread = threading.Thread(target=leave.wait)
thread.start()
with Monitor():
    pass
assert all(taps())
leave.set()
thread.join()
with Monitor():
    pass
assert not any(taps())
"""


def test_the_tap_is_in_the_dispatcher_only_while_needed():
    subprocess.run([sys.executable, "-c", IDLE], check=True, timeout=100)


@on_device
def test_on_the_npu():
    from npufa.monitor import Monitor

    for timing in ("events", "synchronize"):
        tensors = [torch.randn(1, 2, 16, 16).half().npu().requires_grad_() for _ in range(3)]
        with Monitor(timing=timing) as monitor:
            npufa.npu_fusion_attention(*tensors, 2, "BNSD", scale=0.25)[0].sum().backward()
        counts = monitor.statistics()
        assert {n: s.calls for n, s in counts.items()} == {"npu_fusion_attention": 1, "npu_fusion_attention_grad": 1}
        for s in counts.values():
            assert s.time.count == 1 and s.memory_peak > 0


@on_device
def test_captured_calls_are_recorded_not_timed():
    from npufa.monitor import Monitor

    step, cache = (torch.randn(1, 2, n, 16).half().npu() for n in (1, 8))
    lengths = torch.tensor([8]).npu()
    graph = torch.npu.NPUGraph()
    with Monitor() as monitor, torch.npu.graph(graph):
        npufa.npu_fused_infer_attention_score(step, cache, cache, num_heads=2, input_layout="BNSD",
                                              actual_seq_lengths_kv=lengths)
    graph.replay()
    s = monitor.statistics()["npu_fused_infer_attention_score"]
    assert (s.calls, s.captured, s.time.count) == (0, 1, 0)
