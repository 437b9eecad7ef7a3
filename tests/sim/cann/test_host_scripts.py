"""build.sh check and package: what they compile and call, and what they say is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from npufa.doctor.package import expected_version

ROOT = Path(__file__).resolve().parents[3]


def run(directory, *arguments, **environment):
    """Status and combined output of ./build.sh."""
    env = {k: v for k, v in os.environ.items() if k != "ASCEND_HOME_PATH"} | {k: str(v) for k, v in environment.items()}
    done = subprocess.run(["./build.sh", *map(str, arguments)], cwd=directory, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    """What the two commands read, in a place of its own."""
    for name in ("scripts", "cann", "op_host", "op_kernel"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name)
    shutil.copy(ROOT / "build.sh", tmp_path / "project")
    (tmp_path / "project/python/npufa").mkdir(parents=True)
    shutil.copy(ROOT / "python/npufa/_version.py", tmp_path / "project/python/npufa")
    return tmp_path / "project"


@pytest.mark.parametrize("arguments", [(), ("--cann-include",), ("/somewhere",), ("--cann-include", "/", "more")])
def test_check_usage(project, arguments):
    status, text = run(project, "check", *arguments)
    assert status != 0 and "--cann-include DIR" in text


def test_check_directory_must_exist(project):
    status, text = run(project, "check", "--cann-include", "nowhere")
    assert status != 0 and "nowhere is no directory" in text


@pytest.mark.slow(group="builds")
def test_check_compiles_every_source(project, tmp_path):
    """Against the simulator's headers, spread as toolkits spread theirs."""
    arch = tmp_path / "toolkit" / "x86_64-linux"
    shutil.copytree(ROOT / "sim" / "cann" / "include", arch / "include")
    (arch / "ascendc" / "include" / "highlevel_api").mkdir(parents=True)
    shutil.move(arch / "include" / "tiling", arch / "ascendc" / "include" / "highlevel_api")
    for folder in ("ascendc", "chip"):
        shutil.copytree(ROOT / "sim" / folder, arch / "ascendc" / "include" / "basic_api" / folder)
    status, text = run(project, "check", "--cann-include", arch / "include")
    assert status == 0, text
    sources = list((project / "op_host").rglob("*.cpp"))
    definitions = [path for path in sources if path.name.endswith("_def.cpp")]
    assert f"op_host: {len(sources) + 2 * len(definitions)} passed, 0 failed, 0 left out" in text
    assert f"op_kernel: {2 * len(list((project / 'op_kernel').glob('*.cpp')))} passed, 0 failed, 0 left out" in text
    for program in ("cube", "vector"):
        assert f"npufa_flash_attention.cpp, {program} program, tiling keys 0 1 2: passed" in text


# A toolkit of a few lines, with an instruction that the vector program lacks and one that the cube program lacks.
KERNEL_API = """#pragma once
#include "intrinsics.h"
#define __global__
#define __aicore__
#define __gm__
#define GM_ADDR unsigned char*
extern unsigned long long g_tilingKey;
#define TILING_KEY_IS(key) (g_tilingKey == (key))
extern int g_coreType;
#define ASCEND_IS_AIC (g_coreType == 1)
#define ASCEND_IS_AIV (g_coreType == 2)
namespace AscendC {
#ifdef __DAV_C220_CUBE__
template <typename T> void Mmad(T) {}
template <typename T> void Exp(T) = delete;
#else
template <typename T> void Mmad(T) = delete;
template <typename T> void Exp(T) {}
#endif
}
"""
KERNEL = """#include "kernel_operator.h"
template <typename T> void Run() {
  if ASCEND_IS_AIC {
    AscendC::Mmad(T());
  }
}
template <typename T> void Other() {
  if ASCEND_IS_AIV {
    AscendC::Exp(T());
  }
}
extern "C" __global__ __aicore__ void npufa_small(GM_ADDR tiling) {
  GET_TILING_DATA_WITH_STRUCT(int, data, tiling);
  if (TILING_KEY_IS(0)) {
    Run<float>();
  } else if (TILING_KEY_IS(7)) {
    Other<float>();
  }
  (void)data;
}
"""


@pytest.fixture
def small(project, tmp_path):
    """A project of one kernel and one host source, and the directory of a toolkit for them."""
    for folder in ("op_host", "op_kernel"):
        shutil.rmtree(project / folder)
        (project / folder).mkdir()
    (project / "op_kernel" / "npufa_small.cpp").write_text(KERNEL)
    (project / "op_host" / "small.cpp").write_text('#include "register/op_def_registry.h"\nge::Type type;\n')
    toolkit = tmp_path / "toolkit"
    for name, text in {"include/register/op_def_registry.h": "namespace ge { struct Type {}; }\n",
                       "include/ascendc/basic_api/kernel_operator.h": KERNEL_API,
                       "tools/tikicpulib/lib/include/intrinsics.h": ""}.items():
        (toolkit / name).parent.mkdir(parents=True)
        (toolkit / name).write_text(text)
    return project, toolkit


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_check_finds_the_layout_and_says_what_it_compiled(small):
    project, toolkit = small
    status, text = run(project, "check", "--cann-include", toolkit / "include")
    assert status == 0, text
    for line in ("op_host/small.cpp: passed",
                 "op_kernel/npufa_small.cpp, cube program, tiling keys 0 7: passed",
                 "op_kernel/npufa_small.cpp, vector program, tiling keys 0 7: passed",
                 f"op_host: headers in {toolkit}/include",
                 f"op_kernel: headers in {toolkit}/include/ascendc/basic_api",
                 f"op_kernel: headers in {toolkit}/tools/tikicpulib/lib/include",
                 "op_kernel: 2 passed, 0 failed, 0 left out",
                 "check: 3 compilations passed, 0 left out for want of headers"):
        assert line in text.splitlines()


def test_check_compiles_the_variants_of_all_keys(small):
    project, toolkit = small
    change(project / "op_kernel" / "npufa_small.cpp", "AscendC::Exp(T())", "AscendC::Expo(T())")
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0 and "check: 2 of 3 compilations failed" in text
    assert "op_kernel/npufa_small.cpp:9:" in text and "'Expo' is not a member of 'AscendC'" in text


def test_check_compiles_each_program_for_itself(small):
    project, toolkit = small
    change(project / "op_kernel" / "npufa_small.cpp", "ASCEND_IS_AIC", "ASCEND_IS_AIV")
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0
    assert "npufa_small.cpp, cube program, tiling keys 0 7: passed" in text
    assert "npufa_small.cpp, vector program, tiling keys 0 7: failed" in text and "npufa_small.cpp:4:" in text


def test_check_fails_on_another_host_api(small):
    project, toolkit = small
    change(toolkit / "include" / "register" / "op_def_registry.h", "Type", "DataType")
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0 and "op_host/small.cpp:2:5: error" in text and "op_kernel: 2 passed" in text


def test_check_names_the_missing_header(small):
    project, toolkit = small
    (toolkit / "tools/tikicpulib/lib/include/intrinsics.h").unlink()
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status == 0, text
    assert "op_kernel: header not found: intrinsics.h" in text and "op_kernel: 0 passed, 0 failed, 2 left out" in text
    assert "check: 1 compilations passed, 2 left out" in text
    (toolkit / "include" / "register" / "op_def_registry.h").unlink()
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0 and "op_host: header not found: register/op_def_registry.h" in text
    assert "check: nothing was compiled" in text


def test_check_takes_missing_headers_from_the_next_directory(small, tmp_path):
    project, toolkit = small
    sources = tmp_path / "devkit"
    shutil.copytree(toolkit / "include" / "ascendc", sources)
    change(toolkit / "include" / "ascendc" / "basic_api" / "kernel_operator.h", "Exp", "Expo")
    status, text = run(project, "check", "--cann-include", sources, "--cann-include", toolkit)
    assert status == 0 and "check: 3 compilations passed" in text, text
    status, text = run(project, "check", "--cann-include", toolkit, "--cann-include", sources)
    assert status != 0 and "'Exp'" in text


def test_package_without_a_toolkit(project, tmp_path):
    status, text = run(project, "package", "--soc", "ascend910b")
    assert status != 0 and "ASCEND_HOME_PATH is not set" in text
    status, text = run(project, "package", ASCEND_HOME_PATH=tmp_path / "gone")
    assert status != 0 and "which is no directory" in text
    (tmp_path / "empty").mkdir()
    status, text = run(project, "package", ASCEND_HOME_PATH=tmp_path / "empty")
    assert status != 0
    for missing in ("bisheng", "opc", "op_build", "asc-config.cmake", "op_project_templates"):
        assert missing in text


def test_package_refuses_other_chips(project):
    status, text = run(project, "package", "--soc", "ascend310p")
    assert status != 0 and "ascend910b or ascend910_93, got 'ascend310p'" in text


# The functions of CANN 8.5's CMake package: they write down what they are asked.
ASC = """
set(ASCEND_AUTOGEN_PATH ${CMAKE_BINARY_DIR}/autogen)
file(WRITE ${CMAKE_BINARY_DIR}/none.c "")
function(record)
  file(APPEND ${CMAKE_BINARY_DIR}/calls.txt "${ARGN}\\n")
endfunction()
function(npu_op_package name)
  record(package ${name} ${ARGN} units ${ASCEND_COMPUTE_UNIT})
  add_custom_target(binary)
  add_custom_target(package COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/custom_opp.run)
endfunction()
function(npu_op_code_gen)
  record(code_gen ${ARGN})
endfunction()
function(npu_op_library name)
  record(library ${name} ${ARGN})
  list(FILTER ARGN INCLUDE REGEX "/version.cpp$")
  add_library(${name} STATIC ${CMAKE_BINARY_DIR}/none.c ${ARGN})
endfunction()
function(npu_op_kernel_library name)
  record(kernel_library ${name} ${ARGN})
endfunction()
function(npu_op_package_add)
  record(add ${ARGN})
  add_dependencies(package cust_opapi)
endfunction()
"""
# A project template with the parts that older toolkits' has; it takes the sources of op_host itself, as C++11.
TEMPLATE = {
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.16)
project(opp)
include(cmake/func.cmake)
add_subdirectory(op_host)
add_subdirectory(op_kernel)
record(package vendor ${vendor_name} units ${ASCEND_COMPUTE_UNIT} toolkit ${ASCEND_CANN_PACKAGE_PATH})
add_custom_target(package COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_INSTALL_PREFIX}/custom_opp.run DEPENDS cust_opapi)
""",
    "cmake/func.cmake": """
function(record)
  file(APPEND ${CMAKE_BINARY_DIR}/calls.txt "${ARGN}\\n")
endfunction()
function(opbuild)
  record(opbuild -std=c++11 ${ARGN})
endfunction()
function(add_kernels_compile)
  file(GLOB kernels RELATIVE ${CMAKE_SOURCE_DIR}/op_kernel ${CMAKE_SOURCE_DIR}/op_kernel/*.cpp)
  record(kernels ${kernels} source ${ENABLE_SOURCE_PACKAGE} binary ${ENABLE_BINARY_PACKAGE})
  add_custom_target(binary)
endfunction()
""",
    "cmake/util/makeself/makeself.sh": "",
    "op_host/CMakeLists.txt": """
aux_source_directory(${CMAKE_CURRENT_SOURCE_DIR} ops_srcs)
opbuild(OPS_SRC ${ops_srcs} OUT_DIR ${CMAKE_BINARY_DIR}/autogen)
file(WRITE ${CMAKE_BINARY_DIR}/none.cpp "")
add_library(cust_opapi STATIC ${CMAKE_BINARY_DIR}/none.cpp)
""",
    "op_kernel/CMakeLists.txt": "add_kernels_compile()\n",
    "scripts/install.sh": "",
}


def write_files(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def cann(tmp_path):
    """A toolkit with the tools that every flow needs."""
    write_files(tmp_path / "cann", {
        "compiler/ccec_compiler/bin/bisheng": "", "tools/opbuild/op_build": "", "bin/opc": "",
        "x86_64-linux/ascend_toolkit_install.info": "package_name=Ascend-cann-toolkit\nversion=8.1.RC1\n"})
    return tmp_path / "cann"


TEMPLATE_PATH = "tools/op_project_templates/ascendc/customize"


def states_its_version(library):
    return f"npufa operator package {expected_version()}\0".encode() in library.read_bytes()


@pytest.mark.slow(group="builds")
@pytest.mark.parametrize("config", ["lib64/cmake/asc-config.cmake", "ASCConfig.cmake"])
def test_package_with_the_cmake_package(project, cann, config):
    write_files(cann, {config: ASC, "bin/asc_opc": ""})
    write_files(cann / TEMPLATE_PATH, TEMPLATE)  # CANN 8.5 may have both
    status, text = run(project, "package", "--soc", "ascend910b", "--soc", "ascend910_93", ASCEND_HOME_PATH=cann)
    assert status == 0, text
    assert "CANN 8.1.RC1" in text and "flow: CMake package ASC" in text and "custom_opp.run" in text
    calls = (project / "build" / "cann" / "calls.txt").read_text()
    assert "units;ascend910b;ascend910_93" in calls and "COMPILE_OPTIONS;-std=c++17" in calls
    for source in (project / "op_host").rglob("*.cpp"):
        assert calls.count(str(source)) == 3, source  # generator, tiling, prototypes
    assert f"SRC_BASE;{project}/op_kernel/" in calls
    assert "LIBRARY;cust_optiling;cust_opapi;cust_op_proto;ascendc_kernels" in calls
    assert states_its_version(project / "build/cann/libcust_opapi.a")


@pytest.mark.slow(group="builds")
def test_package_with_the_project_template(project, cann):
    write_files(cann / TEMPLATE_PATH, TEMPLATE)
    for _ in range(2):  # the second build starts anew
        status, text = run(project, "package", "--soc", "ascend910b", "--soc", "ascend910_93", ASCEND_HOME_PATH=cann)
        assert status == 0, text
    assert "CANN 8.1.RC1" in text and "flow: project template" in text and "build/cann/custom_opp.run" in text
    build = project / "build" / "cann"
    opbuild, kernels, package = (call.split(";") for call in (build / "calls.txt").read_text().splitlines())
    assert opbuild[:3] == ["opbuild", "-std=c++17", "OPS_SRC"]
    included = [Path(Path(source).read_text().split('"')[1]) for source in opbuild[3:opbuild.index("OUT_DIR")]]
    assert sorted(included) == sorted((project / "op_host").rglob("*.cpp"))
    operators = sorted(path.name for path in (project / "op_kernel").glob("*.cpp"))
    assert kernels == ["kernels", *operators, "source", "True", "binary", "True"]
    for header in (project / "op_kernel").rglob("*.h"):
        assert (build / "project" / header.relative_to(project)).is_file()
    assert package == ["package", "vendor", "npufa", "units", "ascend910b", "ascend910_93", "toolkit", str(cann)]
    assert states_its_version(build / "op_host/libcust_opapi.a")


def test_package_names_the_builder_of_each_way(project, cann):
    write_files(cann, {"lib64/cmake/asc-config.cmake": ASC})
    status, text = run(project, "package", ASCEND_HOME_PATH=cann)
    assert status != 0 and "flow: CMake package ASC" in text and "  - the builder of kernels asc_opc (bin)" in text


@pytest.mark.parametrize("lacking", [
    "compiler/ccec_compiler/bin/bisheng", "bin/opc", "tools/opbuild/op_build",
    f"{TEMPLATE_PATH}/cmake/util/makeself/makeself.sh", f"{TEMPLATE_PATH}/CMakeLists.txt"])
def test_package_names_what_is_missing(project, cann, lacking):
    write_files(cann / TEMPLATE_PATH, TEMPLATE)
    (cann / lacking).unlink()
    status, text = run(project, "package", ASCEND_HOME_PATH=cann)
    assert status != 0 and "CANN 8.1.RC1" in text
    name = "op_project_templates/ascendc/customize" if lacking.endswith("CMakeLists.txt") else Path(lacking).name
    missing = [line for line in text.splitlines() if line.startswith("  - ")]
    assert len(missing) == 1 and name in missing[0]
