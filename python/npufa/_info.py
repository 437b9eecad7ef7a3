"""What this installation consists of and what it runs on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from ._version import __version__


@dataclasses.dataclass(frozen=True)
class Info:
    """Versions, the CPU backend's choices and what there is of an NPU.

    `torch_npu`, `cann` and `npu_devices` are found without importing torch_npu, which fails where CANN is missing.
    """

    npufa: str
    torch: str
    python: str
    machine: str
    cpu_capability: str
    """Instruction set in use; the environment variable NPUFA_CPU_CAPABILITY forces one."""
    cpu_capabilities: list[str]
    """Instruction sets that NPUFA_CPU_CAPABILITY may name here, best first."""
    threads: int
    """Threads of torch, `torch.get_num_threads()`."""
    torch_npu: str | None
    """Version of torch_npu, None when it is not installed."""
    cann: str | None
    """Folder of CANN (ASCEND_HOME_PATH), None when unset."""
    npu_devices: list[str]
    """Device nodes of NPUs, /dev/davinci<n>."""


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def info() -> Info:
    """Returns versions, the CPU instruction set in use and the state of the NPU; never touches the NPU itself."""
    return Info(
        npufa=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        machine=platform.machine(),
        cpu_capability=torch.ops.npufa._cpu_capability(),
        cpu_capabilities=torch.ops.npufa._cpu_capabilities(),
        threads=torch.get_num_threads(),
        torch_npu=_version_of("torch-npu"),
        cann=os.environ.get("ASCEND_HOME_PATH"),
        npu_devices=sorted(map(str, Path("/dev").glob("davinci[0-9]*"))),
    )
