"""The calls of npu_fused_infer_attention_score in the spelling of its second version."""

import dataclasses

import torch

import reference

from .inference import inference_case
from .model import Case

SPELLING = {
    "num_heads": "num_query_heads",
    "scale": "softmax_scale",
    "actual_seq_lengths": "actual_seq_qlen",
    "actual_seq_lengths_kv": "actual_seq_kvlen",
    "quant_scale2": "quant_scale_out",
    "quant_offset2": "quant_offset_out",
    "key_antiquant_scale": "dequant_scale_key",
    "key_antiquant_offset": "dequant_offset_key",
    "key_antiquant_mode": "key_quant_mode",
    "value_antiquant_scale": "dequant_scale_value",
    "value_antiquant_offset": "dequant_offset_value",
    "value_antiquant_mode": "value_quant_mode",
    "softmax_lse_flag": "return_softmax_lse",
}


def as_v2(case: Case) -> Case:
    """The same call of npu_fused_infer_attention_score_v2, which has no combined scales."""
    kwargs = {SPELLING.get(name, name): value for name, value in case.kwargs.items() if name != "antiquant_mode"}
    return dataclasses.replace(case, op="npu_fused_infer_attention_score_v2", kwargs=kwargs)


def with_sink(case: Case, sink: torch.Tensor) -> Case:
    """The second version's call with a sink, which only it has."""
    expected = inference_case("fused_infer", case.kwargs, notes=case.notes)
    v2 = as_v2(case)
    return dataclasses.replace(v2, kwargs={**v2.kwargs, "learnable_sink": sink}, compare=expected.compare,
                               expected=lambda: reference.fused_infer(**case.kwargs, learnable_sink=sink))
