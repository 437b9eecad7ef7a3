"""CANN's Python module `acl`, as far as clients import it: constants, the chip's name, memory and its copies.

vllm-ascend copies with `acl.rt.memcpy`, MindSpeed asks `acl.rt.get_mem_info` for the size of the memory. Functions
return what CANN's do: the result with an error code behind it, or the code alone.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ._native import native

_CONSTANTS = {
    "ACL_SUCCESS": 0, "ACL_MEMCPY_HOST_TO_HOST": 0, "ACL_MEMCPY_HOST_TO_DEVICE": 1, "ACL_MEMCPY_DEVICE_TO_HOST": 2,
    "ACL_MEMCPY_DEVICE_TO_DEVICE": 3, "ACL_MEM_MALLOC_HUGE_FIRST": 0, "ACL_MEM_MALLOC_HUGE_ONLY": 1,
    "ACL_MEM_MALLOC_NORMAL_ONLY": 2, "ACL_DDR_MEM": 0, "ACL_HBM_MEM": 1,
}  # fmt: skip


def get_soc_name() -> str:
    function = native().aclrtGetSocName
    function.restype = ctypes.c_char_p
    return function().decode()


def memcpy(dst: int, dest_max: int, src: int, count: int, kind: int) -> int:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    return native().aclrtMemcpy(pointer(dst), size(dest_max), pointer(src), size(count), kind)


def memset(dev_ptr: int, max_count: int, value: int, count: int) -> int:
    size = ctypes.c_size_t
    return native().aclrtMemset(ctypes.c_void_p(dev_ptr), size(max_count), value, size(count))


def malloc(size: int, policy: int) -> tuple[int, int]:
    return _pointer(native().aclrtMalloc, ctypes.c_size_t(size), policy)


def malloc_host(size: int) -> tuple[int, int]:
    return _pointer(native().aclrtMallocHost, ctypes.c_size_t(size))


def free(dev_ptr: int) -> int:
    return native().aclrtFree(ctypes.c_void_p(dev_ptr))


def free_host(host_ptr: int) -> int:
    return native().aclrtFreeHost(ctypes.c_void_p(host_ptr))


def get_mem_info(attribute: int) -> tuple[int, int, int]:
    """Bytes that are free, all bytes, and the code."""
    unused, total = ctypes.c_size_t(), ctypes.c_size_t()
    code = native().aclrtGetMemInfo(attribute, ctypes.byref(unused), ctypes.byref(total))
    return unused.value, total.value, code


def get_device() -> tuple[int, int]:
    return _number(native().aclrtGetDevice, ctypes.c_int32())


def get_device_count() -> tuple[int, int]:
    return _number(native().aclrtGetDeviceCount, ctypes.c_uint32())


def set_device(device_id: int) -> int:
    return native().aclrtSetDevice(device_id)


def synchronize_device() -> int:
    return native().aclrtSynchronizeDevice()


def _pointer(function: Callable[..., int], *arguments: Any) -> tuple[int, int]:
    return _number(function, ctypes.c_void_p(), *arguments)


def _number(function: Callable[..., int], result: Any, *arguments: Any) -> tuple[int, int]:
    code = function(ctypes.byref(result), *arguments)
    return result.value or 0, code


_RUNTIME = (memcpy, memset, malloc, malloc_host, free, free_host, get_mem_info, get_device, get_device_count,
            set_device, synchronize_device)  # fmt: skip


def install() -> None:
    """Makes `import acl` find it, unless there is another."""
    if "acl" in sys.modules or importlib.util.find_spec("acl") is not None:
        return
    acl, runtime = ModuleType("acl", __doc__), ModuleType("acl.rt", __doc__)
    acl.__path__ = []  # a package: `import acl.rt`
    acl.rt = runtime  # type: ignore[attr-defined]
    acl.get_soc_name = get_soc_name  # type: ignore[attr-defined]
    for name, value in _CONSTANTS.items():
        setattr(acl, name, value)
    for function in _RUNTIME:
        setattr(runtime, function.__name__, function)
    sys.modules["acl"], sys.modules["acl.rt"] = acl, runtime
