"""Attention of packed query tokens over a paged cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..ops import npu_fused_infer_attention_score, npu_fused_infer_attention_score_v2
from .storage import BlockStorage

_CAUSAL = {"sparse_mode": 3}  # from the lower right: the last row of a sequence stands at its last key


def paged_attention(
    storage: BlockStorage,
    layer: int,
    query: Tensor,
    block_table: Tensor,
    query_ends: Sequence[int] | Tensor,
    kv_lengths: Sequence[int] | Tensor,
    *,
    scale: float,
    window: int | None = None,
    sink: Tensor | None = None,
    softcap: float = 0.0,
    return_lse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Causal attention of sequences of any number of query tokens each: decode, prompts and chunks in one call.

    Args:
        query: (T, N, D), the last tokens of each sequence.
        block_table: int32 (B, blocks).
        query_ends: cumulative numbers of query tokens, B values.
        kv_lengths: tokens of each sequence, those of `query` included, B values.
        scale: factor of the scores.
        window: keys that a token sees, itself included; None is all.
        sink: (N,), one further logit per head.
        softcap: cap of the scaled scores; 0.0 is none.
        return_lse: compute the log-sum-exp.

    Returns:
        Output (T, N, Dv) and the log-sum-exp, float32 (T, N, 1) or empty.
    """
    rule: dict[str, Any] = dict(_CAUSAL)
    if window is not None:
        rule = {"sparse_mode": 4, "pre_tokens": window - 1, "next_tokens": 0}
    cache = storage.operator_arguments(layer, with_sink=sink is not None)
    shared = {"input_layout": "TND", "block_table": block_table, "softcap": softcap, **rule, **cache}
    if sink is not None:
        return npu_fused_infer_attention_score_v2(
            query, actual_seq_qlen=query_ends, actual_seq_kvlen=kv_lengths, num_query_heads=query.shape[1],
            softmax_scale=scale, learnable_sink=sink.float(), return_softmax_lse=return_lse, **shared)
    return npu_fused_infer_attention_score(
        query, actual_seq_lengths=query_ends, actual_seq_lengths_kv=kv_lengths, num_heads=query.shape[1], scale=scale,
        softmax_lse_flag=return_lse, **shared)
