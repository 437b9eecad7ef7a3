"""Triton kernels of clients, where there is no triton-ascend: Triton's own interpreter executes them on the CPU.

Triton is told that the simulated chip is its device, so that clients which ask for a driver find one, and gets the
functions that triton-ascend adds to the language and clients look up. Launches work on the device's memory in place,
which is host memory, and become part of a graph that is being captured. Nothing of this is modelled in time.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..graph._on_import import on_import
from ._native import native

_EXTENSION = "triton.language.extra.cann.extension"


class _Properties:
    """What clients ask of `driver.active.utils`."""

    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        properties = torch.npu.get_device_properties(device)  # type: ignore[attr-defined]
        return {"num_aicore": properties.cube_core_num, "num_vectorcore": properties.vector_core_num}


def _add_driver(backends: ModuleType) -> None:
    from triton.backends.compiler import GPUTarget

    class SimulatedNpu(backends.DriverBase):  # type: ignore[name-defined]
        utils = _Properties

        @classmethod
        def is_active(cls) -> bool:
            return True

        def map_python_to_cpp_type(self, ty: str) -> str:
            raise NotImplementedError("npufa.sim: Triton kernels are interpreted, not compiled")

        def get_current_target(self) -> Any:
            return GPUTarget("npu", torch.npu.get_device_name(), 0)  # type: ignore[attr-defined]

        def get_current_device(self) -> int:
            return torch.npu.current_device()  # type: ignore[attr-defined]

        def get_current_stream(self, device: int) -> int:
            return torch.npu.current_stream(device).npu_stream  # type: ignore[attr-defined]

        def get_active_torch_device(self) -> torch.device:
            return torch.device("npu", torch.npu.current_device())  # type: ignore[attr-defined]

        def get_benchmarker(self) -> Any:
            """Every configuration of a kernel is as good as any other: the first is taken."""
            return lambda kernel_call, quantiles=None, **options: [0.0] * len(quantiles or (0,))

    backends.backends.clear()  # triton.runtime may hold it already
    backends.backends["npu"] = backends.Backend(backends.BaseBackend, SimulatedNpu)


def _number(value: Any) -> int:
    """Of an integer as kernels hold them: Python's, a constant, or a value of the interpreter."""
    if hasattr(value, "handle"):
        return int(value.handle.data.item())
    return int(getattr(value, "value", value))


def _window(offsets: Any, sizes: Any, strides: Any) -> tuple[slice, ...]:
    parts = (tuple(map(_number, part)) for part in zip(offsets, sizes, strides))
    return tuple(slice(start, start + size * step, step) for start, size, step in parts)


def _like(tensor: Any, data: Any) -> Any:
    """A value of the interpreter of the same element type."""
    from triton.language import core
    from triton.runtime.interpreter import TensorHandle

    kind = core.block_type(tensor.type.scalar, list(data.shape)) if data.ndim else tensor.type.scalar
    return core.tensor(TensorHandle(data.reshape(data.shape or (1,)), tensor.type.scalar), kind)


def get_element(src: Any, indice: Any) -> Any:
    """The element of a block at these indices."""
    return _like(src, src.handle.data[tuple(map(_number, indice))])


def extract_slice(ful: Any, offsets: Any, sizes: Any, strides: Any) -> Any:
    """A part of a block."""
    return _like(ful, ful.handle.data[_window(offsets, sizes, strides)].copy())


def insert_slice(ful: Any, sub: Any, offsets: Any, sizes: Any, strides: Any) -> Any:
    """A block with a part of it replaced."""
    data = ful.handle.data.copy()
    data[_window(offsets, sizes, strides)] = sub.handle.data
    return _like(ful, data)


def _add_extension(language: ModuleType) -> None:
    parent, extension = ModuleType("triton.language.extra.cann"), ModuleType(_EXTENSION)
    parent.__path__ = []
    parent.extension = extension  # type: ignore[attr-defined]
    for function in (get_element, extract_slice, insert_slice):
        setattr(extension, function.__name__, function)
    language.cann = parent  # type: ignore[attr-defined]
    sys.modules[parent.__name__], sys.modules[_EXTENSION] = parent, extension


def _folders(spec: ModuleSpec) -> list[str]:
    return list(spec.submodule_search_locations or ())


def _in_host_memory(value: Any) -> Any:
    """Tensors of the device as tensors of the CPU on the same memory."""
    if isinstance(value, tuple):
        return tuple(map(_in_host_memory, value))
    if not isinstance(value, torch.Tensor) or value.device.type != "npu":
        return value
    storage = value.untyped_storage()
    if storage.nbytes() == 0:
        return torch.empty_like(value, device="cpu")
    memory = torch.frombuffer((ctypes.c_char * storage.nbytes()).from_address(storage.data_ptr()), dtype=torch.uint8)
    view = torch.empty(0, dtype=value.dtype)
    return view.set_(memory.untyped_storage(), value.storage_offset(), value.size(), value.stride())


_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_captured: list[Any] = []  # launches that are part of a graph, for as long as the process lives


def _submit(task: Callable[[], None], stream: Any) -> None:
    """Makes the task part of the graph that the stream is captured into."""
    function = _HOST_FUNCTION(lambda _: task())
    _captured.append(function)
    status = native().aclrtLaunchHostFunc(ctypes.c_void_p(stream.npu_stream), function, None)
    if status != 0:
        raise RuntimeError(f"npufa.sim: a Triton kernel cannot be captured, got ACL error {status}")


def _add_launches(interpreter: ModuleType) -> None:
    executor = interpreter.GridExecutor
    execute = executor.__call__

    def launch(self: Any, *args: Any, **kwargs: Any) -> None:
        args, kwargs = _in_host_memory(args), {name: _in_host_memory(value) for name, value in kwargs.items()}
        stream = torch.npu.current_stream()  # type: ignore[attr-defined]
        if torch.npu.is_current_stream_capturing():  # type: ignore[attr-defined]
            _submit(lambda: execute(self, *args, **kwargs), stream)
        else:
            stream.synchronize()
            execute(self, *args, **kwargs)

    executor.__call__ = launch


def install() -> None:
    """Prepares Triton, where it is installed, for the time when somebody imports it."""
    triton = importlib.util.find_spec("triton")
    if triton is None or any(Path(folder, "backends/ascend").exists() for folder in _folders(triton)):
        return
    os.environ["TRITON_INTERPRET"] = "1"
    on_import("triton.backends", _add_driver)
    on_import("triton.language.extra", _add_extension)
    on_import("triton.runtime.interpreter", _add_launches)
