"""build.sh check and package: what they compile and call, and what they say is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from npufa.doctor.package import expected_version

ROOT = Path(__file__).resolve().parents[3]
HEADERS = ROOT / "sim" / "cann" / "include"


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


@pytest.fixture
def toolkit(tmp_path):
    """Headers spread over two directories, as toolkits do."""
    include = tmp_path / "toolkit" / "x86_64-linux" / "include"
    shutil.copytree(HEADERS, include)
    (include.parent / "ascendc" / "include" / "highlevel_api").mkdir(parents=True)
    shutil.move(include / "tiling", include.parent / "ascendc" / "include" / "highlevel_api")
    return include


@pytest.mark.slow
def test_check_compiles_every_source(project, toolkit):
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status == 0, text
    sources = list((project / "op_host").rglob("*.cpp"))
    definitions = [path for path in sources if path.name.endswith("_def.cpp")]
    assert f"check: {len(sources) + 2 * len(definitions)} compilations of op_host passed" in text


@pytest.mark.slow
def test_check_fails_on_another_signature(project, toolkit):
    for path in (project / "op_host").rglob("*.cpp"):
        if path.name != "attention_operator.cpp":
            path.unlink()
    header = toolkit / "exe_graph" / "runtime" / "infer_datatype_context.h"
    header.write_text(header.read_text().replace("SetOutputDataType", "SetOutputType"))
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0 and "SetOutputDataType" in text and "1 of 1 compilations failed" in text


def test_check_names_the_missing_header(project, toolkit):
    (toolkit / "base" / "err_msg.h").unlink()
    status, text = run(project, "check", "--cann-include", toolkit)
    assert status != 0 and "no base/err_msg.h below" in text


@pytest.mark.parametrize("arguments", [(), ("--cann-include",), ("/somewhere",)])
def test_check_usage(project, arguments):
    status, text = run(project, "check", *arguments)
    assert status != 0 and "--cann-include DIR" in text


def test_check_directory_must_exist(project):
    status, text = run(project, "check", "--cann-include", "nowhere")
    assert status != 0 and "nowhere is no directory" in text


def test_package_without_a_toolkit(project, tmp_path):
    status, text = run(project, "package", "--soc", "ascend910b")
    assert status != 0 and "ASCEND_HOME_PATH is not set" in text
    status, text = run(project, "package", ASCEND_HOME_PATH=tmp_path / "gone")
    assert status != 0 and "which is no directory" in text
    (tmp_path / "empty").mkdir()
    status, text = run(project, "package", ASCEND_HOME_PATH=tmp_path / "empty")
    assert status != 0
    for missing in ("bisheng", "op_build", "ASCConfig.cmake"):
        assert missing in text


def test_package_refuses_other_chips(project):
    status, text = run(project, "package", "--soc", "ascend310p")
    assert status != 0 and "ascend910b or ascend910_93, got 'ascend310p'" in text


FAKE_ASC = """
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


@pytest.mark.slow
def test_package_hands_all_sources_to_the_toolkit(project, tmp_path):
    toolkit = tmp_path / "cann"
    (toolkit / "tools" / "opbuild").mkdir(parents=True)
    for tool in ("bisheng", "tools/opbuild/op_build"):
        (toolkit / tool).write_text("#!/bin/sh\n")
    (toolkit / "ASCConfig.cmake").write_text(FAKE_ASC)
    status, text = run(project, "package", "--soc", "ascend910b", "--soc", "ascend910_93", ASCEND_HOME_PATH=toolkit)
    assert status == 0, text
    assert "custom_opp.run" in text
    calls = (project / "build" / "cann" / "calls.txt").read_text()
    assert "units;ascend910b;ascend910_93" in calls
    for source in (project / "op_host").rglob("*.cpp"):
        assert calls.count(str(source)) == 3, source  # generator, tiling, prototypes
    assert f"SRC_BASE;{project}/op_kernel/" in calls
    assert "LIBRARY;cust_optiling;cust_opapi;cust_op_proto;ascendc_kernels" in calls
    text = f"npufa operator package {expected_version()}\0".encode()
    assert text in (project / "build/cann/libcust_opapi.a").read_bytes()
