"""Streams, events, callbacks and memory of the simulated ACL under ThreadSanitizer, from four threads at a time."""

import os
import subprocess
from pathlib import Path

import pytest

from npufa.sim._native import LIBRARY_DIR

ROOT = Path(__file__).resolve().parents[3]
SECONDS = int(os.environ.get("NPUFA_STRESS_SECONDS", "20"))
FLAGS = ["-std=c++20", "-O1", "-g1", "-fsanitize=thread", *(f"-I{ROOT / d}" for d in ("sim", "sim/cann/include",
         "sim/chip"))]  # fmt: skip
ARCH = ["-march=x86-64-v3"] if os.uname().machine == "x86_64" else []


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The runtime, instrumented, with the installed library for what it calls of the chip."""
    folder = tmp_path_factory.mktemp("stress")
    sources = [*(ROOT / "sim" / "torch").glob("*.cpp"), ROOT / "tests" / "cpp" / "acl_stress.cpp"]
    for source in sources:
        subprocess.run(["g++", *FLAGS, *ARCH, "-c", source, "-o", folder / f"{source.stem}.o"], check=True)
    library = LIBRARY_DIR / "libnpufa_sim.so"
    subprocess.run(["g++", "-fsanitize=thread", *folder.glob("*.o"), "-o", folder / "acl_stress", library,
                    f"-Wl,-rpath,{LIBRARY_DIR}", "-lpthread", "-ldl"], check=True)  # fmt: skip
    return folder / "acl_stress"


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(SECONDS + 600)
def test_threads_do_not_race(program):
    """As long as NPUFA_STRESS_SECONDS says; without address randomisation, which old sanitizers do not survive."""
    done = subprocess.run(["setarch", "-R", program, str(SECONDS), "4"], capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[:4000]
    assert "steps" in done.stdout
