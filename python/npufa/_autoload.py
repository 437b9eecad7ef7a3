"""Keeps `import torch` and `import transformers` working where torch_npu is installed and CANN is not.

torch imports every installed device backend, transformers torch_npu; importing torch_npu without CANN's libraries
raises. `npufa_autoload.pth` executes this file when Python starts, `npufa._library` before it imports torch.

Where the environment says `NPUFA_SIM=Ascend910B3`, the simulator and npufa's operators are put under torch_npu as soon
as torch is imported, in this process and those it starts.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType

TYPE_CHECKING = False  # typing would be imported by every Python that starts
if TYPE_CHECKING:
    from collections.abc import Sequence

SWITCH = "TORCH_DEVICE_BACKEND_AUTOLOAD"
CHIP, CHECK, DEVICES = "NPUFA_SIM", "NPUFA_SIM_CHECK", "NPUFA_SIM_DEVICES"


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
        is_torch_npu_available._dynamo_marked_constant = True  # type: ignore[attr-defined]  # as its own
        module.is_torch_npu_available = is_torch_npu_available  # type: ignore[attr-defined]


class TransformersFinder:
    """Finds `transformers.utils.import_utils` for that loader; leaves every other module to the other finders."""

    NAME = "transformers.utils.import_utils"

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
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


class _TorchLoader(SourceFileLoader):
    """Loads torch, then what `NPUFA_SIM` asks for."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        npufa = sys.modules.get("npufa")
        # While npufa imports torch it asks itself, when it is complete.
        if npufa is None or not getattr(npufa.__spec__, "_initializing", False):
            simulate_if_asked()


class _TorchNpuLoader(SourceFileLoader):
    """Loads torch_npu where it is imported before torch: importing torch imports it on the simulator."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        importlib.import_module("torch")
        self.imported = sys.modules.get(spec.name)
        return self.imported

    def exec_module(self, module: ModuleType) -> None:
        if module is not self.imported:
            super().exec_module(module)


class SimulatorFinder:
    """Finds torch and torch_npu for those loaders."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name not in ("torch", "torch_npu") or "torch" in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            loader = _TorchLoader if name == "torch" else _TorchNpuLoader
            spec.loader = loader(spec.loader.name, spec.loader.path)
        return spec


def simulate_if_asked() -> None:
    """Does what `python -m npufa run` does where `NPUFA_SIM` names a chip: the simulator, without checks where
    `NPUFA_SIM_CHECK` is 0, and npufa's operators under the names of torch_npu and flash_attn."""
    if not os.environ.get(CHIP):
        return
    from npufa import compat, flash_attn, sim

    if sim.status().soc is None:
        sim.enable(os.environ[CHIP], check=os.environ.get(CHECK, "1") != "0")
        compat.install()
        flash_attn.install()


def ask_children(soc: str, check: bool) -> None:
    """Lets every Python process that this one starts from now on simulate `soc`."""
    os.environ[CHIP], os.environ[CHECK] = soc, str(int(check))


if __name__ == "npufa_autoload":
    switch_off()
    guard_transformers()
    if os.environ.get(CHIP):
        sys.meta_path.insert(0, SimulatorFinder)
