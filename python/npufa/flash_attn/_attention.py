"""Attention of a dense and of a packed batch by the operator that suits the call.

`npu_fused_infer_attention_score` computes what needs no gradient, dropout or ALiBi (`_v2` with a sink);
`npu_fusion_attention_v3` the rest, whose lengths are tensors; `_v2` ALiBi and `qv`, whose lengths are lists.
Outputs have the layout of the query; the log-sum-exp is float32 (B, N, Sq), packed (N, T).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..merge import statistics_to_lse
from ..ops import (
    npu_fused_infer_attention_score,
    npu_fused_infer_attention_score_v2,
    npu_fusion_attention_v2,
    npu_fusion_attention_v3,
)
from . import _alibi
from ._inputs import Inputs, Result, Settings


def dense(inputs: Inputs, settings: Settings) -> Result:
    """Attention of (B, S, N, D) tensors."""
    if not inputs.needs_training_operator(settings):
        return infer(inputs, settings, "BSND")
    slopes = settings.slopes
    if slopes is not None and slopes.dim() == 2:
        return _alibi.by_sequence(dense, inputs, settings)
    if slopes is None and inputs.query_rope is None:
        return _v3(inputs, settings, "BSND")
    shift = inputs.key.shape[1] - inputs.query.shape[1]
    return _v2(inputs, settings, "BSND", shift)


def packed(inputs: Inputs, settings: Settings, cu_q: Tensor, cu_k: Tensor) -> Result:
    """Attention of (T, N, D) tensors, sequences from `cu[b]` to `cu[b + 1]`."""
    if not inputs.needs_training_operator(settings):
        return infer(inputs, settings, "TND", cu_q[1:], cu_k[1:])
    if settings.slopes is None and inputs.query_rope is None:
        return _v3(inputs, settings, "TND", actual_seq_qlen=cu_q[1:], actual_seq_kvlen=cu_k[1:])
    return _packed_by_lists(inputs, settings, cu_q.tolist(), cu_k.tolist())


def _packed_by_lists(inputs: Inputs, settings: Settings, q_ends: list[int], k_ends: list[int]) -> Result:
    tokens = inputs.query.shape[0]
    # Without surplus tokens a list that is cumulative has no other reading.
    inputs = inputs.mapped(lambda t: t[:q_ends[-1]], lambda t: t[:k_ends[-1]])
    shifts = {k - q - (k0 - q0) for q0, q, k0, k in zip(q_ends, q_ends[1:], k_ends, k_ends[1:])}
    slopes = settings.slopes
    if slopes is not None and (slopes.dim() == 2 or len(shifts) > 1):
        out, lse = _alibi.packed_by_sequence(dense, inputs, settings, q_ends, k_ends)
    else:
        out, lse = _v2(inputs, settings, "TND", max(shifts, default=0), actual_seq_qlen=q_ends[1:],
                       actual_seq_kvlen=k_ends[1:])
    surplus = tokens - q_ends[-1]
    if surplus:
        out = F.pad(out, (0, 0, 0, 0, 0, surplus))
        lse = lse if lse is None else F.pad(lse, (0, surplus), value=float("inf"))
    return out, lse


def infer(
    inputs: Inputs, settings: Settings, layout: str, q_lengths: Tensor | None = None, k_lengths: Tensor | None = None,
    **cache: Any
) -> Result:
    """The inference operator; `cache` is its `block_table` and `block_size`."""
    heads, (mode, before, after) = inputs.heads, settings.window.sparse_mode
    common: dict[str, Any] = {
        "query_rope": inputs.query_rope, "key_rope": inputs.key_rope, "num_key_value_heads": heads[1],
        "input_layout": layout, "sparse_mode": mode, "pre_tokens": before, "next_tokens": after,
        "softcap": settings.softcap, **cache,
    }
    if settings.sink is None:
        out, lse = npu_fused_infer_attention_score(
            inputs.query, inputs.key, inputs.value, num_heads=heads[0], scale=settings.scale,
            actual_seq_lengths=q_lengths, actual_seq_lengths_kv=k_lengths, softmax_lse_flag=settings.lse, **common)
    else:
        out, lse = npu_fused_infer_attention_score_v2(
            inputs.query, inputs.key, inputs.value, num_query_heads=heads[0], softmax_scale=settings.scale,
            actual_seq_qlen=q_lengths, actual_seq_kvlen=k_lengths, learnable_sink=settings.sink,
            return_softmax_lse=settings.lse, **common)
    if not settings.lse:
        return out, None
    return out, lse.squeeze(-1).t() if layout == "TND" else lse.squeeze(-1)


def _v3(inputs: Inputs, settings: Settings, layout: str, **lengths: Any) -> Result:
    mode, before, after = settings.window.sparse_mode
    results = npu_fusion_attention_v3(
        inputs.query, inputs.key, inputs.value, inputs.heads[0], layout, sparse_mode=mode, pre_tockens=before,
        next_tockens=after, **_training_arguments(settings, layout), **lengths)
    return _with_lse(results, settings, layout)


def _v2(inputs: Inputs, settings: Settings, layout: str, shift: int, **lengths: Any) -> Result:
    """The operator that has ALiBi and rope; query row 0 stands `shift` rows after key 0."""
    mode, before, after = settings.window.sparse_mode
    alibi: dict[str, Any] = {}
    if settings.slopes is not None:
        alibi = {"pse": settings.slopes, "pse_type": 2, "q_start_idx": [shift], "kv_start_idx": [0]}
    results = npu_fusion_attention_v2(
        inputs.query, inputs.key, inputs.value, inputs.heads[0], layout, query_rope=inputs.query_rope,
        key_rope=inputs.key_rope, sparse_mode=mode, pre_tokens=before, next_tokens=after, **alibi,
        **_training_arguments(settings, layout), **lengths)
    return _with_lse(results, settings, layout)


def _training_arguments(settings: Settings, layout: str) -> dict[str, Any]:
    return {"scale": settings.scale, "keep_prob": 1.0 - settings.dropout,
            "sink": None if settings.sink is None else settings.sink.float(),
            "softmax_layout": "TND" if layout == "TND" else "", "softcap": settings.softcap}


def _with_lse(results: tuple[Any, ...], settings: Settings, layout: str) -> Result:
    out, softmax_max, softmax_sum = results[:3]
    if not settings.lse:
        return out, None
    lse = statistics_to_lse(softmax_max[..., :1], softmax_sum[..., :1]).squeeze(-1)
    return out, lse.t() if layout == "TND" else lse
