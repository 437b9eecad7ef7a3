"""The operators by torch's scaled_dot_product_attention, with statistics and gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._call import TOKEN_AXIS, Call
from ._pairs import bias, kept
from ._sequences import Sequence, longest, sequences

# Query rows whose scores exist at a time.
ROWS = 512
_INPUTS = ("query", "key", "value", "pse", "query_rope", "key_rope", "sink")


class UnsupportedError(RuntimeError):
    """A level cannot compute a call; the message names the argument."""


class Attended(NamedTuple):
    """Results of one sequence: output (N, L, Dv), maximum and sum (N, L), 0 where no key takes part."""

    output: Tensor
    maximum: Tensor
    total: Tensor


def run(call: Call, expected: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns what the operator would; `expected` are its results as meta tensors.

    Raises:
        UnsupportedError: dropout, quantised inputs, caches or outputs.
    """
    _refuse(call)
    results = _gradients(call) if call.is_gradient else _forward(call)
    return tuple(_shaped(result, like, call.query.device) for result, like in zip(results, expected, strict=True))


def _refuse(call: Call) -> None:
    reasons = {
        "query": call.query.dtype == torch.int8,
        "key": call["key"].dtype != call.query.dtype,
        "value": call["value"].dtype != call.query.dtype,
        call.spelling("output_scale") if not call.is_training else "": call["output_scale"] is not None,
        "keep_prob": call["keep_prob"] is not None and call["keep_prob"] < 1,
    }
    for name, refused in reasons.items():
        if refused:
            value = call[name]
            shown = value.dtype if isinstance(value, Tensor) else value
            what = "dropout masks are the operators' own" if name == "keep_prob" else "nothing quantised"
            raise UnsupportedError(f"npufa.robust: {name} is not for scaled_dot_product_attention ({what}), got "
                                   f"{shown}; expected a call without it")


def _shaped(result: Any, like: Any, device: torch.device) -> Any:
    if not isinstance(like, Tensor):
        return result
    if result is None:
        return torch.zeros(like.shape, dtype=like.dtype, device=device)
    return result.to(like.dtype).reshape(like.shape)


def _forward(call: Call) -> tuple[Any, ...]:
    statistics = call.is_training or bool(call["lse"])
    attended = [_attend(call, index, sequence, statistics) for index, sequence in enumerate(sequences(call))]
    heads, width = call["heads"], _value_width(call)
    output = _joined([a.output for a in attended], call, call.output_layout, (heads, width))
    if not call.is_training:
        if call.operator in ("npu_prompt_flash_attention", "npu_incre_flash_attention"):
            return (output,)
        return output, _log_sum_exp(call, attended) if statistics else None
    maximum, total = (_statistics(call, [getattr(a, name) for a in attended]) for name in ("maximum", "total"))
    if call.operator == "npu_fusion_attention_v3":
        return output, maximum, total, None, None, None
    scores = sum(a.output.shape[1] * s for a, s in zip(attended, _stored_keys(call), strict=True))
    return output, maximum, total, None, call["seed"], call["offset"], heads * scores


def _stored_keys(call: Call) -> list[int]:
    if call.is_packed:
        return call.packed("kv_lengths").lengths
    return [int(call["key"].shape[TOKEN_AXIS[call.layout]])] * call.sequences


def _value_width(call: Call) -> int:
    value = call["value"]
    if value.dim() == 5:
        return int(value.shape[2] * value.shape[4])
    grouped = value.dim() == 3 and not (call.is_packed and call["block_table"] is None)
    return int(value.shape[-1]) // call.kv_heads if grouped else int(value.shape[-1])


def _attend(call: Call, index: int, s: Sequence, statistics: bool) -> Attended:
    heads, stored = s.query.shape[:2]
    output = s.query.new_zeros(heads, stored, s.value.shape[-1])
    maximum, total = (s.query.new_zeros(heads, stored) for _ in range(2))
    if not len(s.rows) or not len(s.columns):
        return Attended(output, maximum, total)
    key, value = (t.repeat_interleave(heads // t.shape[0], 0) for t in (s.key, s.value))
    pieces = []
    for rows in s.rows.split(ROWS):
        added = _added(call, index, s, rows)
        pieces.append(_sdpa(call, s.query[:, rows], key, value, added))
        if statistics:
            maximum[:, rows], total[:, rows] = _maximum_and_sum(call, s.query[:, rows], key, added)
    return Attended(output.index_copy(1, s.rows, torch.cat(pieces, 1)), maximum, total)


def _added(call: Call, index: int, s: Sequence, rows: Tensor) -> Tensor:
    """What is added to the scaled scores: the bias, -inf where a pair takes no part; (N, R, C)."""
    keep = kept(call, index, rows, s.columns, int(s.rows[0]))
    values = bias(call, index, rows, s.columns, longest(call))
    shape = (s.query.shape[0], *keep.shape[1:])
    values = s.query.new_zeros(()) if values is None else values
    return torch.where(keep, values, -math.inf).expand(shape)


def _sdpa(call: Call, query: Tensor, key: Tensor, value: Tensor, added: Tensor) -> Tensor:
    """A sink is one more key that scores nothing but itself and has the value 0; capped scores are computed here."""
    without_keys = (added == -math.inf).all(-1, keepdim=True)
    if call["sink"] is not None:
        key, value = (F.pad(t, (0, 0, 0, 1)) for t in (key, value))
        added = torch.cat([added, call["sink"].float()[:, None, None].expand(*added.shape[:2], 1)], -1)
    # A row of -inf alone would give NaN, and NaN gradients; such rows are computed without a mask and cleared.
    added = torch.where(without_keys, 0.0, added)
    if call["softcap"]:
        return ((_scores(call, query, key) + added).softmax(-1) @ value).masked_fill(without_keys, 0.0)
    output = F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=added[None],
                                            scale=call["scale"])[0]
    return output.masked_fill(without_keys, 0.0)


def _scores(call: Call, query: Tensor, key: Tensor) -> Tensor:
    scores, cap = query @ key.transpose(1, 2) * call["scale"], call["softcap"]
    return cap * torch.tanh(scores / cap) if cap else scores


@torch.no_grad()
def _maximum_and_sum(call: Call, query: Tensor, key: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
    scores = _scores(call, query, key) + added
    without_keys = (added == -math.inf).all(-1)
    if call["sink"] is not None:
        scores = torch.cat([scores, call["sink"].float()[:, None, None].expand(*scores.shape[:2], 1)], -1)
    maximum = scores.amax(-1).masked_fill(without_keys, 0.0)
    return maximum, (scores - maximum[..., None]).exp().sum(-1).masked_fill(without_keys, 0.0)


def _joined(parts: list[Tensor], call: Call, layout: str, sizes: tuple[int, int], fill: float = 0.0) -> Tensor:
    """(N, L, D) of every sequence in a layout; packed tokens of no sequence are `fill`."""
    if call.is_packed:
        joined = call.query.new_full((sizes[0], call.rows, sizes[1]), fill, dtype=torch.float32)
        if parts:
            tokens = torch.cat(parts, 1)
            joined = torch.cat([tokens, joined[:, tokens.shape[1]:]], 1)
        return joined if layout == "NTD" else joined.transpose(0, 1)
    stacked = torch.stack(parts) if parts else call.query.new_zeros(0, sizes[0], call.rows, sizes[1])
    order = {"BNSD": (0, 1, 2, 3), "NBSD": (1, 0, 2, 3), "SBH": (2, 0, 1, 3)}.get(layout, (0, 2, 1, 3))
    return stacked.permute(order)


def _log_sum_exp(call: Call, attended: list[Attended]) -> Tensor:
    parts = [torch.where(a.total > 0, a.maximum + a.total.log(), math.inf)[..., None] for a in attended]
    return _joined(parts, call, "TND" if call.is_packed else "BNSD", (call["heads"], 1), math.inf)


def _statistics(call: Call, parts: list[Tensor]) -> Tensor:
    """Eight times each value; packed ones heads first within a sequence, unless asked for otherwise."""
    if not call.is_packed or call["softmax_layout"] == "TND":
        joined = _joined([p[..., None] for p in parts], call, "TND" if call.is_packed else "BNSD", (call["heads"], 1))
        return joined.expand(*joined.shape[:-1], 8)
    flat = torch.cat([*(p.flatten() for p in parts), call.query.new_zeros(0, dtype=torch.float32)])
    flat = F.pad(flat, (0, call.rows * call["heads"] - len(flat)))
    return flat.view(call.rows, call["heads"], 1).expand(-1, -1, 8)


def _gradients(call: Call) -> tuple[Tensor | None, ...]:
    """By autograd of the forward pass, computed again."""
    names = [name for name in _INPUTS if name in call.arguments]
    with torch.enable_grad():
        leaves = {n: call[n].detach().float().requires_grad_() for n in names if call[n] is not None}
        attended = [_attend(call.replace(**leaves), i, s, False)
                    for i, s in enumerate(sequences(call.replace(**leaves)))]
        output = _joined([a.output for a in attended], call, call.layout, (call["heads"], _value_width(call)))
        if not output.requires_grad:
            return (None,) * len(names)
        found = torch.autograd.grad(output, list(leaves.values()), call["dy"].float().reshape(output.shape),
                                    allow_unused=True)
    gradients = dict(zip(leaves, found, strict=True))
    return tuple(gradients.get(name) for name in names)
