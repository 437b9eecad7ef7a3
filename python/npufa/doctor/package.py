"""npufa's operator package for CANN: where torch_npu looks for it, and what is found there.

The order is torch_npu's: the folders of ASCEND_CUSTOM_OPP_PATH, then those of ASCEND_OPP_PATH/vendors that its
config.ini names. No library is loaded: version and entry points are read from the file.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from .host import Host, read
from .report import MISSING, OK, WRONG, Finding

PART = "operator package"
LIBRARY = Path("op_api/lib/libcust_opapi.so")
BUILT = Path(__file__).parents[1] / "lib"
VERSION = re.compile(rb"npufa operator package ([\w.+-]+)\0")
# Whole names: those of other things in the file may contain one.
ENTRY_POINT = re.compile(rb"(?<=\0)aclnn(Npufa\w+?)GetWorkspaceSize(?=\0)")
INSTALL = "Build it with ./build.sh package on a host with the CANN toolkit and run the .run file."


@dataclasses.dataclass(frozen=True)
class Package:
    """A folder that torch_npu asks for operators.

    Attributes:
        folder: `<vendor>`, which has op_api, op_impl and op_proto.
        origin: the environment variable that names it.
        version: npufa's version and a digest of the operators' definitions; None when the library does not state it.
        operators: types of npufa's operators that it has entry points for.
        socs: chips that it has kernels for (ascend910b, ...).
        owned: whether torch_npu accepts the owner of the library: this user or root.
    """

    folder: Path
    origin: str
    version: str | None
    operators: frozenset[str]
    socs: tuple[str, ...]
    owned: bool


def _vendors(host: Host) -> Path | None:
    path = host.environment.get("ASCEND_OPP_PATH", "")
    return Path(path, "vendors") if path else None


def _priority(vendors: Path) -> list[str]:
    line = re.search(r"^load_priority=(.*)$", read(vendors / "config.ini"), re.MULTILINE)
    return [name for name in line[1].split(",") if name] if line else []


def _custom(host: Host) -> list[Path]:
    return [Path(name) for name in host.environment.get("ASCEND_CUSTOM_OPP_PATH", "").split(":") if name]


def folders(host: Host) -> list[tuple[Path, str]]:
    """Every folder that torch_npu asks, in its order, and the variable that names it."""
    found = [(folder, "ASCEND_CUSTOM_OPP_PATH") for folder in _custom(host)]
    if vendors := _vendors(host):
        found += [(vendors / name, "ASCEND_OPP_PATH") for name in _priority(vendors)]
    return found


def _kernels(folder: Path) -> tuple[str, ...]:
    kernels = folder / "op_impl/ai_core/tbe/kernel"
    try:
        return tuple(sorted(entry.name for entry in kernels.iterdir() if entry.is_dir() and entry.name != "config"))
    except OSError:
        return ()


def package(host: Host, folder: Path, origin: str) -> Package | None:
    """The folder as a package; None when it has no library of entry points or one without npufa's."""
    library = folder / LIBRARY
    try:
        content = library.read_bytes()
        owner = library.stat().st_uid
    except OSError:
        return None
    operators = _operators_in(content)
    if not operators:
        return None
    return Package(folder, origin, _version_in(content), operators, _kernels(folder), owner in (host.user, 0))


def _operators_in(content: bytes) -> frozenset[str]:
    names = {name.decode() for name in ENTRY_POINT.findall(content)}
    # CANN 9 makes a second entry point for an operator with lists: with tensors in their place.
    return frozenset(name for name in names if name.removesuffix("Tensor") not in names - {name})


def _version_in(content: bytes) -> str | None:
    found = VERSION.search(content)
    return found[1].decode() if found else None


def expected_version() -> str | None:
    """The version of the package that this npufa calls; None when npufa's library is missing."""
    try:
        return _version_in((BUILT / "libnpufa_torch.so").read_bytes())
    except OSError:
        return None


def packages(host: Host) -> list[Package]:
    """npufa's packages in the order in which they are asked; the first is in use."""
    return [found for folder, origin in folders(host) if (found := package(host, folder, origin))]


def chips(host: Host) -> tuple[str, ...]:
    """Chips that the package in use has kernels for; empty without a package."""
    found = packages(host)
    return found[0].socs if found else ()


def expected_operators() -> frozenset[str]:
    """Types of the operators that this npufa calls."""
    try:
        return frozenset(json.loads((BUILT / "op_defs.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return frozenset()


def _overlooked(host: Host) -> tuple[str, str] | None:
    """A package that is there but that nobody asks: what, and what to do."""
    for folder in _custom(host):
        for inner in sorted(folder.glob("vendors/*")):
            if package(host, inner, ""):
                return f"{inner} is not asked", f"ASCEND_CUSTOM_OPP_PATH must name it: source {inner}/bin/set_env.bash"
    vendors = _vendors(host)
    for folder in sorted(vendors.glob("*")) if vendors else ():
        if package(host, folder, ""):
            return f"{folder} is not asked", f"Add {folder.name} to load_priority in {vendors}/config.ini."
    return None


def _problem(found: Package) -> tuple[str, str] | None:
    """What is wrong with a package, and what to do."""
    if not found.owned:
        return ("torch_npu ignores it, because neither this user nor root owns it",
                "Change the owner of its files to root or to the user that runs torch_npu.")
    expected = expected_version()
    if found.version != expected:
        return (f"it is of version {found.version or 'unknown'}, npufa is made for {expected or 'unknown'}",
                "Build package and wheel from the same sources.")
    lacking = sorted(expected_operators() - found.operators)
    if lacking:
        return f"it lacks {', '.join(lacking)}", "Build the package from the sources of this npufa."
    if not found.socs:
        return "it has no compiled kernels in op_impl/ai_core/tbe/kernel", INSTALL
    return None


def findings(host: Host) -> list[Finding]:
    found = packages(host)
    if not found:
        overlooked = _overlooked(host)
        if overlooked:
            return [Finding(PART, "package", WRONG, *overlooked)]
        asked = ", ".join(str(folder) for folder, _ in folders(host))
        return [Finding(PART, "package", MISSING, f"not in {asked}" if asked else
                        "neither ASCEND_CUSTOM_OPP_PATH nor ASCEND_OPP_PATH/vendors/config.ini names one",
                        INSTALL)]
    first, *others = found
    problem = _problem(first)
    where = f"{first.folder} ({first.origin})"
    result = [
        Finding(PART, "package", WRONG, f"{where}: {problem[0]}", problem[1]) if problem
        else Finding(PART, "package", OK, f"{first.version} in {where}"),
        Finding(PART, "operators", OK, ", ".join(sorted(first.operators))),
        Finding(PART, "chips", OK if first.socs else MISSING, ", ".join(first.socs) or "none"),
    ]
    for other in others:
        result.append(Finding(PART, "shadowed", WRONG, f"{other.version or 'unknown version'} in {other.folder}",
                              "The first package wins: remove this one."))
    return result
