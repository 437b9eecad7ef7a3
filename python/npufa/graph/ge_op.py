"""Nodes of npufa's operators in a GE graph. Imported once torchair is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torchair import ge

from .conversions import converted
from .op_defs import AttrDef, OpDef, TensorDef


def _input(op: str, tensor: TensorDef, value: Any) -> Any:
    """The tensor or list for an input: constants and casts where the definition leaves one type only.

    Tensors without a type are results of nodes added on the way, which have the right one.
    """
    if value is None:
        if tensor.presence == "required":
            raise ValueError(f"{op}: {tensor.name} is missing, got None; expected a tensor")
        return None
    if tensor.presence == "dynamic":
        return list(value)
    if isinstance(value, ge.Tensor) and (len(tensor.types) > 1 or value.dtype == ge.DataType.DT_UNDEFINED):
        return value
    return converted(tensor.name, value, getattr(ge.DataType, tensor.types[0]))


def _attr(op: str, attr: AttrDef, values: Mapping[str, Any]) -> Any:
    value = values.get(attr.name)
    if value is None:
        value = attr.default
    if value is None:
        raise ValueError(f"{op}: {attr.name} is missing, got None; expected a value")
    return getattr(ge.attr, attr.kind)(value)


def add_op(op_def: OpDef, values: Mapping[str, Any]) -> dict[str, Any]:
    """Adds a node to the graph that is being built.

    Args:
        op_def: the operator.
        values: inputs (GE tensors, lists of integers, None) and attributes by their names in the definition.

    Returns:
        GE tensor for each output, by name.
    """
    outputs = [tensor.name for tensor in op_def.outputs]
    result = ge.custom_op(
        op_def.type,
        inputs={tensor.name: _input(op_def.type, tensor, values.get(tensor.name)) for tensor in op_def.inputs},
        attrs={attr.name: _attr(op_def.type, attr, values) for attr in op_def.attrs},
        outputs=outputs,
    )
    return dict(zip(outputs, result if len(outputs) > 1 else (result,), strict=True))
