"""Compile Ascend C kernels with the host compiler and launch them on a simulated chip.

    library = npufa.sim.compile_kernel("add_custom.cpp")
    library.launch("add_custom", [x, y, Output(z)], block_dim=8, tiling=struct.pack("I", n))
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Sequence

from ._native import LIBRARY_DIR, native

_PROGRAMS = {"cube": "__DAV_C220_CUBE__", "vector": "__DAV_C220_VEC__"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem of a kernel: which check, which statement, what happened and what to do."""

    check: str
    instruction: str
    operand: str
    space: str
    core: str
    file: str
    line: int
    message: str
    advice: str
    count: int


class KernelError(RuntimeError):
    """A kernel did something the chip does not allow. `findings` holds the details, str() the report."""

    def __init__(self, text: str, findings: Sequence[Finding]):
        super().__init__(text)
        self.findings = list(findings)


class CompileError(RuntimeError):
    """The host compiler rejected a kernel; str() is its output."""


@dataclasses.dataclass
class Output:
    """Marks an array the kernel writes. `written`: its contents are defined before the launch."""

    array: Any
    written: bool = False


class _Argument(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("writable", ctypes.c_int),
        ("written", ctypes.c_int),
    ]


def _memory(array: Any) -> tuple[int, int]:
    """Address and size in bytes of a contiguous numpy array, torch tensor or bytearray."""
    if hasattr(array, "data_ptr"):
        if not array.is_contiguous():
            raise ValueError("kernel arguments must be contiguous tensors")
        return array.data_ptr(), array.numel() * array.element_size()
    if hasattr(array, "ctypes"):
        if not array.flags.c_contiguous:
            raise ValueError("kernel arguments must be contiguous arrays")
        return array.ctypes.data, array.nbytes
    buffer = (ctypes.c_char * len(array)).from_buffer(array)
    return ctypes.addressof(buffer), len(array)


@dataclasses.dataclass(frozen=True)
class KernelLibrary:
    """Kernels of one source file, compiled as cube and as vector program."""

    cube: Path
    vector: Path

    def launch(
        self,
        kernel: str,
        arguments: Sequence[Any],
        *,
        block_dim: int = 1,
        tiling: bytes = b"",
        tiling_key: int = 0,
        soc: str = "Ascend910B3",
        check: bool = True,
        threads: int = 0,
        shuffle: int | None = None,
        together: bool = True,
        raise_on_findings: bool = True,
    ) -> list[Finding]:
        """Run `kernel` once and return what the checks found.

        Args:
            kernel: name of the ``extern "C" __global__`` function.
            arguments: numpy arrays, CPU tensors or bytearrays in the order of the kernel's parameters; None for an absent
                tensor; `Output(array)` for what it writes.
            block_dim: cores (core groups for kernels that use the cube).
            tiling: bytes of the tiling struct, passed as a last argument when not empty.
            tiling_key: what TILING_KEY_IS compares with.
            soc: chip to simulate, see `npufa.sim.chips()`.
            check: look for races and unwritten bytes; bounds and alignment are always checked.
            threads: host threads, 0 for all cores.
            shuffle: seed of what the hardware leaves open (the order of flags and cores, modes left by earlier
                kernels); 0 for none, the environment's NPUFA_SIM_SHUFFLE by default.
            together: all blocks start at the same time, as after SetScheduleMode(1); else kernels must not wait for all cores.
            raise_on_findings: raise `KernelError` when anything was found.

        Raises:
            KernelError: the kernel misbehaved.
            ValueError: no such chip or kernel, or a launch the chip does not accept.
        """
        entries = list(arguments)
        if tiling:
            # The simulator hands out aligned memory of its own; a tiling struct may hold 8-byte members.
            entries.append(bytearray(tiling))
        packed = (_Argument * max(1, len(entries)))()
        keep = []
        for i, entry in enumerate(entries):
            output = entry if isinstance(entry, Output) else None
            array = output.array if output else entry
            if array is None:
                packed[i] = _Argument(f"argument {i}".encode(), None, 0, 0, 0)
                continue
            address, size = _memory(array)
            keep.append(array)
            written = output.written if output else True
            packed[i] = _Argument(f"argument {i}".encode(), address, size, output is not None, written)
        reply = json.loads(
            native().npufa_sim_launch(
                soc.encode(), kernel.encode(), os.fsencode(self.cube), os.fsencode(self.vector), block_dim, tiling_key,
                packed, len(entries), check, threads,
                int(os.environ.get("NPUFA_SIM_SHUFFLE", 0)) if shuffle is None else shuffle, together,
            )
        )  # fmt: skip
        if "error" in reply:
            raise ValueError(reply["error"])
        findings = [Finding(**finding) for finding in reply["findings"]]
        if findings and raise_on_findings:
            raise KernelError(reply["text"], findings)
        return findings


def compile_kernel(
    source: str | os.PathLike[str],
    *,
    include: Sequence[str | os.PathLike[str]] = (),
    defines: Sequence[str] = (),
    directory: str | os.PathLike[str] | None = None,
    optimise: bool = True,
) -> KernelLibrary:
    """Compile one Ascend C source file twice, as cube and as vector program.

    Args:
        source: path of the .cpp file; it includes "kernel_operator.h".
        include: further include directories.
        defines: macros as "NAME=value".
        directory: where the libraries go; a temporary directory of this user by default. A library that is there
            already, made from the same source, headers and options, is used again.
        optimise: -O2 rather than -O0.

    Raises:
        CompileError: with the compiler's messages.
    """
    source = Path(source).resolve()
    headers = LIBRARY_DIR / "include"
    flags = ["-std=c++17", "-O2" if optimise else "-O0", "-g", "-fPIC", "-shared", "-ffp-contract=off", "-w"]
    if platform.machine() == "x86_64":
        flags.append("-march=x86-64-v3")
    flags += [f"-I{headers}", f"-I{headers / 'ascendc'}", *(f"-I{path}" for path in include), *(f"-D{d}" for d in defines)]
    out = Path(directory or Path(tempfile.gettempdir()) / f"npufa-kernels-{os.getuid()}")
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(repr((flags, str(source))).encode())
    for path in [source, *sorted(headers.rglob("*.h")), *(p for d in include for p in sorted(Path(d).glob("*.h")))]:
        digest.update(path.read_bytes())
    stem = f"{source.stem}-{digest.hexdigest()[:16]}"
    running = []
    paths = {}
    for program, macro in _PROGRAMS.items():
        paths[program] = out / f"{stem}.{program}.so"
        if paths[program].exists():
            continue
        partial = out / f"{stem}.{program}.{os.getpid()}.partial"
        command = [os.environ.get("CXX", "g++"), *flags, f"-D{macro}", str(source), "-o", str(partial)]
        running.append((program, partial, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))
    for program, partial, process in running:
        _, errors = process.communicate()
        if process.returncode != 0:
            raise CompileError(f"{source.name} as {program} program:\n{errors}")
        partial.rename(paths[program])
    return KernelLibrary(paths["cube"], paths["vector"])
