"""The attention function of `attn_implementation="npufa"`."""

from __future__ import annotations

import math
import weakref
from typing import Any

import torch
from torch import Tensor

from ..._torch_compat import is_compiling
from .._operators import DTYPES, MAX_HEAD_DIM, attention, needs_training_operator
from .._rules import CAUSAL, FULL, Band, Rules, Segments
from .lazy_mask import LazyMask


def npufa_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    position_ids: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    cu_seq_lens_k: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer, called by the model.

    Args:
        module: the attention layer; `is_causal` is read from it when not given (True if it has none).
        query: (B, N, Sq, D), float16, bfloat16 or float32.
        key, value: (B, Nkv, Skv, D) and (B, Nkv, Skv, Dv).
        attention_mask: result of `npufa_mask`, or a custom mask that broadcasts to (B, N, Sq, Skv): bool, True takes
            part, or floating, added to the scores.
        dropout: probability of dropping an element.
        scaling: factor of the scores; default 1 / sqrt(D).
        is_causal: without a mask, rows see no later keys; query row 0 stands at key 0.
        sliding_window: read for packed sequences whose mask does not tell it.
        s_aux: (N,), attention sinks.
        softcap: cap of the scaled scores (Gemma 2), before masks and position_bias.
        position_bias: (1 or B, N, Sq, Skv), added to the scores.
        position_ids: (1, Sq); where they restart, another packed sequence begins (Sq = Skv, causal, no padding).
        cu_seq_lens_q, cu_seq_lens_k: int, boundaries 0, l0, l0 + l1, ... of packed sequences, instead of position_ids.

    Returns:
        Output (B, Sq, N, Dv), and None for the attention weights, which are never stored.

    Raises:
        ValueError: attention weights or a paged cache of continuous batching are asked for, or a dtype,
            mask or head size has no operator.
    """
    _check(query, value, attention_mask, kwargs)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    keep = bias = None
    if is_compiling() and cu_seq_lens_q is not None:
        attention_mask = None  # made without looking at the values of position_ids
    if isinstance(attention_mask, LazyMask) and attention_mask.rules is not None:
        rules = attention_mask.rules
    elif attention_mask is not None:
        rules = Rules(FULL)
        mask = attention_mask.dense() if isinstance(attention_mask, LazyMask) else attention_mask
        mask = mask[..., : key.shape[2]]
        keep, bias = (mask, None) if mask.dtype == torch.bool else (None, mask)
    else:
        rules = Rules(CAUSAL if causal and query.shape[2] > 1 else FULL)
    if keep is None and bias is None and rules.padding is None and rules.segments is None:
        rules = _packed(rules, causal, sliding_window, query, key, position_ids, cu_seq_lens_q, cu_seq_lens_k)
    if position_bias is not None:
        bias = position_bias if bias is None else bias + position_bias
    if bias is not None and rules.segments is not None:
        raise ValueError("npufa attention: position_bias has no operator for packed sequences")
    if rules.padding is not None and _needs_mask(query, key, value, bias, dropout, s_aux):
        rules, keep = Rules(FULL), attention_mask.dense()  # type: ignore[union-attr]  # whose padding it is
    scale = 1.0 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    output = attention(query, key, value, rules, scale=scale, keep=keep, bias=bias, dropout=dropout, sink=s_aux,
                       softcap=softcap or 0.0)
    return output, None


def _check(query: Tensor, value: Tensor, attention_mask: Tensor | None, others: dict[str, Any]) -> None:
    advice = 'attn_implementation="eager" computes it'
    if others.get("output_attentions"):
        raise ValueError(f"npufa attention: output_attentions=True asks for weights that are never stored; {advice}")
    if others.get("cache") is not None:
        raise ValueError("npufa attention: the paged cache of continuous batching is not supported; use generate()")
    if query.dtype not in DTYPES:
        raise ValueError(f"npufa attention: query has dtype {query.dtype}; expected float16, bfloat16 or float32")
    if max(query.shape[-1], value.shape[-1]) > MAX_HEAD_DIM:
        raise ValueError(f"npufa attention: head sizes are {query.shape[-1]} and {value.shape[-1]}; expected at most "
                         f"{MAX_HEAD_DIM}")
    if attention_mask is not None and attention_mask.dim() != 4:
        raise ValueError(f"npufa attention: attention_mask has shape {tuple(attention_mask.shape)}; expected "
                         "(B, N or 1, Sq, Skv)")


def _needs_mask(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float, s_aux: Tensor | None
) -> bool:
    """Where padding is no argument of the operator: a bias needs the mask, and for one query row it is cheapest."""
    if s_aux is None and not needs_training_operator(query, key, value, bias, s_aux, dropout):
        return False
    return bias is not None or query.shape[2] == 1


def _packed(
    rules: Rules,
    causal: bool,
    sliding_window: int | None,
    query: Tensor,
    key: Tensor,
    position_ids: Tensor | None,
    cu_seq_lens_q: Tensor | None,
    cu_seq_lens_k: Tensor | None,
) -> Rules:
    """Adds the packed sequences that a model knows of only by these arguments."""
    if cu_seq_lens_q is not None and cu_seq_lens_k is not None:
        segments = Segments(cu_seq_lens_q[1:], cu_seq_lens_k[1:])
    elif causal and query.shape[0] == 1 and query.shape[2] == key.shape[2]:
        ends = _restarts(position_ids)
        if ends is None:
            return rules
        segments = Segments(ends, ends)
    else:
        return rules
    window = rules.band.lower if sliding_window is None else 1 - sliding_window
    return Rules(Band(window, 0) if causal else rules.band, segments=segments)


_last_restarts: tuple[weakref.ref[Tensor], int, tuple[int, ...] | None] | None = None


def _restarts(position_ids: Tensor | None) -> tuple[int, ...] | None:
    """Returns the cumulative lengths of the sequences that position_ids (1, S) count; None for a single one.

    Every layer asks for the same tensor, whose values may lie on a device: the last answer is kept.
    """
    global _last_restarts
    if position_ids is None or position_ids.dim() != 2 or position_ids.shape[0] != 1 or position_ids.shape[1] == 1:
        return None
    if is_compiling():
        return None
    version = 0 if position_ids.is_inference() else position_ids._version
    if _last_restarts is not None:
        tensor, known_version, ends = _last_restarts
        if tensor() is position_ids and version == known_version:
            return ends
    ends = _cumulative_lengths(position_ids[0].tolist())
    _last_restarts = (weakref.ref(position_ids), version, ends)
    return ends


def _cumulative_lengths(positions: list[int]) -> tuple[int, ...] | None:
    first = positions[0]
    ends = [i for i in range(1, len(positions)) if positions[i] != positions[i - 1] + 1]
    if not ends or any(positions[i] != first for i in ends):
        return None  # one sequence, or positions that do not count tokens
    return (*ends, len(positions))
