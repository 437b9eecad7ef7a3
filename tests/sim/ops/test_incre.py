"""npu_incre_flash_attention on the simulated NPU against the float64 reference."""

import pytest
import torch

from cases.device import on_device
from sim.ops.random_calls import verify_calls

FEATURES = [
    *({"layout": layout, "dtype": dtype} for layout in ("BSH", "BSND", "BNSD")
      for dtype in (torch.float16, torch.bfloat16, torch.float32)),
    *({"layout": layout, "paged": True} for layout in ("BSH", "BSND", "BNSD")),
    *({"antiquant": True, "paged": paged} for paged in (False, True)),
    {"padding": True, "paged": False},
    {"out_int8": True},
    *({"head_dim": dim} for dim in (1, 17, 128, 129, 256, 512)),
]  # fmt: skip

# Two heads share lines of 512 bytes, and are read together.
PAIRS = [{"kv_heads": heads, "head_dim": dim, "dtype": dtype, "layout": layout, "paged": paged, "antiquant": False}
         for heads, dim, dtype, layout, paged in ((2, 128, torch.float16, "BSH", True),
                                                  (4, 128, torch.bfloat16, "BSND", False),
                                                  (2, 64, torch.float32, "BSND", True))]  # fmt: skip


@pytest.mark.parametrize("fixed", FEATURES + PAIRS, ids=str)
@on_device
def test_features(fixed):
    verify_calls("incre", 500, 5, **fixed)


@pytest.mark.parametrize("fixed", PAIRS, ids=str)
@on_device
def test_long_calls_of_pairs(fixed):
    verify_calls("incre", 700, 5, long=True, **fixed)
