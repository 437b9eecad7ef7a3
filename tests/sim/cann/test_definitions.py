"""Definitions of operators: names derived from them, and contradictions that stop the generator."""

import ctypes
import json
import sys
from pathlib import Path

import pytest

from npufa.sim._native import LIBRARY_DIR
from sim.cann.aclnn import ops

for function in (ops.test_check_definition, ops.test_combinations, ops.test_kernel_name, ops.test_camel_case):
    function.restype = ctypes.c_char_p


@pytest.mark.parametrize("how", ["", "as many as possible"])
def test_legal_definition(how):
    assert ops.test_check_definition(how.encode()) == b""


@pytest.mark.parametrize(
    "how, reason",
    [
        ("no output", "has no output"),
        ("no chip", "supports no chip"),
        ("no tiling", "has no tiling function"),
        ("no types", "y has no DataType"),
        ("other length", "y lists 1 types or formats where others list 2"),
        ("formats of other length", "x lists 1 types or formats where others list 2"),
        ("both contiguous", "x is both AutoContiguous and IgnoreContiguous"),
        ("value of half", "y is ValueDepend"),
        (
            "lists that multiply",
            "got 1250 combinations (2 columns x 5 types of a x 5 types of b x 5 types of c x 5 types of d); expected "
            "at most 1000",
        ),
        ("formats that multiply", "(2 columns x 10 formats of a x 10 formats of b x 10 formats of c)"),
        ("millions", "got 18446744073709551615 combinations"),
        ("attr without type", "a has no type"),
        ("optional attr without default", "a has no default value"),
    ],
)
def test_contradictions_are_named(how, reason):
    assert reason in ops.test_check_definition(how.encode()).decode()


def test_every_list_goes_with_every_combination():
    """In the order of CANN's op_build: columns, then the lists, of which the last changes first."""
    rows = [line.rstrip(", ").split(", ") for line in ops.test_combinations().decode().splitlines()]
    assert rows == [
        [f"{x} FORMAT_ND", f"{y} FORMAT_ND", f"{x} {format}"]
        for x in ("DT_FLOAT", "DT_FLOAT16")
        for y in ("DT_INT8", "DT_INT32", "DT_INT64")
        for format in ("FORMAT_ND", "FORMAT_NCHW")
    ]


def test_entry_points_are_those_of_op_build():
    """Order, types and names as CANN's generator made them of the same definitions."""
    headers = (Path(entry).parent / "npufa_test_ops_aclnn" / "aclnn_ops.h" for entry in sys.path)
    text = " ".join(next(path for path in headers if path.exists()).read_text().split())
    assert ("aclnnTestListTotalGetWorkspaceSize( const aclTensorList* parts, aclTensor* totalRef, "
            "uint64_t* workspaceSize, aclOpExecutor** executor);") in text  # fmt: skip
    assert ("aclnnTestScaledAddGetWorkspaceSize( const aclTensor* x, const aclTensor* yOptional, "
            "const aclIntArray* extraAddendsOptional, double scale, int64_t bias, char* modeOptional, bool flip, "
            "const aclIntArray* intsOptional, const aclFloatArray* floatsOptional, const aclBoolArray* flagsOptional, "
            "const aclTensor* out, uint64_t* workspaceSize, aclOpExecutor** executor);") in text  # fmt: skip


def test_npufas_own_types_are_columns():
    definitions = json.loads((LIBRARY_DIR / "op_defs.json").read_text())
    for name, definition in definitions.items():
        columns = {len(tensor["types"]) for tensor in definition["inputs"] + definition["outputs"]}
        assert len(columns) == 1 and max(columns) <= 35, name


@pytest.mark.parametrize(
    "op_type, name",
    [
        ("NpufaPromptFlashAttention", "npufa_prompt_flash_attention"),
        ("AddCustom", "add_custom"),
        ("MatMulV2", "mat_mul_v2"),
        ("FFNCustom", "ffn_custom"),
    ],
)
def test_kernel_names(op_type, name):
    assert ops.test_kernel_name(op_type.encode()).decode() == name


@pytest.mark.parametrize(
    "name, camel", [("query", "query"), ("actual_seq_lengths_kv", "actualSeqLengthsKv"), ("deq_scale1", "deqScale1")]
)
def test_argument_names(name, camel):
    assert ops.test_camel_case(name.encode()).decode() == camel
