"""Ascend C sources to shared libraries: preprocess, translate what is not C++, compile once for each kind of core."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import _toolkit
from ._native import LIBRARY_DIR
from ._source_pass import KERNEL_WORD, SourceError, Translated, translate

PROGRAMS = {"cube": "__DAV_C220_CUBE__", "vector": "__DAV_C220_VEC__"}

# What g++ lacks: specialisations of a member template inside its class; names found by their arguments' namespace
# although template arguments follow, as in Cast<float>(...). clang++, which has both, takes over.
_REFUSED_BY_GCC = re.compile("explicit specialization in non-namespace scope|"
                             r"did you mean .AscendC::\w+.\?[^?]*expected primary-expression before")  # fmt: skip


class CompileError(RuntimeError):
    """The host compiler rejected a kernel; str() is its output."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How sources are compiled.

    Attributes:
        include: further include directories. Those of a CANN toolkit give their libraries, not their basic layer.
        tiling: headers of the host whose tiling definitions a kernel uses.
        defines: macros as "NAME=value".
        optimise: the -O option.
        directory: where the libraries go; a temporary directory of this user by default. A library that is there
            already, made from the same preprocessed text with the same options, is used again.
        c_names: kernels that are no templates can be found by name.
        entries: see `translate`.
    """

    include: Sequence[str | os.PathLike[str]] = ()
    tiling: Sequence[str | os.PathLike[str]] = ()
    defines: Sequence[str] = ()
    optimise: str = "-O2"
    directory: str | os.PathLike[str] | None = None
    c_names: bool = False
    entries: Sequence[str] = ()


def build(sources: Sequence[Path], options: Options, programs: Sequence[str] = ()) -> dict[str, Path]:
    """Libraries of the sources, by program; without `programs` those that the kernels' attributes ask for.

    Raises:
        CompileError: with the compiler's messages.
    """
    try:
        return _Build(os.environ.get("CXX", "g++"), options).run(sources, programs)
    except CompileError as error:
        if not _REFUSED_BY_GCC.search(str(error)):
            raise
        if shutil.which("clang++") is None:
            raise CompileError(f"{error}\ng++ cannot compile this; with clang++ installed it is used instead") from None
    return _Build("clang++", options).run(sources, programs)


class _Build:
    def __init__(self, compiler: str, options: Options):
        self._compiler = compiler.split()
        self._options = options
        self._flags = ["-std=c++17", options.optimise, "-g", "-fPIC", "-ffp-contract=off", "-w",
                       "-fno-delete-null-pointer-checks", "-fno-strict-aliasing"]  # fmt: skip
        # A division by zero is a finding. Processors of other kinds do not trap (sim/chip/host_faults.cpp).
        x86 = platform.machine() == "x86_64"
        self._flags.append("-march=x86-64-v3" if x86 else "-fsanitize=integer-divide-by-zero")
        if _is_gcc(compiler):
            # Each program keeps its own copy of inline variables.
            self._flags += ["-fno-gnu-unique", "-fno-isolate-erroneous-paths-dereference"]
        self._directory = Path(options.directory or Path(tempfile.gettempdir()) / f"npufa-kernels-{os.getuid()}")
        directories = [Path(path).resolve() for path in options.include]
        toolkit = [path for path in directories if _toolkit.is_toolkits(path)]
        headers = LIBRARY_DIR / "include"
        # Who writes a program may shadow the simulator's headers; a toolkit shall not.
        self._include = [*(path for path in directories if path not in toolkit), headers, headers / "ascendc",
                         headers / "cann", *toolkit, *filter(None, map(_toolkit.root_of, toolkit))]  # fmt: skip
        tiling = [Path(path) for path in options.tiling]
        self._prologue = "\n".join(dict.fromkeys([*map(_toolkit.prologue, toolkit), _toolkit.tiling_structs(tiling),
                                                  _toolkit.registered_tiling(tiling)]))  # fmt: skip

    def run(self, sources: Sequence[Path], programs: Sequence[str]) -> dict[str, Path]:
        if not programs:
            first = self._translate_all(sources, "vector")
            programs = sorted({name for t in first.values() for name in t.programs}) or ["vector"]
        self._directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            return dict(zip(programs, pool.map(lambda p: self._library(p, self._translate_all(sources, p)), programs)))

    def _translate_all(self, sources: Sequence[Path], program: str) -> dict[Path, Translated]:
        return {source: self._translate(source, program) for source in sources}

    def _translate(self, source: Path, program: str) -> Translated:
        preprocess = [
            *self._compiler, "-E", "-x", "c++", *self._flags, f"-D{PROGRAMS[program]}", f"-D__global__={KERNEL_WORD}",
            "-D__CCE__", *(f"-D{define}" for define in self._options.defines), *(f"-I{path}" for path in self._include),
            "-include", "/dev/stdin", str(source),
        ]  # fmt: skip
        with _naming(source, program):
            return translate(_output(preprocess, self._prologue), self._options.c_names, self._options.entries)

    def _library(self, program: str, texts: Mapping[Path, Translated]) -> Path:
        digest = hashlib.sha256(repr((self._compiler, self._flags)).encode())
        for translated in texts.values():
            digest.update(translated.text.encode())
        library = self._directory / f"{next(iter(texts)).stem}-{digest.hexdigest()[:16]}.{program}.so"
        if library.exists():
            return library
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            objects: list[str] = []
            for source, translated in texts.items():
                objects.append(str(Path(scratch) / f"{len(objects)}.o"))
                text = Path(scratch) / f"{len(objects)}.ii"
                text.write_text(translated.text)
                with _naming(source, program):
                    _output([*self._compiler, *self._flags, "-c", str(text), "-o", objects[-1]])
            partial = Path(scratch) / "library.so"
            _output([*self._compiler, "-shared", "-Wl,-Bsymbolic", *objects, "-o", str(partial)])
            partial.rename(library)
        return library


class _naming:
    """Says in errors which source and program they are about."""

    def __init__(self, source: Path, program: str):
        self._what = f"{source.name} as {program} program"

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (CompileError, SourceError)):
            raise CompileError(f"{self._what}:\n{error}") from None


@functools.cache
def _is_gcc(compiler: str) -> bool:
    return "Free Software Foundation" in _output([*compiler.split(), "--version"])


def _output(command: Sequence[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise CompileError(done.stderr)
    return done.stdout
