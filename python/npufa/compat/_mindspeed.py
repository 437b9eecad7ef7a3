"""The operators that MindSpeed compiles for itself against CANN (`mindspeed.ops.fusion_attention_v2`,
`mindspeed.ops.npu_ring_attention_update`): npufa's stand where it keeps what it has compiled."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor

MODULE = "mindspeed.op_builder.builder"

# MindSpeed passes everything by position, in this order behind query, key, value, (dy,) head_num, input_layout.
_FORWARD = ("pse", "padding_mask", "atten_mask", "scale", "keep_prob", "pre_tokens", "next_tokens", "inner_precise",
            "prefix", "actual_seq_qlen", "actual_seq_kvlen", "sparse_mode", "gen_mask_parallel", "sync", "pse_type",
            "q_start_idx", "kv_start_idx")
_BACKWARD = ("pse", "padding_mask", "atten_mask", "softmax_max", "softmax_sum", "softmax_in", "attention_in",
             "scale_value", "keep_prob", "pre_tokens", "next_tokens", "inner_precise", "seed", "offset", "numels",
             "prefix", "actual_seq_qlen", "actual_seq_kvlen", "sparse_mode", "gen_mask_parallel", "sync", "pse_type",
             "q_start_idx", "kv_start_idx")


def _fusion_attention(query: Tensor, key: Tensor, value: Tensor, head_num: int, input_layout: str, *rest: Any) -> Any:
    options = dict(zip(_FORWARD, rest, strict=True))
    return torch.ops.npufa.npu_fusion_attention_v2(query, key, value, head_num, input_layout, **options)


def _fusion_attention_grad(
    query: Tensor, key: Tensor, value: Tensor, dy: Tensor, head_num: int, input_layout: str, *rest: Any
) -> Any:
    options = dict(zip(_BACKWARD, rest, strict=True))
    return torch.ops.npufa.npu_fusion_attention_grad_v2(query, key, value, dy, head_num, input_layout, **options)[:4]


def _ring_attention_update(*tensors_and_layout: Any) -> Any:
    *tensors, actual_seq_qlen, layout = tensors_and_layout
    return torch.ops.npufa.npu_ring_attention_update(*tensors, actual_seq_qlen=actual_seq_qlen, input_layout=layout)


_COMPILED = {
    "fusion_attention_v2": SimpleNamespace(npu_fusion_attention_v2=_fusion_attention,
                                           npu_fusion_attention_grad_v2=_fusion_attention_grad),
    "npu_ring_attention_update": SimpleNamespace(npu_ring_attention_update=_ring_attention_update),
}


def bindings(module: ModuleType) -> list[tuple[Any, str, Any]]:
    """What to bind: owner, name and value."""
    builder = module.MindSpeedOpBuilder
    return [(builder, "_loaded_ops", {**builder._loaded_ops, **_COMPILED})]


def forget() -> None:
    """MindSpeed looks its operators up at every call."""
