"""torch.library.opcheck: schema, autograd registration, fake tensors and AOT dispatch of every operator."""

import pytest
import torch

from cases import random_case
from cases.cache import SCATTERS
from cases.model import operator

CALLS = [
    ("npu_fusion_attention", "fusion", dict(version=1, layout="BNSD", dropout=False)),
    ("npu_fusion_attention", "fusion", dict(version=1, layout="TND", dropout=False)),
    ("npu_fusion_attention_v2", "fusion", dict(version=2, layout="BSH", dropout=False, rope=True)),
    ("npu_fusion_attention_v3", "fusion", dict(version=3, layout="BSND", dropout=False)),
    ("npu_fusion_attention_v3", "fusion", dict(version=3, layout="TND", dropout=False)),
    ("npu_fusion_attention_grad", "fusion_grad", dict(version=1, layout="BNSD")),
    ("npu_fusion_attention_grad_v2", "fusion_grad", dict(version=2, layout="TND")),
    ("npu_fusion_attention_grad_v3", "fusion_grad", dict(version=3, layout="SBH")),
    ("npu_prompt_flash_attention", "prompt", dict(layout="BNSD_BSND")),
    ("npu_prompt_flash_attention", "prompt", dict(layout="BSH", int8=True)),
    ("npu_incre_flash_attention", "incre", dict(layout="BSND", paged=True)),
    ("npu_incre_flash_attention", "incre", dict(layout="BNSD", antiquant=True)),
    ("npu_fused_infer_attention_score", "fused_infer", dict(layout="BNSD", kind="paged", lse=True)),
    ("npu_fused_infer_attention_score", "fused_infer", dict(layout="BSH_NBSD", kind="prefix")),
    ("npu_fused_infer_attention_score", "fused_infer", dict(layout="TND_NTD", kind="plain", lse=True)),
    ("npu_fused_infer_attention_score", "fused_infer", dict(layout="BSND", kind="rope", sq=1)),
    ("npu_advance_step_flashattn", "advance_step", dict(speculative=False)),
    ("npu_advance_step_flashattn", "advance_step", dict(speculative=True)),
    *((op, "scatter", dict(op=op, dtype=torch.int8)) for op in SCATTERS),
    ("npu_gather_pa_kv_cache", "gather", dict(op="npu_gather_pa_kv_cache", dtype=torch.int8)),
    ("npu_gather_pa_kv_cache_functional", "gather", dict(op="npu_gather_pa_kv_cache_functional", dtype=torch.int8)),
    ("npu_attention_update", "attention_update", dict(update_type=0)),
    ("npu_attention_update", "attention_update", dict(update_type=1)),
    ("npu_ring_attention_update", "ring_update", dict(layout="SBH")),
    ("npu_ring_attention_update", "ring_update", dict(layout="TND")),
    ("npu_rotary_mul", "rotary", dict(op="npu_rotary_mul", mode="half")),
    ("npu_interleave_rope", "rotary", dict(op="npu_interleave_rope")),
    ("npu_apply_rotary_pos_emb", "rotary", dict(op="npu_apply_rotary_pos_emb")),
    ("npu_kv_rmsnorm_rope_cache", "latent", dict(op="npu_kv_rmsnorm_rope_cache")),
    ("npu_kv_rmsnorm_rope_cache_v2", "latent", dict(op="npu_kv_rmsnorm_rope_cache_v2")),
]


def wants_grad(name, value):
    is_input = name in ("query", "key", "value", "pse", "sink")
    return is_input and isinstance(value, torch.Tensor) and value.is_floating_point()


@pytest.mark.parametrize("op,kind,fixed", CALLS, ids=lambda x: x if isinstance(x, str) else None)
def test_opcheck(op, kind, fixed):
    case = random_case(kind, 3, **fixed)
    assert case.op == op
    kw = case.kwargs
    if kind == "fusion":
        kw = {n: v.detach().requires_grad_() if wants_grad(n, v) else v for n, v in kw.items()}
    packet = operator(op)
    torch.library.opcheck(getattr(packet, "default", packet), (), kw)
