"""The functions that torch_npu's wheel takes from CANN, against sim/torch/names: all there, and each in one library."""

import functools
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from npufa import _version
from npufa.sim._native import LIBRARY_DIR

NAMES = Path(__file__).resolve().parents[3] / "sim/torch/names"
SYSTEM = ("libc.so", "libm.so", "libgcc_s", "libstdc++", "libpthread", "libdl.", "librt.", "ld-linux")


def package(name):
    return Path(importlib.util.find_spec(name).submodule_search_locations[0])


@functools.cache
def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(library, kind):
    """(type, name, versioned) of the dynamic symbols."""
    for line in output("nm", "-D", kind, str(library)).splitlines():
        *_, letter, name = line.split()
        yield letter, name.partition("@")[0], "@" in name


def defined(library):
    return {name for _, name, _ in symbols(library, "--defined-only")}


def wheel():
    return sorted(package("torch_npu").rglob("*.so*"))


def table(of_other_versions=True):
    """Kinds and names of each library, with those that only other versions of torch_npu than the default take."""
    found = {}
    for path in NAMES.glob("*.def"):
        text, _, others = path.read_text().partition("\n// Only of torch_npu ")
        found[path.stem] = re.findall(r"^(\w+)\((\w+)\)$", text + ("\n" + others if of_other_versions else ""),
                                      re.MULTILINE)
    return found


def is_default():
    return _version.minor(importlib.metadata.version("torch_npu")) == _version.minor(_version.DEFAULT_TORCH)


def in_a_plain_process(names):
    """Which of the names a Python without any extension resolves; this one may have loaded the simulator."""
    script = "import ctypes, sys; p = ctypes.CDLL(None); print(*(n for n in sys.stdin.read().split() if hasattr(p, n)))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", script], input=" ".join(names), check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


def test_every_function_of_the_wheel_is_listed():
    torch = list((package("torch") / "lib").glob("*.so*"))
    known = set().union(*map(defined, [*wheel(), *torch]))
    missing = set()
    for library in wheel():
        for letter, name, versioned in symbols(library, "--undefined-only"):
            if not (versioned or letter in "wv" or name in known or name.startswith(("Py", "_Py"))):
                missing.add(name)
    missing -= in_a_plain_process(missing)
    listed = [name for entries in table().values() for _, name in entries]
    assert len(listed) == len(set(listed)) and missing <= set(listed)
    if is_default():
        assert missing == {name for entries in table(of_other_versions=False).values() for _, name in entries}


def test_every_library_of_the_wheel_is_listed():
    have = {path.name for path in [*wheel(), *(package("torch") / "lib").iterdir()]}
    headers = [output("readelf", "-d", str(library)) for library in wheel()]
    needed = {name for header in headers for name in re.findall(r"NEEDED.*\[(.*)\]", header)}
    sonames = {name.removesuffix(".so") for name in needed - have if not name.startswith(SYSTEM)}
    assert sonames | {"libopapi"} == set(table()) if is_default() else sonames < set(table())


def test_every_name_is_where_the_table_says():
    real = defined(LIBRARY_DIR / "libnpufa_sim.so")
    for soname, entries in table().items():
        library = LIBRARY_DIR / "sim" / f"{soname}.so"
        assert f"[{soname}.so]" in output("readelf", "-d", str(library))
        own = defined(library)
        for kind, name in entries:
            assert (name in real) == (kind == "REAL"), (soname, kind, name)
            assert (name in own) == (kind != "REAL"), (soname, kind, name)
