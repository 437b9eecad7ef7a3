"""transformers' `flash_attention_2` on NPU tensors, with everything that its caller asks for.

transformers' own functions for an NPU have no `window_size`, `softcap` or sink and drop them in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import flash_attn
from ..graph._on_import import on_import

_MODULE = "transformers.integrations.npu_flash_attention"
_CACHE = "transformers.modeling_flash_attention_utils"
_FUNCTIONS = ("flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache")

_watching = False


def when_imported(callback: Callable[[ModuleType], None]) -> None:
    """Calls `callback` with transformers' module, at once if it is imported; only the first call of this counts."""
    global _watching
    if not _watching:
        _watching = True
        on_import(_MODULE, callback)


def functions(module: ModuleType) -> dict[str, Any]:
    """What to bind in the module; nothing where its masks are aligned to the first key (`NPU_FA2_SPARSE_MODE=2`)."""
    if getattr(module, "SPARSE_MODE", None) == getattr(module, "TOP_LEFT_ALIGNED_CAUSAL_MASK_MODE", 2):
        return {}
    return {f"npu_{name}": getattr(flash_attn, name) for name in _FUNCTIONS if hasattr(module, f"npu_{name}")}


def imported() -> ModuleType | None:
    return sys.modules.get(_MODULE)


def forget() -> None:
    """Lets transformers look its functions up again."""
    cache = sys.modules.get(_CACHE)
    if cache is not None and hasattr(cache, "_loaded_implementation"):
        cache._loaded_implementation = None  # type: ignore[attr-defined]
