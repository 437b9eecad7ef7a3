"""Putting the simulator under torch_npu, once per process."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import io
import json
import os
import sys
import warnings

import torch

from .. import _autoload
from .._version import minor
from . import graph_engine, operators, python_acl, triton_interpreter
from ._native import LIBRARY_DIR, native

MOST_DEVICES = 16  # sim/torch/device.h
DEFAULT_SOC = os.environ.get(_autoload.CHIP) or "Ascend910B3"


@dataclasses.dataclass(frozen=True)
class Status:
    """What `torch.npu` is in this process.

    Attributes:
        soc: the simulated chip; None while the simulator is not in use.
        check: whether kernels are checked.
        torch_npu: version of the installed torch_npu; None without one.
        cann: libascendcl.so of a CANN on this host, which the simulator stands aside for; None without one.
    """

    soc: str | None
    check: bool
    torch_npu: str | None
    cann: str | None


_soc: str | None = None
_check = True


def _torch_npu_version() -> str | None:
    try:
        return importlib.metadata.version("torch_npu")
    except importlib.metadata.PackageNotFoundError:
        return None


def status() -> Status:
    """Returns whether the simulator is in use and what it would run on; changes nothing."""
    return Status(_soc, _check, _torch_npu_version(), _autoload.cann_library())


def chips() -> dict[str, dict[str, float | str]]:
    """Returns the known chips: name to facts (cores, bytes, MHz; see docs/time_model.md)."""
    return json.loads(native().npufa_sim_chips().decode())


def set_check(enabled: bool) -> None:
    """Turns the checks of kernels on or off; without them kernels run faster and a broken one may crash the process."""
    global _check
    native().npufa_sim_set_checks(int(enabled))
    _check = enabled


def _require_torch_npu() -> None:
    version = _torch_npu_version()
    if version is None:
        raise ImportError("npufa.sim needs torch_npu, which is not installed: pip install npufa[npu]")
    wanted = minor(torch.__version__)
    if minor(version) != wanted:
        raise ImportError(f"npufa.sim needs torch_npu {wanted} beside torch {torch.__version__}, found {version}: "
                          f"pip install --no-deps 'torch-npu=={wanted}.*'")


def _require_chip(soc: str) -> None:
    if soc not in (known := chips()):
        raise ValueError(f"npufa.sim.enable: soc is unknown, got {soc!r}; expected one of {', '.join(known)}")


def _load_cann_libraries() -> None:
    """Loads the libraries that torch_npu is linked against, and npufa's operators, before anybody asks for them.

    The system's loader then takes these for CANN's libraries of the same names.
    """
    native()
    folder = LIBRARY_DIR / "sim"
    paths = sorted(folder.glob("lib*.so"))
    if not paths:
        raise RuntimeError(f"{folder} is empty: run ./build.sh build, or install a wheel that has the simulator")
    for path in [*paths, *folder.glob("op_api/lib/libcust_opapi.so")]:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _import_torch_npu() -> None:
    # A failing operator in torch_npu's task queue leaves later waits spinning for ever.
    os.environ["TASK_QUEUE_ENABLE"] = "0"
    printed = io.StringIO()
    forward = torch.nn.LSTM.forward
    torch.ops.npufa_sim.set_allocator_settings_aside(True)
    with contextlib.redirect_stdout(printed):
        importlib.import_module("torch_npu")
    torch.ops.npufa_sim.set_allocator_settings_aside(False)
    # That of torch_npu 2.10 and older expects results as CANN's LSTM pads them; here torch's own computes.
    torch.nn.LSTM.forward = forward  # type: ignore[method-assign]
    # The absence of CANN is what this is about, so that torch_npu's remark on it is no news.
    lines = [line for line in printed.getvalue().splitlines() if "ASCEND_HOME_PATH environment variable" not in line]
    if lines:
        print("\n".join(lines))


def set_devices(devices: int) -> None:
    """Kept in the environment: the runtime reads it there, and child processes have as many."""
    if not isinstance(devices, int) or not 1 <= devices <= MOST_DEVICES:
        raise ValueError(f"npufa.sim.enable: devices is not a number of chips of a host, got {devices!r}; expected "
                         f"1..{MOST_DEVICES}")
    os.environ[_autoload.DEVICES] = str(devices)


def enable(soc: str = DEFAULT_SOC, check: bool = True, force: bool = False, devices: int | None = None) -> None:
    """Makes `torch.npu` simulated devices for the rest of the process.

    Where CANN is installed the real NPU is left alone, with a warning, unless `force` is given. Calling again with the
    same `soc` only sets `check`.

    Args:
        soc: name of the chip; `python -m npufa.sim chips` lists them. By default the one that the environment names
            as NPUFA_SIM, or Ascend910B3.
        check: check every access and every order between instructions of the kernels that run.
        force: simulate although this host has a CANN.
        devices: how many chips there are, 1 to 16; by default as many as NPUFA_SIM_DEVICES says, or one. Processes
            that each take one talk to each other by `torch.distributed` with "hccl".

    Raises:
        ImportError: torch_npu is missing or not the version this is made for.
        ValueError: no such chip, or another number of devices.
        RuntimeError: another chip was chosen before, or torch_npu runs on a real CANN already, or the simulator's
            libraries are missing.
    """
    global _soc
    if _soc is not None and soc != _soc:
        raise RuntimeError(f"npufa.sim.enable: soc cannot change within a process, got {soc!r} after {_soc!r}; "
                           "start another process")
    if _soc is None:
        _require_torch_npu()
        cann = _autoload.cann_library()
        if cann is not None and not force:
            warnings.warn(f"npufa.sim.enable: CANN found ({cann}), the real NPU stays in use; force=True simulates",
                          stacklevel=2)
            return
        if "torch_npu" in sys.modules:
            raise RuntimeError("npufa.sim.enable: torch_npu is loaded already; enable the simulator before it is "
                               "imported, and set TORCH_DEVICE_BACKEND_AUTOLOAD=0 where CANN is installed")
        _require_chip(soc)
        if devices is not None:
            set_devices(devices)
        _load_cann_libraries()
        native().npufa_sim_select_chip(soc.encode())
        graph_engine.install()
        torch.ops.load_library(str(LIBRARY_DIR / "libnpufa_sim_aten.so"))
        _import_torch_npu()
        torch.ops.npufa_sim.register_cpu_kernels()
        operators.register()
        python_acl.install()
        triton_interpreter.install()
        _soc = soc
    set_check(check)
