"""Which operators are routed, and switching the routes on and off."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch._ops import OpOverloadPacket

from .. import _autoload
from ..graph._on_import import on_import
from . import _diffusers, _kernels, _mindspeed, _transformers, _transformers_kernels
from ._torch import TorchKernels

# Libraries with functions of their own that are bound as soon as they are imported.
_CLIENTS = (_transformers, _transformers_kernels, _diffusers, _mindspeed)

_lock = threading.RLock()
_installed = False
_blocks = 0  # of `routed` that are being executed, in any thread
_active: _Routes | None = None


def _operators(namespace: str) -> set[str]:
    prefix = namespace + "::"
    names = (name for name in torch._C._dispatch_get_all_op_names() if name.startswith(prefix))
    return {name.removeprefix(prefix).partition(".")[0] for name in names}


def routes() -> list[str]:
    """Returns the names that are routed while installed: the operators that torch_npu, with ATB, and npufa both have.

    Raises:
        ImportError: torch_npu is missing or cannot be imported here.
    """
    _torch_npu()
    return sorted({name for _, name in _shared()})


def _shared() -> list[tuple[str, str]]:
    """Namespace and name of torch_npu's operators that npufa has, too."""
    ours = _operators("npufa")
    return [(namespace, name) for namespace in ("npu", "atb") for name in sorted(ours & _operators(namespace))]


def _torch_npu() -> ModuleType:
    if "torch_npu" not in sys.modules and _autoload.cann_library() is None:
        raise ImportError("npufa.compat: torch_npu cannot be imported without CANN; call npufa.sim.enable() first, "
                          "or start the script with python -m npufa run")
    try:
        import torch_npu
    except ImportError as error:
        raise ImportError(f"npufa.compat: torch_npu cannot be imported: {error}") from error
    return torch_npu


def _older_spelling(packet: OpOverloadPacket) -> Any:
    """The operator with `scale_value` as another name of `scale`, which older guides use."""

    def npu_fused_infer_attention_score(*args: Any, **kwargs: Any) -> Any:
        if "scale_value" in kwargs:
            if "scale" in kwargs:
                raise ValueError(
                    "npufa::npu_fused_infer_attention_score: scale_value is another spelling of scale, got "
                    f"scale_value={kwargs['scale_value']} and scale={kwargs['scale']}; expected one of them")
            kwargs["scale"] = kwargs.pop("scale_value")
        return packet(*args, **kwargs)

    npu_fused_infer_attention_score.__doc__ = f"{packet}, which also accepts scale_value= for scale=."
    for name in ("overloads", *packet.overloads()):
        setattr(npu_fused_infer_attention_score, name, getattr(packet, name))
    return npu_fused_infer_attention_score


class _Routes:
    """Routes in force, and what was there before."""

    def __init__(self) -> None:
        module = _torch_npu()
        self._before: list[tuple[Any, str, Any, Any]] = []
        shared = _shared()
        self._libraries = _kernels.override(shared)
        for namespace, name in shared:
            operator = getattr(torch.ops.npufa, name)
            self._bind(getattr(torch.ops, namespace), name, operator)
            if name == "npu_fused_infer_attention_score":
                operator = _older_spelling(operator)
            for holder in (module, getattr(module, "atb", module)):  # torch_npu.atb has a few of atb's alone
                if hasattr(holder, name):
                    self._bind(holder, name, operator)
        self._torch = TorchKernels()
        for client in _CLIENTS:
            if client.MODULE in sys.modules:
                self.bind_client(client, sys.modules[client.MODULE])
        _watch_clients()

    def bind_client(self, client: ModuleType, module: ModuleType) -> None:
        for binding in client.bindings(module):
            self._bind(*binding)
        client.forget()

    def _bind(self, module: Any, name: str, value: Any) -> None:
        self._before.append((module, name, getattr(module, name), value))
        setattr(module, name, value)

    def remove(self) -> None:
        _kernels.restore(self._libraries)
        for module, name, before, ours in reversed(self._before):
            # Whoever has bound the name since then meant it.
            if getattr(module, name) is ours:
                setattr(module, name, before)
        self._torch.remove()
        for client in _CLIENTS:
            client.forget()


@functools.cache
def _watch_clients() -> None:
    for client in _CLIENTS:
        on_import(client.MODULE, functools.partial(_client_was_imported, client))


def _client_was_imported(client: ModuleType, module: ModuleType) -> None:
    if _active is not None:
        _active.bind_client(client, module)


def _update() -> None:
    global _active
    wanted = _installed or _blocks > 0
    if wanted and _active is None:
        _active = _Routes()
    elif not wanted and _active is not None:
        active, _active = _active, None
        active.remove()


def install() -> None:
    """Routes the operators that torch_npu and npufa both have to npufa, for the process; a second call does nothing.

    Raises:
        ImportError: torch_npu is missing or cannot be imported here: without CANN, `npufa.sim.enable()` comes first.
    """
    global _installed
    with _lock:
        before, _installed = _installed, True
        try:
            _update()
        except BaseException:
            _installed = before
            raise


def uninstall() -> None:
    """Undoes `install`: the same objects as before stand under torch_npu's names. Inside `routed()` that waits for its
    end; without `install` it does nothing."""
    global _installed
    with _lock:
        _installed = False
        _update()


def installed() -> bool:
    """Returns whether calls are routed at present, by `install` or by `routed`."""
    return _active is not None


@contextlib.contextmanager
def routed() -> Iterator[None]:
    """`install` for a block. Blocks nest and overlap, in threads too: routes last until the last one ends.

    The routes hold for the whole process, not only for the thread that is in the block.

    Raises:
        ImportError: as `install`.
    """
    global _blocks
    with _lock:
        _blocks += 1
        try:
            _update()
        except BaseException:
            _blocks -= 1
            raise
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            _update()
