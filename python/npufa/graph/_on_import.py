"""Calls a function as soon as somebody else imports a module."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


class _Loader(importlib.abc.Loader):
    """The module's own loader, with a call after it."""

    def __init__(self, loader: Any, callback: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._callback(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._callback = callback

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        # Only those after this one: the others have passed, and may be of this class and for the same module.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._callback)
                return spec
        return None


def on_import(name: str, callback: Callable[[ModuleType], None]) -> None:
    """Calls `callback(module)` after module `name` was executed; at once if that has happened already."""
    module = sys.modules.get(name)
    # torch_npu's stand-in for torchair imports it as soon as it is asked for anything.
    if isinstance(module, ModuleType) and module.__spec__ is not None and module.__spec__.name == name:
        callback(module)
        return
    sys.meta_path.insert(0, _Finder(name, callback))
