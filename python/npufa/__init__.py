"""Flash-Attention operators for Ascend NPUs, with a CPU backend.

`torch.ops.npufa.*` and the functions of this package have the names, arguments and defaults of torch_npu.
"""

from . import _autoload
from ._doctor_command import run_if_asked
from ._library import load

run_if_asked()
load()
del load, run_if_asked

from ._batch_invariance import batch_invariant  # noqa: E402
from ._info import Info, info  # noqa: E402
from ._torch_registry import offer  # noqa: E402
from ._version import __version__  # noqa: E402
from .graph import register_when_imported  # noqa: E402
from .ops import *  # noqa: E402, F403
from .ops import __all__ as _operators  # noqa: E402

register_when_imported()
offer()
del offer, register_when_imported

__all__ = ["Info", "__version__", "batch_invariant", "info"]
__all__ += _operators


# Imported when they are first used.
_PARTS = ("advisor", "compat", "distributed", "engine", "flash_attn", "functional", "integrations", "kv_cache",
          "long_context", "merge", "monitor", "nn", "quantization", "robust", "serving", "sim")
_NAMES = {
    "AttentionEngine": "engine",
    "Monitor": "monitor",
    "PagedKVCache": "kv_cache",
    "RobustAttention": "robust",
    "advise": "advisor",
    "long_context_attention": "long_context",
    "memory_efficient_attention": "functional",
    "ring_attention": "distributed",
    "sliding_window_attention": "long_context",
    "ulysses_attention": "distributed",
}


def __getattr__(name: str) -> object:
    import importlib

    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_autoload.simulate_if_asked()
