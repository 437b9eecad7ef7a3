"""diffusers' attention backend `_native_npu` with `is_causal`, which diffusers' own function does not have and drops in
silence."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import Tensor

from ..ops import npu_fusion_attention

MODULE = "diffusers.models.attention_dispatch"


def _with_causal(theirs: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def native_npu(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, **others: Any
    ) -> Tensor:
        if not is_causal:
            return theirs(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, scale=scale, **others)
        for name, given in {"attn_mask": attn_mask, **others}.items():
            if given is not None and given is not False:
                raise ValueError(f"npufa.compat: {name} does not go with is_causal in diffusers' backend _native_npu, "
                                 f"got {type(given).__name__}; expected None")
        return npu_fusion_attention(
            query, key, value, query.shape[2], "BSND", scale=query.shape[-1] ** -0.5 if scale is None else scale,
            keep_prob=1.0 - dropout_p, sparse_mode=2)[0]

    return native_npu


def bindings(module: ModuleType) -> list[tuple[Any, str, Any]]:
    """What to bind: owner, name and value."""
    registry, backend = module._AttentionBackendRegistry, module.AttentionBackendName._NATIVE_NPU
    functions, names = registry._backends, registry._supported_arg_names
    return [(registry, "_backends", {**functions, backend: _with_causal(functions[backend])}),
            (registry, "_supported_arg_names", {**names, backend: names[backend] | {"is_causal"}})]


def forget() -> None:
    """diffusers looks its functions up at every call."""
