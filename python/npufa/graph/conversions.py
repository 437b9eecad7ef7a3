"""Inputs of a node in the types of the definition, which has one where torch's operator takes several; the same as
framework/npu/conversions.h. Imported once torchair is there."""

from __future__ import annotations

from typing import Any

from torchair import ge
from torchair._ge_concrete_graph import ge_apis
from torchair._ge_concrete_graph.utils import dtype_promote

_Type = ge.DataType
_BYTES = (_Type.DT_BOOL, _Type.DT_INT8, _Type.DT_UINT8)
_PAIRS = (_Type.DT_INT64, _Type.DT_UINT64)
_COMBINED = ("antiquant_scale", "antiquant_offset")


def _float_of_bits(scale: Any) -> Any:
    """The float32 number whose bits are the low half of one 64-bit integer."""
    halves = ge_apis.Bitcast(ge_apis.Reshape(scale, ge.Const([1], dtype=_Type.DT_INT64)), type=_Type.DT_FLOAT)
    halves = ge_apis.Reshape(halves, ge.Const([2], dtype=_Type.DT_INT64))
    return ge_apis.Slice(halves, ge.Const([0], dtype=_Type.DT_INT64), ge.Const([1], dtype=_Type.DT_INT64))


def _with_type(value: Any, target: Any) -> Any:
    source = value.dtype if isinstance(value, ge.Tensor) else target
    if source != target and source in _BYTES and target in _BYTES:
        return ge_apis.Bitcast(value, type=target)
    if source in _PAIRS and target == _Type.DT_FLOAT:
        return _float_of_bits(value)
    return dtype_promote(value, target_dtype=target)


def converted(name: str, value: Any, target: Any) -> Any:
    """A tensor or list for the input `name`, whose type is `target`.

    Bits stay what they are for masks and for scales in 64 bits. A combined antiquant scale or offset becomes
    (2, Nkv, 1, D) where its type alone says that it is per channel.
    """
    result = _with_type(value, target)
    by_type = name in _COMBINED and value.rank == 3 and value.dtype != target
    return ge_apis.Unsqueeze(result, axes=[2]) if by_type else result
