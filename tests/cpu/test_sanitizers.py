"""The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer: built without torch, run on every path."""

import os
import subprocess
from pathlib import Path

import pytest

import npufa

ROOT = Path(__file__).resolve().parents[2]
CPU = ROOT / "framework" / "cpu"


def torch_free_sources():
    """The loops; the primitives come from a library of their own."""
    own_library = {"primitives_impl.cpp", "capability.cpp"}
    needs_torch = ("ATen/", "torch/", '"problem_builder.h"', '"registration.h"', '"arguments.h"')
    names = (path for path in sorted(CPU.glob("*.cpp")) if path.name not in own_library)
    return [path for path in names if not any(word in path.read_text() for word in needs_torch)]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """tests/cpp/sanitized_attention.cpp with the kernels, all of it instrumented."""
    build = tmp_path_factory.mktemp("sanitized")
    sources = torch_free_sources()
    assert {"forward.cpp", "backward.cpp", "decode_worker.cpp"} <= {path.name for path in sources}
    lists = f"""
cmake_minimum_required(VERSION 3.25)
project(sanitized LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
# Checks of every pointer for null and alignment multiply the code of the primitives without an object to find.
add_compile_options(-O1 -g1 -fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,vptr
  -fno-sanitize-recover=all -fno-omit-frame-pointer)
add_link_options(-fsanitize=address,undefined)
include({CPU}/primitives.cmake)
# Optimised as usual, the instrumented primitives take many minutes to compile.
foreach(isa generic avx2 avx512 avx512_bf16)
  if(TARGET npufa_primitives_${{isa}})
    target_compile_options(npufa_primitives_${{isa}} PRIVATE -O1)
  endif()
endforeach()
add_executable(sanitized {ROOT}/tests/cpp/sanitized_attention.cpp {" ".join(map(str, sources))})
target_include_directories(sanitized PRIVATE {CPU} {ROOT}/framework {ROOT}/op_host/common)
target_link_libraries(sanitized PRIVATE npufa_primitives)
"""
    (build / "CMakeLists.txt").write_text(lists)
    for command in (["cmake", "-S", ".", "-B", "out", "-G", "Ninja"], ["cmake", "--build", "out", "--parallel", "2"]):
        done = subprocess.run(command, cwd=build, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return build / "out" / "sanitized"


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", [n for n in npufa.info().cpu_capabilities if n != "brgemm"])
def test_kernels_under_sanitizers(program, name):
    """brgemm is torch's: its table cannot be built without it."""
    environment = os.environ | {"NPUFA_CPU_CAPABILITY": name, "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_sanitizer_is_awake(program):
    """A key that is one row too short is found."""
    done = subprocess.run([program, "short"], capture_output=True, text=True)
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr
