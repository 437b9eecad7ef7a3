"""Definitions of operators: names derived from them, and contradictions that stop the generator."""

import ctypes

import pytest
from sim.cann.aclnn import ops

for function in (ops.test_check_definition, ops.test_kernel_name, ops.test_camel_case):
    function.restype = ctypes.c_char_p


def test_legal_definition():
    assert ops.test_check_definition(b"") == b""


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
        ("attr without type", "a has no type"),
        ("optional attr without default", "a has no default value"),
    ],
)
def test_contradictions_are_named(how, reason):
    assert reason in ops.test_check_definition(how.encode()).decode()


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
