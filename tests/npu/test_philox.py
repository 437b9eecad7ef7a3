"""The state of torch_npu's random generator: its layout depends on the version, and shows in what was written."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
TORCH = Path(torch.__file__).parent
CXX = os.environ.get("CXX", "g++")
CAPTURED = 1 << 32


def compile_with(*arguments):
    subprocess.run([CXX, "-std=c++20", "-O2", *arguments], check=True)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    program = tmp_path_factory.mktemp("philox") / "reader"
    libraries = [TORCH / "lib" / name for name in ("libtorch_cpu.so", "libc10.so")]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}"
    compile_with(abi, "-I", HERE.parents[1] / "framework", "-isystem", TORCH / "include", HERE / "philox_reader.cpp",
                 "-o", program, *libraries, "-ldl", f"-Wl,-rpath,{TORCH / 'lib'}")

    def read(layout, words, wrong_seed=0):
        library = program.parent / f"{layout}.{wrong_seed}.so"
        if not library.exists():
            compile_with("-shared", "-fPIC", "-Wl,-soname,libtorch_npu.so", f"-DLAYOUT={layout}",
                         f"-DWRONG_SEED={wrong_seed}", HERE / "philox_library.cpp", "-o", library)
        return subprocess.run([program, library, str(words)], check=True, capture_output=True, text=True).stdout.strip()

    return read


@pytest.mark.timeout(600)
@pytest.mark.parametrize("layout", [206, 210, 211])
def test_layouts(reader, layout):
    assert reader(layout, 12) == "0 7 12 (nil) (nil) 0"
    if layout >= 207:
        assert reader(layout, CAPTURED + 5) == "1 0 0 0x1000 0x2000 5"
    else:
        assert "cannot draw random numbers in a captured graph; expected 2.7 or newer" in reader(layout, CAPTURED + 5)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("layout", [210, 211])
def test_unknown_layout(reader, layout):
    assert "random generator has an unknown layout; expected a torch_npu of docs/versions.md" in reader(layout, 12, 1)
