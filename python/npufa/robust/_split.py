"""Cuts a call in two, by sequences or by heads, and joins the results to what the whole would have given."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._axes import CannotSplitError, axis_of, check, heads_first, units
from ._call import TOKEN_AXIS, Call

_LENGTHS = ("actual_seq_qlen", "actual_seq_kvlen", "actual_seq_lengths", "actual_seq_lengths_kv", "prefix")
_HEADS = ("head_num", "num_heads", "num_query_heads")
_OUTPUTS = {"npu_fusion_attention_v3": ("output", "statistics", "statistics", "first", "first", "first")}


@dataclass(frozen=True)
class Cut:
    """Half of a call: sequences or heads `[begin, end)`, heads counted in `unit`s ("kv" or "query")."""

    kind: str
    unit: str
    begin: int
    end: int


@dataclass(frozen=True)
class Halves:
    """A call in two: how it was cut, and the calls of the halves."""

    kind: str
    cuts: tuple[Cut, Cut]
    calls: tuple[Call, Call]


def split(call: Call) -> Halves:
    """Returns the call in two halves: of sequences while there are two, then of heads.

    Raises:
        CannotSplitError: one sequence and head is left, or an argument cannot be cut; the message names it.
    """
    kind, unit, count = "batch", "", call.sequences
    reason: CannotSplitError | None = None
    if count > 1:
        try:
            return _halves(call, kind, unit, count)
        except CannotSplitError as error:
            reason = error
    unit = "kv" if call.kv_heads > 1 else "query"
    count = call.kv_heads if unit == "kv" else call["heads"]
    if count > 1:
        return _halves(call, "heads", unit, count)
    raise reason or CannotSplitError("npufa.robust: the call has one sequence and one head; expected more to split")


def _halves(call: Call, kind: str, unit: str, count: int) -> Halves:
    check(call, kind)
    call = _seeded(call)
    cuts = (Cut(kind, unit, 0, count // 2), Cut(kind, unit, count // 2, count))
    first, second = (_piece(call, cut) for cut in cuts)
    return Halves(kind, cuts, (first, second))


def _seeded(call: Call) -> Call:
    """Draws the seed of dropout, which both halves need; of torch's generator, as the operator would."""
    if call["keep_prob"] in (None, 1.0) or call.is_gradient or call["seed"]:
        return call
    return call.replace(seed=int(torch.randint(1, 2 ** 62, ())), offset=0)


def _piece(call: Call, cut: Cut) -> Call:
    changes: dict[str, Any] = {}
    for name, value in call.arguments.items():
        if isinstance(value, Tensor) and name not in _LENGTHS:
            changes[name] = _take(call, name, value, cut)
        elif name in _LENGTHS and value is not None and cut.kind == "batch":
            changes[name] = _lengths(call, name, value, cut)
    changes |= _head_counts(call, cut)
    if cut.kind == "batch" and call["sparse_mode"] in (7, 8):
        # The band belongs to the last (first) sequence; the half without it has the rule of the others.
        count = call.packed("q_lengths").count
        with_band = cut.begin < count <= cut.end if call["sparse_mode"] == 7 else cut.begin == 0
        if not with_band:
            changes["sparse_mode"] = {7: 3, 8: 2}[call["sparse_mode"]]
    if (call["keep_prob"] or 1.0) < 1:
        changes["offset"] = call["offset"] + _scores_before(call, cut) // 4
        if "numels" in call.arguments:
            changes["numels"] = _scores(call.replace(**changes))
    return call.replace(**changes)


def _head_counts(call: Call, cut: Cut) -> dict[str, int]:
    if cut.kind == "batch":
        return {}
    name = next(name for name in _HEADS if name in call.arguments)
    group = call["heads"] // call.kv_heads
    kv, query = (cut.end - cut.begin, (cut.end - cut.begin) * group) if cut.unit == "kv" else (1, cut.end - cut.begin)
    return {name: query} | ({"num_key_value_heads": kv} if "num_key_value_heads" in call.arguments else {})


def _take(call: Call, name: str, tensor: Tensor, cut: Cut) -> Tensor:
    axis = axis_of(call, name, tensor, cut.kind)
    if axis is None or (name in units("kv") and cut.unit == "query"):
        # Rows that happen to be as many as the sequences of the half would look like a mask of keys.
        return tensor[None] if name == "atten_mask" and tensor.dim() == 2 else tensor
    if cut.kind == "heads" and name in ("softmax_max", "softmax_sum") and heads_first(call):
        rows = call.packed("q_lengths").lengths[0] if call.sequences else 0
        blocks = tensor.reshape(-1)[:call["heads"] * rows * 8].view(call["heads"], rows * 8)
        begin, end = _scaled(call, cut, call["heads"])
        taken = blocks[begin:end].reshape(-1)
        return torch.nn.functional.pad(taken, (0, (tensor.shape[0] - rows) * (end - begin) * 8)).view(
            tensor.shape[0], end - begin, 8)
    if call.is_packed and cut.kind == "batch" and name not in units("batch"):
        begin, end = _tokens(call, name, cut)
    else:
        begin, end = _scaled(call, cut, tensor.shape[axis])
    return tensor.narrow(axis, begin, end - begin)


def _scaled(call: Call, cut: Cut, size: int) -> tuple[int, int]:
    """The cut on an axis of `size`, where a head may be several elements and a key/value head several heads."""
    if cut.kind == "batch":
        return cut.begin, cut.end
    count = call.kv_heads if cut.unit == "kv" else call["heads"]
    return cut.begin * size // count, cut.end * size // count


def _tokens(call: Call, name: str, cut: Cut) -> tuple[int, int]:
    packed = call.packed("kv_lengths" if name in units("kv") else "q_lengths")
    begin = packed.starts[cut.begin]
    return begin, begin + sum(packed.lengths[cut.begin:cut.end])


def _lengths(call: Call, name: str, lengths: Any, cut: Cut) -> Any:
    per_sequence = name == "prefix" or not call.is_packed or (
        "kv" in name and call["block_table"] is not None)
    if per_sequence:
        return lengths[cut.begin:cut.end] if len(lengths) > 1 else lengths
    packed = call.packed("kv_lengths" if "kv" in name else "q_lengths")
    ends = itertools.accumulate(packed.lengths[cut.begin:cut.end])
    # Trailing zeros stay zeros: they are no last sequence.
    sizes = [end if index < packed.count else 0 for index, end in enumerate(ends, cut.begin)]
    if isinstance(lengths, Tensor):
        return torch.tensor(sizes, dtype=lengths.dtype, device=lengths.device)
    return sizes


def _scores(call: Call) -> int:
    """Scores of all heads."""
    return int(call["heads"]) * sum(_scores_of_sequences(call))


def _scores_of_sequences(call: Call) -> list[int]:
    if call.is_packed:
        pairs = zip(call.packed("q_lengths").lengths, call.packed("kv_lengths").lengths, strict=True)
        return [rows * keys for rows, keys in pairs]
    return [call.rows * int(call["key"].shape[TOKEN_AXIS[call.layout]])] * call.sequences


def _scores_before(call: Call, cut: Cut) -> int:
    """Scores of the whole call that precede those of the half in the order of the dropout mask."""
    each = _scores_of_sequences(call)
    heads = int(call["heads"])
    if cut.kind == "batch":
        before = heads * sum(each[:cut.begin])
    else:
        before = cut.begin * (heads // call.kv_heads if cut.unit == "kv" else 1) * sum(each)
    if before % 4:
        raise CannotSplitError(f"npufa.robust: keep_prob {call['keep_prob']} has a dropout mask that halves cannot "
                               f"continue, got {before} scores in the first; expected a multiple of 4")
    return before


def join(call: Call, halves: Halves, results: tuple[tuple[Any, ...], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Returns the results of the call from those of its halves."""
    names = _result_names(call, len(results[0]))
    return tuple(_join(call, halves, name, pair) for name, *pair in zip(names, *results, strict=True))


def _result_names(call: Call, count: int) -> tuple[str, ...]:
    """What each result resembles: an argument, "output", "lse", "statistics", or "first" and "sum" of the halves."""
    if call.is_gradient:
        ropes = ("query_rope", "key_rope") if call.operator.endswith("_v2") else ()
        return ("query", "key", "value", "pse", *ropes, "sink")
    if call.is_training:
        return _OUTPUTS.get(call.operator, ("output", "statistics", "statistics", "first", "first", "first", "sum"))
    return ("output", "lse")[:count]


def _join(call: Call, halves: Halves, name: str, pair: list[Any]) -> Any:
    if name == "first":
        return pair[0]
    if name == "sum":
        return sum(pair)
    if name not in ("output", "lse", "statistics") and call[name] is None:
        return pair[0]
    if name == "lse" and not call["lse"]:
        return pair[0]
    axis = axis_of(call, name, call[name] if name in call.arguments else pair[0], halves.kind)
    if axis is None or (name in units("kv") and halves.cuts[0].unit == "query"):
        return (pair[0].float() + pair[1].float()).to(pair[0].dtype)
    if name == "statistics" and halves.kind == "heads" and heads_first(call):
        return _joined_heads_first(call, halves, pair)
    joined = torch.cat(pair, axis)
    if call.is_packed and halves.kind == "batch" and name not in units("batch"):
        whole = call["key" if name in units("kv") else "query"]
        missing = whole.shape[TOKEN_AXIS[call.layout]] - joined.shape[axis]
        if missing:
            shape = [*joined.shape[:axis], missing, *joined.shape[axis + 1:]]
            joined = torch.cat([joined, joined.new_full(shape, torch.inf if name == "lse" else 0)], axis)
    return joined


def _joined_heads_first(call: Call, halves: Halves, pair: list[Tensor]) -> Tensor:
    rows = call.packed("q_lengths").lengths[0]
    blocks = [t.reshape(-1)[:rows * t.shape[1] * 8] for t in pair]
    flat = torch.cat(blocks)
    return torch.nn.functional.pad(flat, (0, call.rows * call["heads"] * 8 - len(flat))).view(
        call.rows, call["heads"], 8)

