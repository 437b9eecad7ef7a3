"""Machine and Python: operating system, processor, interpreter, torch, torch_npu and what they need."""

from __future__ import annotations

import os
import platform
import re

from .. import _autoload, _library, _version
from .host import Host, folder_of, has_module, version_of
from .probing import Step
from .report import MISSING, OK, WRONG, Finding


def processor(host: Host) -> tuple[str, set[str]]:
    """Name and instruction set flags of the first processor."""
    text = host.read("/proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return (name[1] if name else arm_name(text)), set(flags[1].split() if flags else [])


def arm_name(cpuinfo: str) -> str:
    """Linux gives numbers for the names of aarch64's processors; those of Kunpeng are known here."""
    maker, part = (re.search(rf"^CPU {key}\s*:\s*(\w+)$", cpuinfo, re.MULTILINE) for key in ("implementer", "part"))
    if not maker or not part:
        return "unknown processor"
    kunpeng = {"0xd01": "TaiShan v110 (Kunpeng 920)", "0xd02": "TaiShan v120"}
    return kunpeng.get(part[1] if maker[1] == "0x48" else "", f"implementer {maker[1]}, part {part[1]}")


def machine(host: Host) -> list[Finding]:
    system = platform.system()
    libc = " ".join(platform.libc_ver())
    supported = system == "Linux" and libc.startswith("glibc")
    return [
        Finding("machine", "system", OK if supported else WRONG, f"{system} {platform.release()}, {libc or 'no glibc'}",
                "" if supported else "Use Linux with glibc 2.28 or newer: torch has no other wheels with an NPU."),
        Finding("machine", "processor", OK, f"{platform.machine()}, {processor(host)[0]}"),
    ]


def row() -> _version.Row:
    """The row of the table that the installed npufa is built for."""
    return _version.row_of(_library.built_for() or _version.DEFAULT_TORCH) or _version.TABLE[-1]


def python() -> Finding:
    found = platform.python_version_tuple()
    first, last = row().pythons
    good = found[0] == "3" and first <= int(found[1]) <= last
    return Finding("Python", "python", OK if good else WRONG, platform.python_version(),
                   "" if good else f"Use Python 3.{first} to 3.{last}; torch {row().minor} has wheels for it.")


def pinned(distribution: str, module: str, advice: str) -> Finding:
    """A distribution that must be of the minor version of torch that npufa is built for."""
    version = version_of(distribution)
    if version is None:
        if has_module(module):
            return Finding("Python", module, WRONG, "of unknown version, not installed by pip", advice)
        return Finding("Python", module, MISSING, "not installed", advice)
    good = _version.minor(version) == row().minor
    return Finding("Python", module, OK if good else WRONG, version if good else f"{version}, not {row().minor}",
                   "" if good else advice)


def torch(step: Step) -> Finding:
    advice = f"pip install 'torch=={row().minor}.*', or npufa's wheel for the torch that is here (docs/versions.md)"
    finding = pinned("torch", "torch", advice)
    if finding.state == OK and step.error:
        return Finding("Python", "torch", WRONG, f"{finding.value} cannot be imported: {step.error}",
                       f"Reinstall it: pip install --force-reinstall 'torch=={row().minor}.*'")
    return finding


def tested() -> Finding:
    """The row of docs/versions.md that this machine is on."""
    there = row()
    return Finding("Python", "versions", OK,
                   f"row torch {there.torch} with torch_npu {there.torch_npu}, tier {there.tier}")


def npufa(step: Step) -> Finding:
    version = _version.__version__
    if step.error:
        return Finding("Python", "npufa", WRONG, f"{version} cannot be imported: {step.error}",
                       "Repair torch first; if torch is fine, reinstall the npufa wheel or run ./build.sh build.")
    return Finding("Python", "npufa", OK, f"{version}, processor code {step.values.get('cpu_capability', 'unknown')}")


def torch_npu() -> Finding:
    return pinned("torch-npu", "torch_npu", "For NPU tensors, real or simulated: pip install npufa[npu], "
                  f"or --no-deps 'torch-npu=={row().minor}.*'")


def autoload() -> list[Finding]:
    """torch imports torch_npu by itself, which raises without CANN; npufa_autoload.pth prevents it."""
    if not _autoload.torch_npu_would_fail():
        return []
    return [Finding("Python", "import torch", WRONG, "raises unless npufa is imported first: torch imports torch_npu, "
                    "which needs CANN", f"Set {_autoload.SWITCH}=0, or install npufa's wheel, which brings "
                    "npufa_autoload.pth.")]  # fmt: skip


def torchair() -> list[Finding]:
    """torchair is a part of torch_npu; protobuf and packaging are what it imports besides."""
    folder = folder_of("torch_npu")
    there = folder is not None and os.path.exists(folder / "dynamo/torchair/__init__.py")
    findings = [Finding("Python", "torchair", OK if there else MISSING, "a part of torch_npu" if there else "not found",
                        "" if there else "For graph mode: pip install npufa[npu]")]  # fmt: skip
    for distribution, module in (("protobuf", "google.protobuf"), ("packaging", "packaging")):
        version = version_of(distribution)
        there = version is not None and has_module(module)
        findings.append(Finding("Python", distribution, OK if there else MISSING,
                                (there and version) or "not installed",
                                "" if there else f"torchair (graph mode) imports it: pip install {distribution}"))
    return findings
