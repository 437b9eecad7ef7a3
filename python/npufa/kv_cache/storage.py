"""The tensors of a paged cache: where keys and values lie, in which type, and how the operators are told."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_PER_TOKEN_AND_HEAD_PAGED = 5  # key_antiquant_mode, value_antiquant_mode (SPEC section 7)
_INT8_MAX = 127


class BlockStorage:
    """Keys and values of `num_layers` layers in blocks; slot s is token `s % block_size` of block `s // block_size`.

    With `stored_dtype` int8 a token's head is stored as `round(x / scale)` with `scale = max|x| / 127`, symmetric, one
    float32 scale per token and head: it depends on no other token, so that tokens are quantised as they arrive.

    Attributes:
        key, value: (num_layers, num_blocks, block_size, Nkv * D) and the same with Dv.
        key_scale, value_scale: float32 (num_layers, num_blocks, Nkv, block_size); None unless int8.
    """

    def __init__(
        self,
        num_layers: int,
        num_blocks: int,
        block_size: int,
        num_kv_heads: int,
        head_dims: tuple[int, int],
        stored_dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        pool = (num_layers, num_blocks, block_size)
        self.block_size, self.num_kv_heads, self.head_dims = block_size, num_kv_heads, head_dims
        self.key, self.value = (
            torch.zeros(*pool, num_kv_heads * size, dtype=stored_dtype, device=device) for size in head_dims)
        self.key_scale = self.value_scale = None
        if stored_dtype == torch.int8:
            self.key_scale, self.value_scale = (
                torch.zeros(num_layers, num_blocks, num_kv_heads, block_size, device=device) for _ in range(2))

    @property
    def bytes_per_block(self) -> int:
        """Of all layers, scales included."""
        return sum(t.numel() * t.element_size() for t in self._tensors()) // self.key.shape[1]

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Stores tokens.

        Args:
            slots: int64 (T,).
            key, value: (T, Nkv, D) and (T, Nkv, Dv), in a floating type.
        """
        for pool, scales, new in ((self.key, self.key_scale, key), (self.value, self.value_scale, value)):
            tokens, scale = (new, None) if scales is None else _quantised(new)
            pool[layer].flatten(0, 1).index_copy_(0, slots, tokens.flatten(1).to(pool.dtype))
            if scales is not None and scale is not None:
                scales[layer][slots // self.block_size, :, slots % self.block_size] = scale

    def read(self, layer: int, slots: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Returns key (T, Nkv, D) and value (T, Nkv, Dv) of slots in a floating type."""
        tokens = []
        for pool, scales in ((self.key, self.key_scale), (self.value, self.value_scale)):
            stored = pool[layer].flatten(0, 1)[slots].unflatten(1, (self.num_kv_heads, -1))
            if scales is not None:
                scale = scales[layer][slots // self.block_size, :, slots % self.block_size]
                stored = stored.float() * scale.unsqueeze(-1)
            tokens.append(stored.to(dtype))
        return tokens[0], tokens[1]

    def copy_block(self, source: int, target: int) -> None:
        for tensor in self._tensors():
            tensor[:, target] = tensor[:, source]

    def operator_arguments(self, layer: int, with_sink: bool) -> dict[str, Any]:
        """Arguments of `npu_fused_infer_attention_score`, or of `_v2`, that describe the cache of a layer."""
        arguments: dict[str, Any] = {
            "key": self.key[layer], "value": self.value[layer], "block_size": self.block_size,
            "num_key_value_heads": self.num_kv_heads,
        }
        if self.key_scale is None or self.value_scale is None:
            return arguments
        scale, mode = "{}_antiquant_scale", "{}_antiquant_mode"
        if with_sink:
            scale, mode = "dequant_scale_{}", "{}_quant_mode"
        for name, scales in (("key", self.key_scale), ("value", self.value_scale)):
            arguments |= {scale.format(name): scales[layer], mode.format(name): _PER_TOKEN_AND_HEAD_PAGED}
        return arguments

    def _tensors(self) -> list[Tensor]:
        return [t for t in (self.key, self.value, self.key_scale, self.value_scale) if t is not None]


def _quantised(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Returns int8 (T, Nkv, D) and the scales, float32 (T, Nkv)."""
    tokens = tokens.float()
    scale = tokens.abs().amax(dim=-1) / _INT8_MAX
    divisor = torch.where(scale == 0, 1.0, scale).unsqueeze(-1)
    return (tokens / divisor).round().clamp(-_INT8_MAX, _INT8_MAX).to(torch.int8), scale
