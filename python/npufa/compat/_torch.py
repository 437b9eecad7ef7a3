"""torch's own attention on NPU tensors: `scaled_dot_product_attention` and aten's flash attention (varlen_attn)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from .._torch_compat import destroy, replace_kernel
from ..integrations import flash_attention_impl
from ..integrations.scaled_dot_product import attention_or_reason

# torch_npu has kernels at both. With gradients the first is met, in inference mode only the second.
_KEYS = ("AutogradPrivateUse1", "PrivateUse1")

_warned = False


def _scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False
) -> Tensor:
    result = attention_or_reason(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    if isinstance(result, Tensor):
        return result
    _say_once(result)
    grouped = {"enable_gqa": True} if enable_gqa else {}  # which torch has from 2.5 on
    return torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **grouped)[0]


def _say_once(reason: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn("npufa.compat: scaled_dot_product_attention leaves this call, and later ones like it, to "
                      f"torch's matrix products: {reason}", stacklevel=3)


class TorchKernels:
    """The kernels in force, until `remove`."""

    def __init__(self) -> None:
        self._library = torch.library.Library("aten", "IMPL")
        for key in _KEYS:
            replace_kernel(self._library, "aten::scaled_dot_product_attention", _scaled_dot_product_attention, key)
        self._flash_attention = flash_attention_impl.activate()

    def remove(self) -> None:
        destroy(self._library)
        self._flash_attention.remove()
