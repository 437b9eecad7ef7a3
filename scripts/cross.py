"""Rows of the matrix for aarch64 on another machine: built by Debian's cross compiler, tested under qemu-user.

The environment's `python` is a script that starts an arm64 Python under qemu, so that pip, CMake and tests that start
processes need to know nothing of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import install_row
from row_tree import ROOT

NEEDED = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64-static": "qemu-user-static",
          "apt-get": "apt", "dpkg": "dpkg", "cmake": "cmake", "ninja": "ninja-build"}
PACKAGES = ["python3", "libpython3-dev", "libgomp1", "libstdc++6"]
# Programs of this machine serve, or nothing in the slice needs them.
NOT_HERE = ("cmake", "ninja", "onnx", "onnxruntime")
# torch asks Linux which processor it runs on, and ends at the answers of another machine: qemu shows programs those of
# the sysroot. A Kunpeng 920 with the cores of this machine.
CORE = """processor\t: {number}
BogoMIPS\t: 200.00
Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp asimdfhm
CPU implementer\t: 0x48
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd01
CPU revision\t: 0

"""
MAIN_ID = "0x00000000481fd010\n"
# qemu is some thirty times slower than a processor: what differs between processors, and one path through everything.
SLICE = [
    # Tables of primitives against numpy, each on attention, and which one a processor gets.
    "tests/cpu/test_processors.py", "tests/cpu/test_primitives.py", "tests/cpu/test_primitives_decode.py",
    "tests/cpu/test_primitives_rows.py", "tests/cpu/test_capabilities.py",
    # CPU operators in every type: forward, backward, decode, quantised caches and inputs, cache moves, dropout.
    "tests/ops/test_fusion_forward.py::test_head_dim", "tests/ops/test_fusion_forward.py::test_rope",
    "tests/ops/test_fusion_grad.py::test_head_dims", "tests/ops/test_prompt.py::test_head_dim",
    "tests/ops/test_incre.py::test_head_dim", "tests/ops/test_fused_infer.py::test_head_dim",
    "tests/ops/test_quantisation.py::test_combined_scales", "tests/ops/test_quantisation.py::test_int4_head_dims",
    "tests/ops/test_quantisation.py::test_fp8_values", "tests/ops/test_quantisation.py::test_int8_inputs",
    "tests/ops/test_quantisation.py::test_output_rounds_half_to_even_and_saturates",
    "tests/ops/test_neighbours.py", "tests/ops/test_dropout.py::test_mask_is_philox",
    # The simulator: instructions against numpy, whole programs and their mistakes, operators under torch_npu.
    "tests/sim/ascendc/test_cube.py", "tests/sim/ascendc/test_data_copy.py", "tests/sim/ascendc/test_vector_arith.py",
    "tests/sim/ascendc/test_vector_cast.py", "tests/sim/ascendc/test_vector_reduce.py",
    "tests/sim/programs/test_programs.py", "tests/sim/ops/test_one_of_each.py",
    "tests/sim/torch/test_enable.py::test_enabling", "tests/sim/torch/test_enable.py::test_trace_of_a_script",
    # The installed wheel.
    "tests/python/test_info.py", "tests/python/test_doctor.py::test_command_line_here",
]


def sysroot() -> Path:
    """An arm64 Python with its headers and libraries, unpacked from Debian's packages outside of this system."""
    folder = ROOT / "build/matrix/aarch64/sysroot"
    if (folder / "usr/bin").exists():
        return folder
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing (Debian, Ubuntu: apt install {package})")
    apt = folder.parent / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = {"APT::Architecture": "arm64", "APT::Architectures::": "arm64", "Dir::State::lists": apt / "lists",
               "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache", "Debug::NoLocking": "1"}
    command = ["apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    subprocess.run([*command, "update"], check=True)
    subprocess.run([*command, "-y", "--no-install-recommends", "--download-only", "install", *PACKAGES], check=True)
    partial = folder.with_suffix(".partial")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, partial], check=True)
    for path, text in (("proc/cpuinfo", "".join(CORE.format(number=i) for i in range(os.cpu_count() or 1))),
                       ("sys/devices/system/cpu/cpu0/regs/identification/midr_el1", MAIN_ID)):
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).write_text(text)
    partial.rename(folder)
    shutil.rmtree(apt)
    return folder


def environment(folder: Path, root: Path) -> Path:
    """A virtual environment of that Python, without pip: the one of this machine is told to install there."""
    found = [path for path in (root / "usr/bin").glob("python3.*") if path.name.count("-") == 0]
    if len(found) != 1:
        raise SystemExit(f"{root}/usr/bin has {len(found)} Pythons, not one")
    python = folder / ".venv/bin/python"
    (folder / ".venv/lib" / found[0].name / "site-packages").mkdir(parents=True, exist_ok=True)
    python.parent.mkdir(exist_ok=True)
    (folder / ".venv/pyvenv.cfg").write_text(f"home = {found[0].parent}\ninclude-system-site-packages = false\n")
    python.write_text(f'#!/bin/sh\nexec qemu-aarch64-static -L {root} -0 "$0" {found[0]} "$@"\n')
    python.chmod(0o755)
    # Findings of the simulator name lines, which addr2line knows for one kind of processor.
    (python.parent / "addr2line").unlink(missing_ok=True)
    (python.parent / "addr2line").symlink_to(shutil.which("aarch64-linux-gnu-addr2line") or "/nonexistent")
    return python


def pip(python: Path, *arguments: object, **options: object) -> int:
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"]
    return subprocess.run([*command, *arguments], **options).returncode


def requirements(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(tuple(f"{name}=" for name in NOT_HERE))]


def install(folder: Path, root: Path, python: Path, torch: str) -> None:
    found = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True,
                           check=True)
    major, minor = map(int, found.stdout.split())
    lines = requirements((folder / "requirements-dev.txt").read_text().splitlines())
    # The index has CUDA builds for aarch64, too; torch_npu demands no local version there.
    wanted = [choices[-1] for choices in install_row.commands(torch, lines, (major, minor))]
    # Of an earlier call with --keep: under qemu pip takes minutes to see that nothing is missing.
    stamp = folder / ".venv/installed"
    if stamp.exists() and stamp.read_text() == repr(wanted):
        return
    for arguments in wanted:
        if pip(python, "install", "-q", "--no-compile", *arguments) != 0:
            raise SystemExit("pip install failed")
    if (major, minor) == sys.version_info[:2]:
        # Bytecode is the same on every machine; under qemu it would take longer to make than torch to load.
        libraries = folder / ".venv/lib", root / f"usr/lib/python{major}.{minor}"
        subprocess.run([sys.executable, "-m", "compileall", "-qq", *libraries])
    stamp.write_text(repr(wanted))



def test(folder: Path, torch: str, arguments: list[str]) -> None:
    """Builds the wheel and the test modules, installs the one and runs the tests with the others."""
    root = sysroot()
    python = environment(folder, root)
    install(folder, root, python, torch)
    here = os.environ | {"NPUFA_SYSROOT": str(root), "CMAKE_TOOLCHAIN_FILE": str(folder / "cmake/aarch64.cmake"),
                         "CXX": "aarch64-linux-gnu-g++", "PATH": f"{python.parent}:{os.environ['PATH']}",
                         "OMP_NUM_THREADS": "1"}  # emulated threads that wait for each other cost most of the time
    configure = ["cmake", "-S", ".", "-B", "build", "-G", "Ninja", "--log-level=NOTICE", "-DNPUFA_BUILD_TESTS=ON",
                 f"-DPython_EXECUTABLE={python}"]
    for command in (configure, ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=folder, env=here, check=True)
    dist = ROOT / "dist"
    if pip(python, "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", dist, ".", cwd=folder, env=here) != 0:
        raise SystemExit("the wheel could not be built")
    wheel = max(dist.glob("npufa-*_aarch64.whl"), key=lambda path: path.stat().st_mtime)
    print(f"== {wheel}", flush=True)
    pip(python, "install", "-q", "--no-deps", "--force-reinstall", wheel, check=True)
    print("== pytest", *arguments, flush=True)
    subprocess.run([python, "-m", "pytest", *arguments], cwd=folder, env=here)
