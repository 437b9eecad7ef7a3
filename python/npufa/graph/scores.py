"""The number of scores of a training call, which is the number of elements of its dropout mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torchair import ge
from torchair._ge_concrete_graph import ge_apis

# Axes of batch and sequence.
_AXES = {"BSH": (0, 1), "SBH": (1, 0), "BSND": (0, 1), "BNSD": (0, 2)}


def _sizes(lengths: Sequence[int], tokens: int) -> list[int]:
    """Tokens of each sequence. Lengths are running sums, or plain: these sum to all tokens, which the last is not."""
    used = list(lengths)
    while used and used[-1] == 0:  # sequences without part
        used.pop()
    if used and used[-1] != tokens and sum(used) == tokens:
        return used
    return [end - begin for begin, end in zip([0, *used], used, strict=False)]


def _packed(op: str, values: Mapping[str, Any]) -> int:
    sizes = []
    for lengths, tensor in (("actual_seq_qlen", "query"), ("actual_seq_kvlen", "key")):
        if not isinstance(values.get(lengths), (list, tuple)):
            raise NotImplementedError(
                f"npufa::{op}: keep_prob below 1 is not supported in a GE graph with input_layout TND and lengths as "
                f"tensors, got {values['keep_prob']}; expected lengths as lists (npu_fusion_attention), or keep_prob=1")
        # A list of lengths fixes the number of tokens while torch traces.
        sizes.append(_sizes(values[lengths], int(values[tensor].symsize[0])))
    return values["head_num"] * sum(query * key for query, key in zip(*sizes, strict=False))


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
