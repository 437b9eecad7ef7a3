"""Compiles op_host and op_kernel, syntax only, against the headers of a CANN toolkit or of asc-devkit's sources:

    check_cann_headers.py DIR...

A header that the first DIR does not have is looked for in the next one: asc-devkit has neither the headers of op_host
nor the definitions of the chip's instructions for a host's compiler.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPILER = os.environ.get("CXX", "g++").split()
SYNTAX = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-parameter"]

# What toolkits define when they compile for Atlas A2 and A3, in CPU mode. Names differ between releases.
KERNEL = ["-D__CCE_AICORE__=220", "-D__DAV_C220__", "-D__NPU_ARCH__=2201",
          "-D__CCE_KT_TEST__=1", "-DASCENDC_CPU_DEBUG=1"]
PROGRAMS = {"cube": ["-D__DAV_C220_CUBE__", "-D__DAV_CUBE__", "-DNPUFA_CUBE_PROGRAM=true"],
            "vector": ["-D__DAV_C220_VEC__", "-D__DAV_VEC__", "-DNPUFA_CUBE_PROGRAM=false"]}
# Included before a kernel: what a toolkit generates with each kernel and, where CPU mode has a variable, the program.
# CPU mode's tiling key is a variable, too: the variants of all keys are compiled.
SHIM = """
#include "kernel_operator.h"
#ifndef GET_TILING_DATA_WITH_STRUCT
#define GET_TILING_DATA_WITH_STRUCT(type, name, address) type name = *reinterpret_cast<__gm__ type*>(address)
#endif
#undef ASCEND_IS_AIC
#undef ASCEND_IS_AIV
#define ASCEND_IS_AIC constexpr(NPUFA_CUBE_PROGRAM)
#define ASCEND_IS_AIV constexpr(!NPUFA_CUBE_PROGRAM)
"""


def die(message):
    sys.exit("check: " + message)


class Headers:
    """Where the headers below the given directories are."""

    def __init__(self, directories):
        self.by_name = [self._index(directory) for directory in directories]

    @staticmethod
    def _index(directory):
        found, seen = defaultdict(list), set()
        for place, folders, files in os.walk(directory, followlinks=True):
            real = os.path.realpath(place)
            folders[:] = sorted(folder for folder in folders if folder != ".git") if real not in seen else []
            seen.add(real)
            for file in files:
                found[file].append(place)
        return found

    def root_of(self, header):
        """The directory to include `header` from: of the first given directory that has it, the nearest."""
        folder, name = os.path.split(header)
        for by_name in self.by_name:
            places = [place for place in by_name[name] if not folder or place.endswith("/" + folder)]
            if places:
                place = min(places, key=lambda place: (place.count("/"), place))
                return place[:len(place) - len(folder)].rstrip("/")
        return None


class Part:
    """The sources of op_host or of op_kernel, compiled with the same include directories."""

    def __init__(self, name, jobs, headers):
        self.name, self.jobs, self.headers = name, jobs, headers
        self.roots, self.missing = [], set()

    def _run(self, arguments):
        includes = [argument for root in self.roots for argument in ("-isystem", root)]
        return subprocess.run([*COMPILER, *includes, *arguments], cwd=ROOT, env=dict(os.environ, LC_ALL="C"),
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def find_headers(self, label):
        """Adds include directories until the source lacks no header, or none that the toolkit has."""
        while True:
            listed = self._run(["-M", "-MG", *self.jobs[label]]).stdout.replace("\\\n", " ").partition(":")[2].split()
            missing = {name for name in listed if not (ROOT / name).exists()}
            new = sorted({root for root in map(self.headers.root_of, missing) if root} - set(self.roots))
            if not new:
                return missing
            self.roots += new

    def compile(self, label):
        """Status and output; no status where headers are missing."""
        while True:
            known = len(self.roots)  # other threads add to them, too
            done = self._run(self.jobs[label])
            if "fatal error: " not in done.stdout:
                return done.returncode, done.stdout
            missing = self.find_headers(label)
            if len(self.roots) == known:
                self.missing |= missing
                return (None, "") if missing else (done.returncode, done.stdout)

    def check(self):
        """Compiles what lacks no header. Returns the numbers of compilations that passed, failed and were left out."""
        counts = {"passed": 0, "failed": 0, "left out": 0}
        for label in list(self.jobs)[:1]:
            self.find_headers(label)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for label, (status, output) in zip(self.jobs, pool.map(self.compile, self.jobs)):
                verdict = "left out" if status is None else "failed" if status else "passed"
                counts[verdict] += 1
                print(f"{label}: {verdict}\n{output}", end="", flush=True)
        for root in self.roots:
            print(f"{self.name}: headers in {root}")
        for header in sorted(self.missing):
            print(f"{self.name}: header not found: {header}")
        print(f"{self.name}:", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        return counts.values()


def host_jobs():
    jobs = {}
    for source in sorted((ROOT / "op_host").rglob("*.cpp")):
        path = str(source.relative_to(ROOT))
        jobs[path] = [*SYNTAX, path]
        # Definitions are compiled again for the library of prototypes and for that of tiling.
        if path.endswith("_def.cpp"):
            for library in ("OP_PROTO_LIB", "OP_TILING_LIB"):
                jobs[f"{path}, {library}"] = [*SYNTAX, "-D" + library, path]
    return jobs


def tiling_keys(source):
    """Keys of a kernel, in its file or in a header that has the dispatch."""
    text = source.read_text()
    for header in re.findall(r'#include "([^"]+)"', text):
        if (source.parent / header).exists():
            macros = re.findall(r"#define (\w+)\(((?:.*\\\n)*.*)", (source.parent / header).read_text())
            text += "".join(body for macro, body in macros if macro + "(" in text)
    return sorted({int(key) for key in re.findall(r"TILING_KEY_IS\((\d+)\)", text)})


def kernel_jobs(shim):
    jobs = {}
    for source in sorted((ROOT / "op_kernel").glob("*.cpp")):
        path = str(source.relative_to(ROOT))
        keys = " ".join(map(str, tiling_keys(source))) or "none"
        for program, flags in PROGRAMS.items():
            jobs[f"{path}, {program} program, tiling keys {keys}"] = [*SYNTAX, *KERNEL, *flags, "-include", shim, path]
    return jobs


def toolkit_of(directory):
    """A toolkit's include directory, or that of its processor, stands for the whole toolkit."""
    path = Path(directory)
    if not path.is_dir():
        die(f"{directory} is no directory")
    path = path.resolve()
    while path.name == "include" or path.name.endswith("-linux"):
        path = path.parent
    return path


def main(directories):
    if not directories:
        die("usage: check_cann_headers.py DIR...")
    try:
        subprocess.run([*COMPILER, "-dumpversion"], stdout=subprocess.DEVNULL, check=True)
    except OSError:
        die(f"no C++ compiler: {' '.join(COMPILER)} not found")
    headers = Headers([toolkit_of(directory) for directory in directories])
    with tempfile.TemporaryDirectory() as scratch:
        shim = Path(scratch, "shim.h")
        shim.write_text(SHIM)
        parts = [Part("op_host", host_jobs(), headers), Part("op_kernel", kernel_jobs(str(shim)), headers)]
        results = [part.check() for part in parts]
    passed, failed, left_out = map(sum, zip(*results))
    if failed:
        die(f"{failed} of {passed + failed} compilations failed")
    if not passed:
        die("nothing was compiled: no header that op_host and op_kernel need is in " + ", ".join(directories))
    print(f"check: {passed} compilations passed, {left_out} left out for want of headers")


if __name__ == "__main__":
    main(sys.argv[1:])
