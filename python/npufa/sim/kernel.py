"""Compile Ascend C kernels with the host compiler and launch them on a simulated chip.

    library = npufa.sim.compile_kernel("add_custom.cpp")
    library.launch("add_custom", [x, y, Output(z)], block_dim=8, tiling=struct.pack("I", n))
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._compiler import PROGRAMS, CompileError, Options, build
from ._native import native

__all__ = ["CompileError", "Finding", "KernelError", "KernelLibrary", "Output", "compile_kernel"]

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
    note: bool = False  # worth knowing, no mistake
    kernel: str = ""


class KernelError(RuntimeError):
    """A kernel did something the chip does not allow. `findings` holds the details, str() the report."""

    def __init__(self, text: str, findings: Sequence[Finding]):
        super().__init__(text)
        self.findings = list(findings)


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
        ("value", ctypes.c_int),
    ]


def _value(entry: Any) -> bytes | None:
    """Bytes of an argument that is passed by value; None for memory."""
    if isinstance(entry, bytes):
        return entry
    if isinstance(entry, (bool, int)):
        return int(entry).to_bytes(8, "little", signed=entry < 0)
    if isinstance(entry, (ctypes.Structure, ctypes._SimpleCData)):
        return bytes(entry)
    if hasattr(entry, "dtype") and getattr(entry, "shape", None) == () and hasattr(entry, "tobytes"):
        return entry.tobytes()
    return None


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
    kernels: tuple[str, ...] = ()  # that can be launched with values

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
        auto_sync: bool = False,
        threads: int = 0,
        shuffle: int | None = None,
        together: bool = True,
        raise_on_findings: bool = True,
    ) -> list[Finding]:
        """Run `kernel` once and return what the checks found.

        Args:
            kernel: name of the ``__global__`` function, or one of the `kernels` given to `compile_kernel`.
            arguments: numpy arrays, CPU tensors or bytearrays in the order of the kernel's parameters; None for an
                absent tensor; `Output(array)` for what it writes. By value: integers, numpy scalars, ctypes
                structures and bytes.
            block_dim: cores (core groups for kernels that use the cube).
            tiling: bytes of the tiling struct, passed as a last argument when not empty.
            tiling_key: what TILING_KEY_IS compares with.
            soc: chip to simulate, see `npufa.sim.chips()`.
            check: look for races and unwritten bytes; bounds and alignment are always checked.
            auto_sync: vector cores have the synchronisation that the compiler inserts with --cce-auto-sync=on. Off, so
                that a kernel which passes is right with either setting.
            threads: host threads, 0 for all cores.
            shuffle: seed of what the hardware leaves open (the order of flags and cores, modes left by earlier
                kernels); 0 for none, the environment's NPUFA_SIM_SHUFFLE by default.
            together: all blocks start at the same time, as after SetScheduleMode(1); else kernels must not wait for
                all cores.
            raise_on_findings: raise `KernelError` when anything but notes was found.

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
                packed[i] = _Argument(f"argument {i}".encode(), None, 0, 0, 0, 0)
                continue
            if (value := _value(array)) is not None:
                # A parameter may be wider than its value, such as a half in a struct that ends in padding.
                keep.append(ctypes.create_string_buffer(value, len(value) + 8))
                packed[i] = _Argument(f"argument {i}".encode(), ctypes.addressof(keep[-1]), len(value), 0, 1, 1)
                continue
            address, size = _memory(array)
            keep.append(array)
            written = output.written if output else True
            packed[i] = _Argument(f"argument {i}".encode(), address, size, output is not None, written, 0)
        by_value = kernel in self.kernels
        if not by_value and any(packed[i].value for i in range(len(entries))):
            raise ValueError(f"{kernel} has arguments by value: name it in the kernels of compile_kernel")
        entry = self.kernels.index(kernel) + 1 if by_value else 0
        reply = json.loads(
            native().npufa_sim_launch(
                soc.encode(), kernel.encode(), os.fsencode(self.cube), os.fsencode(self.vector), block_dim, tiling_key,
                packed, len(entries), entry, check, auto_sync, threads,
                int(os.environ.get("NPUFA_SIM_SHUFFLE", 0)) if shuffle is None else shuffle, together,
            )
        )  # fmt: skip
        if "error" in reply:
            raise ValueError(reply["error"])
        findings = [Finding(**finding) for finding in reply["findings"]]
        if raise_on_findings and not all(finding.note for finding in findings):
            raise KernelError(reply["text"], findings)
        return findings


def compile_kernel(
    source: str | os.PathLike[str],
    *,
    include: Sequence[str | os.PathLike[str]] = (),
    defines: Sequence[str] = (),
    kernels: Sequence[str] = (),
    tiling: Sequence[str | os.PathLike[str]] = (),
    directory: str | os.PathLike[str] | None = None,
    optimise: bool = True,
) -> KernelLibrary:
    """Compile one Ascend C source file twice, as cube and as vector program.

    Args:
        source: path of the .cpp or .asc file; it includes "kernel_operator.h".
        include: further include directories. Those of a CANN toolkit give their libraries, not their basic layer.
        defines: macros as "NAME=value", also those that the toolkit's builder sets, such as DTYPE_X.
        kernels: those that are templates, such as "add<float, 64>", and those that take structs or numbers by value.
            Other kernels can be launched without being named here.
        tiling: the operator's headers for the host with the BEGIN_TILING_DATA_DEF of what GET_TILING_DATA reads, where
            the kernel does not define the struct itself.
        directory: where the libraries go; a temporary directory of this user by default. A library that is there
            already, made from the same preprocessed text with the same options, is used again.
        optimise: -O2 rather than -O0.

    Raises:
        CompileError: with the compiler's messages.
    """
    path = Path(source).resolve()
    options = Options(include=[*include], tiling=tiling, defines=defines, optimise="-O2" if optimise else "-O0",
                      directory=directory, c_names=True, entries=tuple(kernels))  # fmt: skip
    libraries = build([path], options, tuple(PROGRAMS))
    return KernelLibrary(libraries["cube"], libraries["vector"], tuple(kernels))
