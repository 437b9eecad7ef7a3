"""The ACL runtime under torch_npu: queries, memory, streams, events, errors."""

import ctypes
import threading

import pytest
import torch

import npufa.sim
from cases.device import SOC, core_groups, on_device
from sim.ops.prefill import prefill

PARAM_INVALID, INVALID_HANDLE = 107000, 107017


def acl():
    library = ctypes.CDLL("libascendcl.so")
    library.aclGetRecentErrMsg.restype = ctypes.c_char_p
    library.aclrtFree.argtypes = [ctypes.c_void_p]
    library.aclrtMemcpy.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.aclrtSynchronizeStream.argtypes = [ctypes.c_void_p]
    return library


@on_device
def test_queries():
    assert torch.npu.is_available() and torch.npu.device_count() == 1 and torch.npu.current_device() == 0
    assert torch.npu.get_device_name() == SOC
    properties = torch.npu.get_device_properties(0)
    assert (properties.name, properties.cube_core_num, properties.vector_core_num) == (SOC, 20, 40)
    free, total = torch.npu.mem_get_info()
    assert total == 64 * 2**30 and 0 < free <= total
    assert torch.accelerator.current_accelerator() == torch.device("npu")


def groups_of_a_call():
    """Core groups that a call with work for all of them gets."""
    return npufa.sim.profile(prefill(heads=60, kv_heads=60).call).kernels[0].block_dim


@on_device
def test_cores_are_limited():
    import torch_npu

    with core_groups(3):
        assert torch.npu.get_device_limit(0) == {"cube_core_num": 3, "vector_core_num": 6}
        assert groups_of_a_call() == 3
        with pytest.raises(RuntimeError, match="a limit of 21 cores; expected 1 to 20"):
            torch_npu._C._npu_set_device_res_limit(0, 0, 21)
        torch_npu._C._npu_set_device_res_limit(0, 1, 4)
        assert groups_of_a_call() == 2
    assert torch.npu.get_device_limit(0) == {"cube_core_num": 20, "vector_core_num": 40}
    assert groups_of_a_call() == 20


@on_device
def test_memory_is_accounted_for():
    torch.npu.empty_cache()
    free, _ = torch.npu.mem_get_info()
    before = torch.npu.memory_allocated()
    x = torch.empty(1 << 24, dtype=torch.uint8, device="npu")
    assert torch.npu.memory_allocated() - before >= 1 << 24
    assert free - torch.npu.mem_get_info()[0] >= 1 << 24
    del x
    torch.npu.empty_cache()
    assert torch.npu.mem_get_info()[0] == free


@on_device
def test_memory_runs_out():
    with pytest.raises(torch.OutOfMemoryError, match="64.00 GiB total capacity"):
        torch.empty(1 << 40, dtype=torch.uint8, device="npu")
    assert torch.ones(2, device="npu").sum().item() == 2


@on_device
def test_streams_and_events():
    stream, event = torch.npu.Stream(), torch.npu.Event(enable_timing=True)
    start = torch.npu.Event(enable_timing=True)
    start.record()
    x = torch.ones(4, device="npu")
    with torch.npu.stream(stream):
        assert torch.npu.current_stream() == stream
        y = x * 2
        event.record()
    torch.npu.current_stream().wait_event(event)
    torch.npu.current_stream().wait_stream(stream)
    y.record_stream(torch.npu.current_stream())
    event.synchronize()
    torch.npu.synchronize()
    assert event.query() and stream.query()
    assert start.elapsed_time(event) > 0
    assert y.tolist() == [2] * 4


@on_device
def test_pinned_memory():
    x = torch.randn(16).pin_memory()
    assert x.is_pinned()
    y = x.npu(non_blocking=True)
    torch.npu.synchronize()
    assert torch.equal(y.cpu(), x)


@on_device
def test_threads():
    failures = []

    def work():
        for i in range(20):
            if (torch.full((100,), float(i), device="npu") * 2).sum().item() != 200 * i:
                failures.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@on_device
def test_errors_of_the_runtime():
    library = acl()
    x = torch.ones(4, device="npu")
    host = ctypes.create_string_buffer(64)
    assert library.aclrtFree(x.data_ptr() + 4) == PARAM_INVALID
    assert b"aclrtFree: 0x" in library.aclGetRecentErrMsg()
    assert library.aclGetRecentErrMsg() == b""
    assert library.aclrtMemcpy(ctypes.addressof(host), 64, ctypes.addressof(host), 64, 2) == PARAM_INVALID
    assert b"src = 0x" in library.aclGetRecentErrMsg()
    assert library.aclrtMemcpy(x.data_ptr(), 8, ctypes.addressof(host), 16, 1) == 100000
    assert b"count is 16, expected at most destMax = 8" in library.aclGetRecentErrMsg()
    assert library.aclrtMemcpy(x.data_ptr(), 1 << 40, ctypes.addressof(host), 1 << 40, 1) == PARAM_INVALID
    assert library.aclrtSynchronizeStream(ctypes.addressof(host)) == INVALID_HANDLE


@on_device
def test_operators_without_a_kernel_name_themselves():
    import torch_npu

    x = torch.randn(2, 4, 8, device="npu")
    with pytest.raises(RuntimeError, match="aclnnFlashAttentionScore .*not found"):
        torch_npu.npu_fusion_attention(x, x, x, 1, "BSH")
    with pytest.raises(RuntimeError, match="operator SoftmaxCrossEntropyWithLogits has no kernel on the sim"):
        torch_npu.npu_softmax_cross_entropy_with_logits(x[0], x[0])
    assert x.isfinite().all()


@on_device
def test_functions_that_are_missing_say_so():
    library = acl()
    assert library.aclrtMemSetPidToShareableHandle(0, None, 0) == 200001
    assert library.aclGetRecentErrMsg() == b"aclrtMemSetPidToShareableHandle: is not part of the simulated CANN"
