"""Keeps `import torch` and `import transformers` working where torch_npu is installed and CANN is not.

torch imports every installed device backend, transformers torch_npu; importing torch_npu without CANN's libraries
raises. `npufa_autoload.pth` executes this file when Python starts, `npufa._library` before it imports torch.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType

SWITCH = "TORCH_DEVICE_BACKEND_AUTOLOAD"


def cann_library() -> str | None:
    """Path of CANN's libascendcl.so, or its bare name where only the system's loader knows it; None without CANN."""
    name = "libascendcl.so"
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if home := os.environ.get("ASCEND_HOME_PATH"):
        folders.append(os.path.join(home, "lib64"))
    for folder in filter(None, folders):
        if os.path.exists(path := os.path.join(folder, name)):
            return path
    try:
        with open("/etc/ld.so.cache", "rb") as cache:
            return name if name.encode() in cache.read() else None
    except OSError:
        return None


def torch_npu_would_fail() -> bool:
    """True when torch's autoload is on, would import torch_npu, and that could not find CANN."""
    return SWITCH not in os.environ and find_spec("torch_npu") is not None and cann_library() is None


def switch_off() -> None:
    """Turns torch's autoload off, for this process and those it starts, where it would fail."""
    if torch_npu_would_fail():
        os.environ[SWITCH] = "0"


def torch_npu_can_be_imported() -> bool:
    """True when torch_npu is imported, or the loader finds the CANN library that its import needs first."""
    if "torch_npu" in sys.modules:
        return True
    import ctypes  # not at the start of every process

    try:
        ctypes.CDLL("libhccl.so")
    except OSError:
        return False
    return True


class _ImportUtilsLoader(SourceFileLoader):
    """Loads `transformers.utils.import_utils`, whose `is_torch_npu_available` raises where it means False."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        original = getattr(module, "is_torch_npu_available", None)
        if original is None:
            return

        def is_torch_npu_available(check_device: bool = False) -> bool:
            return torch_npu_can_be_imported() and original(check_device)

        is_torch_npu_available.__doc__ = original.__doc__
        is_torch_npu_available._dynamo_marked_constant = True  # as transformers marks its own
        module.is_torch_npu_available = is_torch_npu_available


class TransformersFinder:
    """Finds `transformers.utils.import_utils` for that loader; leaves every other module to the other finders."""

    NAME = "transformers.utils.import_utils"

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != cls.NAME:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _ImportUtilsLoader(spec.loader.name, spec.loader.path)
        return spec


def guard_transformers() -> None:
    """Lets `import transformers` find no NPU, instead of raising, where torch_npu cannot be imported."""
    if any(getattr(finder, "NAME", None) == TransformersFinder.NAME for finder in sys.meta_path):
        return
    if find_spec("torch_npu") is not None and cann_library() is None:
        sys.meta_path.insert(0, TransformersFinder)


if __name__ == "npufa_autoload":
    switch_off()
    guard_transformers()
