"""One call of every kind of kernel on the simulated NPU: what is tried first on another machine (scripts/cross.py)."""

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.on_npu import in_place_on_npu, on_npu

ATTENTION = {
    "prompt_float16": ("prompt", {"dtype": torch.float16, "sparse_mode": 3, "int8": False}),
    "prompt_int8": ("prompt", {"int8": True}),
    "fusion_float16": ("fusion", {"dtype": torch.float16, "sparse_mode": 3}),
    "fusion_bfloat16": ("fusion", {"dtype": torch.bfloat16, "layout": "TND"}),
    "fusion_float32": ("fusion", {"dtype": torch.float32, "dropout": True}),
    "grad_float16": ("fusion_grad", {"dtype": torch.float16, "sparse_mode": 2}),
    "grad_bfloat16": ("fusion_grad", {"dtype": torch.bfloat16, "layout": "TND"}),
    "grad_float32": ("fusion_grad", {"dtype": torch.float32}),
    "decode_paged": ("incre", {"paged": True, "dtype": torch.float16, "antiquant": False}),
    "decode_int8": ("fused_infer", {"kind": "paged", "cache": "int8", "mode": ("split", 4, 4), "sq": 1}),
    "decode_int4": ("fused_infer", {"kind": "plain", "cache": "int4", "mode": ("split", 2, 2), "sq": 1}),
    "decode_rope": ("fused_infer", {"kind": "rope", "dtype": torch.bfloat16, "sq": 1}),
    "merge": ("attention_update", {}),
    "rotary": ("rotary", {}),
}


@pytest.mark.parametrize("name", ATTENTION)
@on_device
def test_attention(name):
    kind, fixed = ATTENTION[name]
    on_npu(random_case(kind, 8, **fixed)).verify()


@pytest.mark.parametrize("kind", ["scatter", "gather", "latent", "advance_step"])
@on_device
def test_in_place(kind):
    in_place_on_npu(random_case(kind, 8)).verify()
