"""Lengths of a packed training call as GE's operators take them, and the number of scores that follow from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, MutableMapping
from typing import Any

from torchair import ge
from torchair._ge_concrete_graph import ge_apis

from .._lengths import are_plain, sizes

_LENGTHS = ("actual_seq_qlen", "actual_seq_kvlen")

# Axes of batch and sequence.
_AXES = {"BSH": (0, 1), "SBH": (1, 0), "BSND": (0, 1), "BNSD": (0, 2)}


def make_lengths_cumulative(values: MutableMapping[str, Any]) -> None:
    """Replaces plain lengths by their running sums, the only form that CANN has."""
    lists = [lengths for name in _LENGTHS if isinstance(lengths := values.get(name), (list, tuple))]
    if values["input_layout"] != "TND" or len(lists) < len(_LENGTHS):
        return
    if are_plain(*lists):
        values.update(zip(_LENGTHS, (list(itertools.accumulate(lengths)) for lengths in lists), strict=True))


def _packed(op: str, values: Mapping[str, Any]) -> int:
    sizes_of = []
    for lengths in _LENGTHS:
        if not isinstance(values.get(lengths), (list, tuple)):
            raise NotImplementedError(
                f"npufa::{op}: keep_prob below 1 is not supported in a GE graph with input_layout TND and lengths as "
                f"tensors, got {values['keep_prob']}; expected lengths as lists (npu_fusion_attention), or keep_prob=1")
        sizes_of.append(sizes(values[lengths], plain=False))
    return values["head_num"] * sum(query * key for query, key in zip(*sizes_of, strict=False))


def _size(tensor: Any, axis: int) -> Any:
    size = tensor.symsize[axis]
    return size if isinstance(size, int) else ge_apis.Gather(ge_apis.Shape(tensor, dtype=ge.DataType.DT_INT64), axis)


def number_of_scores(op: str, values: Mapping[str, Any]) -> Any:
    """B * N * Sq * Skv, or its sum over the sequences of a packed batch: an integer, or a tensor for symbolic sizes.

    Args:
        op: torch's name of the operator, for messages.
        values: arguments by their names in the definition.
    """
    layout = values["input_layout"]
    if layout == "TND":
        return _packed(op, values)
    batch, sequence = _AXES[layout]
    query, key = values["query"], values["key"]
    sizes = [_size(query, batch), _size(query, sequence), _size(key, sequence)]
    known = math.prod([values["head_num"], *(size for size in sizes if isinstance(size, int))])
    result: Any = known
    for size in sizes:
        if not isinstance(size, int):
            result = ge_apis.Mul(size, result)
    return result
