"""npu_fused_infer_attention_score on the simulated NPU against the float64 reference."""

import pytest
import torch

from cases.device import on_device
from cases.inference import FUSED_LAYOUTS
from sim.ops.random_calls import verify_calls

PADDED_KINDS = ("plain", "paged", "padding", "prefix", "rope", "int8")
SPLIT_MODES = [("split", mode, mode) for mode in range(6)] + [("split", 0, 1)]
FEATURES = [
    *({"layout": layout, "dtype": dtype} for layout in FUSED_LAYOUTS for dtype in (torch.float16, torch.bfloat16)),
    *({"layout": layout, "dtype": torch.float32} for layout in ("BNSD", "TND")),
    *({"layout": layout, "kind": kind} for layout in ("BSH", "BNSD") for kind in PADDED_KINDS),
    *({"layout": layout, "kind": kind} for layout in ("TND", "NTD_TND") for kind in ("plain", "paged", "rope")),
    *({"layout": "BNSD", "kind": kind, "sq": 1} for kind in PADDED_KINDS),
    *({"layout": "BSND", "kind": "paged", "cache": "int8", "mode": mode} for mode in SPLIT_MODES),
    *({"layout": "BSND", "kind": "plain", "cache": "int8", "mode": ("combined", mode, mode)} for mode in (0, 1)),
    *({"layout": "BNSD", "kind": kind, "cache": "int4"} for kind in ("plain", "paged", "prefix")),
    *({"layout": "BNSD", "cache": "fp8"},),
    *({"layout": "BNSD_BSND", "sparse_mode": mode} for mode in range(5)),
    *({"layout": "TND", "sparse_mode": mode} for mode in range(5)),
    *({"layout": "BSH", "head_dim": dim} for dim in (1, 17, 128, 129, 256, 512)),
    *({"layout": layout, "kind": kind, "sq": 2, "head_dim": 128, "kv_heads": 2, "cache": "float"}
      for layout, kind in (("BSND", "prefix"), ("TND", "paged"), ("BSH", "padding"))),
]  # fmt: skip


@pytest.mark.parametrize("fixed", FEATURES, ids=str)
@on_device
def test_features(fixed):
    verify_calls("fused_infer", 500, 3, **fixed)
