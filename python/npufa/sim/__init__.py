"""An Ascend NPU simulated on this machine, under the genuine torch_npu.

    import npufa.sim

    npufa.sim.enable(soc="Ascend910B3")
    x = torch.randn(4, 8, device="npu")        # torch_npu's device; its memory is host memory
    npufa.npu_prompt_flash_attention(...)      # npufa's operators run their kernels on the modelled chip
    torch.nn.Linear(8, 8).npu()(x)             # every other operator of torch runs on the CPU

Without changes to a script: `python -m npufa.sim run script.py`. A kernel that does something the chip does not allow
raises, with a report of what, where and what to do. `profile` models the time kernels would take.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._session import Status, chips, enable, set_check, status

if TYPE_CHECKING:
    from .kernel import CompileError, Finding, KernelError, KernelLibrary, Output, compile_kernel
    from .profiling import KernelReport, ProfileError, ProfileReport, profile
    from .program import ProgramError, run_program

_LAZY = {
    "program": ("ProgramError", "run_program"),
    "kernel": ("CompileError", "Finding", "KernelError", "KernelLibrary", "Output", "compile_kernel"),
    "profiling": ("KernelReport", "ProfileError", "ProfileReport", "profile"),
}

__all__ = [
    "CompileError",
    "Finding",
    "KernelError",
    "KernelLibrary",
    "KernelReport",
    "Output",
    "ProfileError",
    "ProfileReport",
    "ProgramError",
    "Status",
    "chips",
    "compile_kernel",
    "enable",
    "profile",
    "run_program",
    "set_check",
    "status",
]


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
