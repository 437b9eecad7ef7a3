"""Whole Ascend C programs: sources with a main() that launches kernels with <<<>>>, run on a simulated chip."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._compiler import CompileError, Options, build
from ._native import native

__all__ = ["CompileError", "ProgramError", "is_source", "run_program"]

SUFFIXES = (".asc", ".cpp", ".cc", ".cxx")


class ProgramError(RuntimeError):
    """A program that cannot be loaded, such as one that calls what the simulator does not offer."""


def is_source(path: str) -> bool:
    return Path(path).suffix in SUFFIXES


def run_program(
    sources: Sequence[str | os.PathLike[str]],
    arguments: Sequence[str] = (),
    *,
    include: Sequence[str | os.PathLike[str]] = (),
    defines: Sequence[str] = (),
    soc: str = "Ascend910B3",
    check: bool = True,
    auto_sync: bool = True,
) -> int:
    """Compile a program and call its main() in this process.

    Args:
        sources: .asc or .cpp files. They see the ACL headers (acl/acl.h) and kernel_operator.h.
        arguments: what main() gets after its own name.
        include: further include directories; those of the sources come first.
        defines: macros as "NAME=value".
        soc: chip to simulate, see `npufa.sim.chips()`.
        check: look for races and unwritten bytes; bounds and alignment are always checked.
        auto_sync: vector cores have the synchronisation that the compiler inserts with --cce-auto-sync=on, its default.

    Returns:
        What main() returned; 1 instead of 0 when a kernel had problems. They are reported on stderr.

    Raises:
        CompileError: with the compiler's messages.
        ProgramError: the program cannot be loaded.
    """
    paths = [Path(source).resolve() for source in sources]
    own = list(dict.fromkeys(path.parent for path in paths))
    libraries = build(paths, Options(include=[*own, *include], defines=defines, optimise="-O1"))
    library = native()
    if library.npufa_sim_select_chip(soc.encode()) != 0:
        raise ValueError(library.aclGetRecentErrMsg().decode())
    library.npufa_sim_set_checks(check)
    library.npufa_sim_set_auto_sync(auto_sync)
    words = [os.fsencode(sources[0]), *map(os.fsencode, arguments)]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    sys.stdout.flush()
    vector, cube = (os.fsencode(libraries[p]) if p in libraries else b"" for p in ("vector", "cube"))
    before = library.npufa_sim_program_problems()  # of programs that this process ran earlier
    status = library.npufa_sim_run_program(vector, cube, len(words), argv)
    if status == -1 and (message := library.aclGetRecentErrMsg().decode()).startswith("program: "):
        raise ProgramError(message.removeprefix("program: "))
    return status or int(library.npufa_sim_program_problems() > before)

