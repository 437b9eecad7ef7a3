"""Sees every call of an npufa operator while somebody listens.

The tap is a Python kernel at torch's dispatch key BackendSelect, which every tensor carries and npufa leaves unused; it
stands between autograd and the kernels. So it sees calls of every thread, from Python, from autograd's backward pass
and from compiled graphs, and leaves `torch.compile` alone. A TorchDispatchMode would see one thread only and every
operator of torch; patched wrappers would miss the backward pass and `torch.ops`.

The first listener puts the tap in; until then nothing is there. torch's dispatcher may gain a kernel while other
threads call, but must not lose one: a thread on its way to the kernel would find it gone. So the last listener takes
the tap out when its thread is the only one of Python, and otherwise leaves it, a few microseconds per call, to a later
one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

KEY = "BackendSelect"
_NAMESPACE = "npufa::"


class Listener(Protocol):
    """Is told about a call by two functions: one before it, whose result is called after it."""

    def begin(self, operator: str, device: torch.device) -> Callable[[BaseException | None], None]: ...


_lock = threading.Lock()
_listeners: tuple[Listener, ...] = ()
_library: torch.library.Library | None = None
_thread = threading.local()


def add(listener: Listener) -> None:
    """Tells `listener` about every call from now on."""
    global _listeners, _library
    with _lock:
        _listeners = (*_listeners, listener)
        if _library is None:
            _library = _install()


def remove(listener: Listener) -> None:
    """Ends what :func:`add` began."""
    global _listeners, _library
    with _lock:
        _listeners = tuple(other for other in _listeners if other is not listener)
        if not _listeners and _library is not None and threading.active_count() == 1:
            _library._destroy()
            _library = None


def operators() -> list[str]:
    """Names of the operators that are seen, with their overloads, without namespace."""
    names = (name.removeprefix(_NAMESPACE) for name in torch._C._dispatch_get_all_op_names()
             if name.startswith(_NAMESPACE))
    of_autograd = ("_npu_fusion_attention_drawn", "_npu_fusion_attention_grad_masked")
    return sorted(n for n in names if n.startswith(("npu_", *of_autograd)))


def _install() -> torch.library.Library:
    library = torch.library.Library("npufa", "IMPL")
    for name in operators():
        library.impl(name, _kernel(name), KEY, with_keyset=True)
    return library


def _kernel(name: str) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operator = getattr(getattr(torch.ops.npufa, packet), overload or "default")

    def kernel(keyset: torch._C.DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        below = keyset.remove(torch._C.DispatchKey.BackendSelect)
        query = args[0]
        if not _listeners or getattr(_thread, "inside", False) or isinstance(query, FakeTensor) or query.is_meta:
            return operator.redispatch(below, *args, **kwargs)
        _thread.inside = True
        try:
            return _told(packet, query, lambda: operator.redispatch(below, *args, **kwargs))
        finally:
            _thread.inside = False

    return kernel


def _told(operator: str, query: Tensor, run: Callable[[], Any]) -> Any:
    ends = [listener.begin(operator, query.device) for listener in _listeners]
    error: BaseException | None = None
    try:
        return run()
    except BaseException as raised:
        error = raised
        raise
    finally:
        for end in reversed(ends):
            end(error)
        error = None
