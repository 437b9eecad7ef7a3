"""Flash-Attention operators for Ascend NPUs, with a CPU backend.

`torch.ops.npufa.*` and the functions of this package have the names, arguments and defaults of torch_npu.
"""

from ._library import load

load()
del load

from ._info import Info, info  # noqa: E402
from ._version import __version__  # noqa: E402
from .ops import (  # noqa: E402
    npu_advance_step_flashattn,
    npu_fused_infer_attention_score,
    npu_fusion_attention,
    npu_fusion_attention_grad,
    npu_fusion_attention_grad_v2,
    npu_fusion_attention_grad_v3,
    npu_fusion_attention_v2,
    npu_fusion_attention_v3,
    npu_incre_flash_attention,
    npu_prompt_flash_attention,
)

__all__ = [
    "Info",
    "__version__",
    "info",
    "npu_advance_step_flashattn",
    "npu_fused_infer_attention_score",
    "npu_fusion_attention",
    "npu_fusion_attention_grad",
    "npu_fusion_attention_grad_v2",
    "npu_fusion_attention_grad_v3",
    "npu_fusion_attention_v2",
    "npu_fusion_attention_v3",
    "npu_incre_flash_attention",
    "npu_prompt_flash_attention",
]


def __getattr__(name: str) -> object:
    if name == "sim":
        import importlib

        return importlib.import_module(".sim", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
