"""npufa's functions under the module names of flash_attn, with a version where clients look for one."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

from . import bert_padding, halves, interface, kernel_rotary, rotary, v3

# What these packages stand for: versions whose functions npufa has.
_VERSIONS = {"flash_attn": "2.8.3", "flash_attn_npu": "0.3.0", "flash_attn_npu_v3": "0.3.0"}
_CONTENTS: dict[str, ModuleType | None] = {
    "flash_attn": interface,
    "flash_attn.flash_attn_interface": interface,
    "flash_attn.bert_padding": bert_padding,
    "flash_attn.layers": None,
    "flash_attn.layers.rotary": rotary,
    "flash_attn.ops": None,
    "flash_attn.ops.triton": None,
    "flash_attn.ops.triton.rotary": kernel_rotary,
    "flash_attn_npu": interface,
    "flash_attn_npu.flash_attn_npu_interface": interface,
    "flash_attn_npu_v3": v3,
    "flash_attn_npu_v3.flash_attn_npu_interface": v3,
}

# Names that clients import all the same.
_PRIVATE = {
    "flash_attn.flash_attn_interface": {
        "_flash_attn_forward": halves.flash_attn_forward, "_wrapped_flash_attn_forward": halves.flash_attn_forward,
        "_flash_attn_backward": halves.flash_attn_backward, "_wrapped_flash_attn_backward": halves.flash_attn_backward,
    },
}

_lock = threading.Lock()
_before: dict[str, ModuleType] | None = None  # modules of these names before `install`; None when not installed


class _Distribution(importlib.metadata.Distribution):
    """Metadata of one of the packages."""

    def __init__(self, package: str) -> None:
        self._files = {
            "METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {_VERSIONS[package]}\n"
                        "Summary: npufa under this name\n",
            "top_level.txt": f"{package}\n",
        }

    def read_text(self, filename: str) -> str | None:
        return self._files.get(filename)

    def locate_file(self, path: object) -> None:  # type: ignore[override]
        return None


class _Finder:
    """Answers `importlib.metadata`; modules are found in `sys.modules`, so there is none to search."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        return None

    @staticmethod
    def find_distributions(
        context: importlib.metadata.DistributionFinder.Context = importlib.metadata.DistributionFinder.Context()
    ) -> Iterator[importlib.metadata.Distribution]:
        wanted = None if context.name is None else context.name.replace("-", "_").replace(".", "_").lower()
        return (_Distribution(package) for package in _VERSIONS if wanted in (None, package))


def _module(name: str) -> ModuleType:
    content, package = _CONTENTS[name], name.partition(".")[0]
    module = ModuleType(name, f"{content.__name__ if content else 'npufa.flash_attn'}, as {name}.")
    is_package = any(other.startswith(f"{name}.") for other in _CONTENTS)
    module.__spec__ = ModuleSpec(name, None, origin="npufa", is_package=is_package)
    module.__package__ = name if is_package else name.rpartition(".")[0]
    if is_package:
        module.__path__ = []
    if name == package:
        module.__version__ = _VERSIONS[package]  # type: ignore[attr-defined]
    for public, function in vars(content).items() if content else ():
        ours = inspect.isfunction(function) and content and function.__module__ == content.__name__
        if ours and not public.startswith("_"):
            setattr(module, public, function)
    vars(module).update(_PRIVATE.get(name, {}))
    return module


def _names_taken() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in _VERSIONS]


def install() -> None:
    """Makes `import flash_attn`, `flash_attn_npu` and `flash_attn_npu_v3` find npufa's functions, in this process.

    Modules of these names are set aside until `uninstall`; who has imported from them keeps what it has. A second call
    does nothing.
    """
    global _before
    with _lock:
        if _before is not None:
            return
        _before = {name: sys.modules.pop(name) for name in _names_taken()}
        for name in _CONTENTS:
            module = sys.modules[name] = _module(name)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, module)
        sys.meta_path.insert(0, _Finder)


def uninstall() -> None:
    """Undoes `install`; without it nothing happens."""
    global _before
    with _lock:
        if _before is None:
            return
        for name in _names_taken():
            del sys.modules[name]
        sys.modules.update(_before)
        sys.meta_path.remove(_Finder)
        _before = None


def installed() -> bool:
    """Returns whether `install` is in force."""
    return _before is not None
