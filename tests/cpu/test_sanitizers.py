"""The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer: built without torch, run on every path."""

import os
import subprocess
from pathlib import Path

import pytest

import npufa

ROOT = Path(__file__).resolve().parents[2]
CPU = ROOT / "framework" / "cpu"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """tests/cpp/attention_check.cpp with the kernels, all of it instrumented."""
    build = tmp_path_factory.mktemp("sanitized")
    lists = f"""
cmake_minimum_required(VERSION 3.25)
project(sanitized LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
# Checks of every pointer for null and alignment multiply the code of the primitives without an object to find.
add_compile_options(-O1 -g1 -fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,vptr
  -fno-sanitize-recover=all -fno-omit-frame-pointer)
add_link_options(-fsanitize=address,undefined)
include({CPU}/primitives/primitives.cmake)
# Optimised as usual, the instrumented primitives take many minutes to compile.
foreach(isa generic avx2 avx512 avx512_bf16 amx neon_dot neon_bf16)
  if(TARGET npufa_primitives_${{isa}})
    target_compile_options(npufa_primitives_${{isa}} PRIVATE -O1)
  endif()
endforeach()
add_executable(sanitized {ROOT}/tests/cpp/attention_check.cpp ${{NPUFA_CPU_LOOPS}})
if(TARGET npufa_primitives_amx)
  target_sources(sanitized PRIVATE {ROOT}/tests/cpp/amx_emulator.cpp)
endif()
target_include_directories(sanitized PRIVATE {ROOT}/framework {ROOT}/op_host/common)
target_link_libraries(sanitized PRIVATE npufa_primitives)
"""
    (build / "CMakeLists.txt").write_text(lists)
    for command in (["cmake", "-S", ".", "-B", "out", "-G", "Ninja"], ["cmake", "--build", "out", "--parallel", "2"]):
        done = subprocess.run(command, cwd=build, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return build / "out" / "sanitized"


def run(program, *arguments, **environment):
    return subprocess.run([program, *arguments], env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", [n for n in npufa.info().cpu_capabilities if n not in ("amx", "brgemm")])
def test_kernels_under_sanitizers(program, name):
    """brgemm is torch's: its table cannot be built without it."""
    done = run(program, NPUFA_CPU_CAPABILITY=name, ASAN_OPTIONS="detect_leaks=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(3000)
@pytest.mark.skipif("avx512_bf16" not in npufa.info().cpu_capabilities, reason="the rest of the table needs it")
def test_amx_under_sanitizers(program):
    """On a CPU without AMX the emulator reads and writes, instrumented too, what the instructions would."""
    done = run(program, "amx", ASAN_OPTIONS="detect_leaks=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "amx: clean" in done.stdout


@pytest.mark.slow(group="builds")
@pytest.mark.timeout(3000)
def test_the_sanitizer_is_awake(program):
    """A key that is one row too short is found."""
    done = run(program, "short")
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr
