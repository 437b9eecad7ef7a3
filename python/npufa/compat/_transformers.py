"""transformers' `flash_attention_2` on NPU tensors, with everything that its caller asks for.

transformers' own functions for an NPU have no `window_size`, `softcap` or sink and drop them in silence.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .. import flash_attn

MODULE = "transformers.integrations.npu_flash_attention"
_CACHE = "transformers.modeling_flash_attention_utils"
_FUNCTIONS = ("flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache")

def bindings(module: ModuleType) -> list[tuple[Any, str, Any]]:
    """What to bind: owner, name, value; nothing where masks are aligned to the first key (`NPU_FA2_SPARSE_MODE=2`)."""
    if getattr(module, "SPARSE_MODE", None) == getattr(module, "TOP_LEFT_ALIGNED_CAUSAL_MASK_MODE", 2):
        return []
    return [(module, f"npu_{name}", getattr(flash_attn, name)) for name in _FUNCTIONS
            if hasattr(module, f"npu_{name}")]


def forget() -> None:
    """Lets transformers look its functions up again."""
    cache = sys.modules.get(_CACHE)
    if cache is not None and hasattr(cache, "_loaded_implementation"):
        cache._loaded_implementation = None  # type: ignore[attr-defined]
