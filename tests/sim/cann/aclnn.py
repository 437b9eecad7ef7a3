"""The ACL and aclnn C functions of the simulator through ctypes, as a host program calls them."""

import ctypes
import sys
from pathlib import Path

import numpy as np

from npufa.sim._native import LIBRARY_DIR, native

DTYPES = {
    "float32": 0,
    "float16": 1,
    "int8": 2,
    "int32": 3,
    "uint8": 4,
    "int64": 9,
    "uint64": 10,
    "bool": 12,
    "bfloat16": 27,
}
NCHW, ND, NZ = 0, 2, 29

acl = native()
_candidates = (Path(entry) / "cann_ops" / "op_api" / "lib" / "libcust_opapi.so" for entry in sys.path)
ops = ctypes.CDLL(str(next(path for path in _candidates if path.exists())))
npufa_ops = ctypes.CDLL(str(LIBRARY_DIR / "sim" / "op_api" / "lib" / "libcust_opapi.so"))
acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
for _name in ("Tensor", "IntArray", "FloatArray", "BoolArray", "TensorList"):
    getattr(acl, f"aclCreate{_name}").restype = ctypes.c_void_p


class AclnnError(RuntimeError):
    """A status other than 0, with the text of aclGetRecentErrMsg()."""

    def __init__(self, code: int):
        super().__init__(acl.aclGetRecentErrMsg().decode())
        self.code = code


def _check(status: int) -> None:
    if status != 0:
        raise AclnnError(status)


class Handle(ctypes.c_void_p):
    """An object's address; keeps the memory it describes alive."""


class DeviceArray:
    """Device memory with the contents of a numpy array, and a tensor handle for a view of it."""

    def __init__(self, array, *, sizes=None, strides=None, offset=0, dtype=None, format=ND):
        self.host = np.ascontiguousarray(array)
        self.address = ctypes.c_void_p()
        _check(acl.aclrtMalloc(ctypes.byref(self.address), ctypes.c_size_t(max(self.host.nbytes, 32)), 0))
        ctypes.memmove(self.address, self.host.ctypes.data, self.host.nbytes)
        self.sizes = self.host.shape if sizes is None else sizes
        if strides is None:
            strides = [int(np.prod(self.sizes[i + 1 :])) for i in range(len(self.sizes))]
        self.tensor = create_tensor(self.sizes, dtype or self.host.dtype.name, strides, offset, format, self.address)

    def numpy(self):
        out = np.empty_like(self.host)
        ctypes.memmove(out.ctypes.data, self.address, out.nbytes)
        return out

    @property
    def handle(self):
        handle = Handle(self.tensor.value)
        handle.owner = self
        return handle

    def __del__(self):
        acl.aclDestroyTensor(self.tensor)
        acl.aclrtFree(self.address)


def create_tensor(sizes, dtype, strides, offset, format, address):
    array = ctypes.c_int64 * len(sizes)
    return ctypes.c_void_p(
        acl.aclCreateTensor(
            array(*sizes),
            ctypes.c_uint64(len(sizes)),
            DTYPES[dtype],
            array(*strides),
            ctypes.c_int64(offset),
            format,
            array(*sizes),
            ctypes.c_uint64(len(sizes)),
            address,
        )  # fmt: skip
    )


def array(kind: str, values):
    """An aclIntArray, aclFloatArray or aclBoolArray, or None."""
    if values is None:
        return None
    element = {"Int": ctypes.c_int64, "Float": ctypes.c_float, "Bool": ctypes.c_bool}[kind]
    create = getattr(acl, f"aclCreate{kind}Array")
    return ctypes.c_void_p(create((element * len(values))(*values), ctypes.c_uint64(len(values))))


def library(name: str):
    """The package that has the operator."""
    return npufa_ops if name.startswith("Npufa") else ops


def prepare(name: str, *arguments):
    """First phase: workspace size and executor."""
    workspace_size, executor = ctypes.c_uint64(), ctypes.c_void_p()
    function = getattr(library(name), f"aclnn{name}GetWorkspaceSize")
    _check(function(*arguments, ctypes.byref(workspace_size), ctypes.byref(executor)))
    return workspace_size.value, executor


def execute(name: str, workspace_size: int, executor, *, stream=None, workspace=None):
    """Second phase, on `workspace` or one of its own."""
    own = None
    if workspace is None and workspace_size > 0:
        own = DeviceArray(np.empty(workspace_size, np.uint8))
        workspace = own.address
    _check(getattr(library(name), f"aclnn{name}")(workspace, ctypes.c_uint64(workspace_size), executor, stream))


def call(name: str, *arguments):
    """Both phases."""
    execute(name, *prepare(name, *arguments))
