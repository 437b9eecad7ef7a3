"""Reserved addresses with physical memory behind them, and torch_npu's expandable segments, which are made of it."""

import ctypes
import subprocess
import sys

import pytest
import torch

from cases.device import on_device

pytestmark = pytest.mark.simulator

MEGABYTE = 1 << 20
H2D, D2H, D2D = 1, 2, 3


def runtime():
    torch.npu.mem_get_info()
    library = ctypes.CDLL("libascendcl.so")
    library.aclGetRecentErrMsg.restype = ctypes.c_char_p
    pointer, size, flags = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64
    library.aclrtMemcpy.argtypes = [pointer, size, pointer, size, ctypes.c_int]
    library.aclrtReserveMemAddress.argtypes = [pointer, size, size, pointer, flags]
    library.aclrtReleaseMemAddress.argtypes = library.aclrtUnmapMem.argtypes = [pointer]
    library.aclrtMallocPhysical.argtypes = [pointer, size, pointer, flags]
    library.aclrtFreePhysical.argtypes = [pointer]
    library.aclrtMapMem.argtypes = [pointer, size, size, pointer, flags]
    return library


def reserve(acl, size):
    pointer = ctypes.c_void_p()
    assert acl.aclrtReserveMemAddress(ctypes.byref(pointer), size, 0, None, 1) == 0
    return pointer.value


def physical(acl, size=2 * MEGABYTE):
    handle = ctypes.c_void_p()
    assert acl.aclrtMallocPhysical(ctypes.byref(handle), size, None, 0) == 0
    return handle.value


def used():
    free, total = torch.npu.mem_get_info()
    return total - free


def message(acl, status):
    assert status != 0
    return acl.aclGetRecentErrMsg().decode()


@on_device
def test_pieces_beside_each_other_are_one():
    acl = runtime()
    before, range_, size = used(), reserve(acl, 6 * MEGABYTE), 2 * MEGABYTE
    assert used() == before
    handles = [physical(acl) for _ in range(3)]
    assert used() == before + 6 * MEGABYTE
    text = ctypes.create_string_buffer((bytes(range(251)) * (6 * MEGABYTE // 251 + 1))[: 6 * MEGABYTE], 6 * MEGABYTE)
    for piece in (2, 0, 1):
        assert "bytes of device memory" in message(acl, acl.aclrtMemcpy(range_, len(text), text, len(text), H2D))
        assert acl.aclrtMapMem(range_ + piece * size, size, 0, handles[piece], 0) == 0
    assert acl.aclrtMemcpy(range_, len(text), text, len(text), H2D) == 0
    back = ctypes.create_string_buffer(len(text))
    assert acl.aclrtMemcpy(back, len(text), range_, len(text), D2H) == 0 and back.raw == text.raw

    assert acl.aclrtUnmapMem(range_ + size) == 0
    assert "bytes left in its allocation" in message(acl, acl.aclrtMemcpy(back, size + 1, range_, size + 1, D2H))
    assert acl.aclrtMapMem(range_ + size, size, 0, handles[1], 0) == 0
    assert acl.aclrtMemcpy(back, len(text), range_, len(text), D2H) == 0 and back.raw == text.raw

    assert all(acl.aclrtFreePhysical(handle) == 0 for handle in handles)
    assert used() == before + 6 * MEGABYTE  # what is mapped stays until it is unmapped
    assert "is still mapped" in message(acl, acl.aclrtReleaseMemAddress(range_))
    assert all(acl.aclrtUnmapMem(range_ + piece * size) == 0 for piece in range(3))
    assert used() == before and acl.aclrtReleaseMemAddress(range_) == 0


@on_device
def test_wrong_calls_change_nothing():
    acl = runtime()
    before, range_, handle = used(), reserve(acl, 2 * MEGABYTE), physical(acl)
    map_ = acl.aclrtMapMem
    for call, text in [
        (lambda: acl.aclrtReserveMemAddress(None, 1, 0, None, 0), "virPtr is null"),
        (lambda: acl.aclrtReserveMemAddress(ctypes.byref(ctypes.c_void_p()), 0, 0, None, 0), "size is 0"),
        (lambda: acl.aclrtMallocPhysical(ctypes.byref(ctypes.c_void_p()), 1 << 40, None, 0), "bytes do not fit"),
        (lambda: map_(range_, 4 * MEGABYTE, 0, handle, 0), "expected 1 to 2097152 bytes of the handle, from offset 0"),
        (lambda: map_(range_, MEGABYTE, 512, handle, 0), "offset 512"),
        (lambda: map_(range_ + MEGABYTE, 2 * MEGABYTE, 0, handle, 0), "are not in a range of aclrtReserveMemAddress"),
        (lambda: map_(range_, MEGABYTE, 0, range_, 0), "is not from aclrtMallocPhysical, or freed already"),
        (lambda: map_(range_ + 7, MEGABYTE, 0, handle, 0), "expected a multiple of the page"),
        (lambda: acl.aclrtUnmapMem(range_), "is not the start of an aclrtMapMem"),
        (lambda: acl.aclrtReleaseMemAddress(range_ + MEGABYTE), "is not from aclrtReserveMemAddress"),
        (lambda: acl.aclrtFreePhysical(range_), "is not from aclrtMallocPhysical, or freed already"),
    ]:
        assert text in message(acl, call())
    assert map_(range_, 2 * MEGABYTE, 0, handle, 0) == 0
    assert "is mapped already" in message(acl, map_(range_ + MEGABYTE, MEGABYTE, 0, handle, 0))
    acl.aclrtFree.argtypes = [ctypes.c_void_p]
    assert "is not the start of an allocation" in message(acl, acl.aclrtFree(range_))
    assert acl.aclrtUnmapMem(range_) == acl.aclrtFreePhysical(handle) == acl.aclrtReleaseMemAddress(range_) == 0
    assert "freed already" in message(acl, acl.aclrtFreePhysical(handle))
    assert used() == before


SEGMENTS = """
import os
os.environ["PYTORCH_NPU_ALLOC_CONF"] = "expandable_segments:True"
import npufa.sim; npufa.sim.enable()
import npufa, torch
free, total = torch.npu.mem_get_info()
tensors = [torch.full((n << 20,), n, dtype=torch.uint8, device="npu") for n in (1, 5, 30, 2)]
assert [int(t.max()) for t in tensors] == [int(t.min()) for t in tensors] == [1, 5, 30, 2]
del tensors
torch.npu.empty_cache()
assert torch.npu.mem_get_info() == (total, total) and torch.npu.memory_reserved() == 0
q = torch.randn(1, 2, 33, 64, dtype=torch.float16)
settings = dict(head_num=2, input_layout="BNSD")
torch.testing.assert_close(npufa.npu_fusion_attention(*[q.npu()] * 3, **settings)[0].cpu(),
                           npufa.npu_fusion_attention(q, q, q, **settings)[0], rtol=2e-3, atol=2e-3)
try:
    torch.empty(total + 1, dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError:
    print("full")
"""


def test_expandable_segments():
    done = subprocess.run([sys.executable, "-c", SEGMENTS], capture_output=True, text=True)
    assert done.stdout == "full\n", done.stdout + done.stderr
