"""npu_fusion_attention (v1, v2, v3) on the simulated NPU against the float64 reference."""

import pytest
import torch

from cases.device import on_device
from sim.ops.random_calls import verify_calls

FEATURES = [
    *({"layout": layout, "dtype": dtype} for layout in ("BSH", "SBH", "BSND", "BNSD", "TND")
      for dtype in (torch.float16, torch.bfloat16, torch.float32)),
    *({"layout": "BNSD", "sparse_mode": mode} for mode in range(7)),
    *({"layout": "TND", "sparse_mode": mode} for mode in (0, 1, 2, 3, 4, 6, 7, 8)),
    *({"version": version, feature: True} for version in (1, 2, 3) for feature in ("pse", "sink")),
    {"version": 2, "rope": True},
    *({"version": version, "dropout": True} for version in (1, 2)),
    *({"head_dim": dim} for dim in (1, 17, 128, 129, 256, 320, 512, 768)),
]  # fmt: skip


@pytest.mark.parametrize("fixed", FEATURES, ids=str)
@on_device
def test_features(fixed):
    verify_calls("fusion", 500, 4, **fixed)
