"""Dropout of the training operators in a GE graph: the mask is drawn by an operator of its own before the attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torchair import ge
from torchair._ge_concrete_graph import ge_apis
from torchair.ge._ge_graph import get_ge_rng_state

from .ge_op import add_op
from .op_defs import op_defs
from .scores import number_of_scores

_WORDS = 2**32  # a word of the random stream keeps its element if it is below keep_prob * _WORDS
_UNKNOWN_SIZE = 2**40  # words that a mask of symbolic size may use


def drawn_seed(op: str, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """Seed and offset for a mask, new at every run of the graph, from torch's NPU generator: int64 GE tensors.

    torch counts the words of the random stream, the mask its blocks of four.
    """
    elements = number_of_scores(op, values)
    seed, offset = get_ge_rng_state(elements if isinstance(elements, int) else _UNKNOWN_SIZE)
    return seed, ge_apis.FloorDiv(offset, ge.Const(4, dtype=ge.DataType.DT_INT64))


def as_tensor(value: Any) -> Any:
    """An integer, or a GE tensor with one element, as int64 GE tensor of shape (1,)."""
    if isinstance(value, int):
        return ge.Const([value], dtype=ge.DataType.DT_INT64)
    return ge_apis.Reshape(value, ge.Const([1], dtype=ge.DataType.DT_INT64))


def dropout_mask(op: str, values: Mapping[str, Any], seed: Any, offset: Any) -> Any:
    """The mask of bits for a call.

    Args:
        op: torch's name of the operator, for messages.
        values: arguments by their names in the definition.
        seed, offset: integers, or int64 GE tensors with one element.
    """
    elements = number_of_scores(op, values)
    numbers: Any = [elements, seed, offset]
    tensors = {}
    if not (isinstance(seed, int) and isinstance(offset, int)):
        tensors = {"seed": as_tensor(seed), "offset": as_tensor(offset)}
        numbers = [elements, 0, 0]
    if not isinstance(elements, int):
        numbers = ge_apis.Pack(numbers, N=len(numbers), axis=0)
    values = {"elements_seed_offset": numbers, **tensors, "threshold": math.ceil(values["keep_prob"] * _WORDS)}
    return add_op(op_defs()["NpufaDropoutMask"], values)["mask"]
