"""A quantised key/value cache and the arguments by which the operators read it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .config import STATIC_MODE, TOKEN_MODE, QuantConfig
from .formats import Format
from .grouping import LAYOUTS, Granularity, heads_first, in_layout
from .ranges import Range, choose_range, restored_values, samples_of, scale_and_offset, stored_values

FLOAT_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
FUSED_INFER = "npu_fused_infer_attention_score"
FUSED_INFER_V2 = "npu_fused_infer_attention_score_v2"
INCRE = "npu_incre_flash_attention"


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Keys or values with `value = (data + offset) * scale`.

    Attributes:
        data: int8 or float8 in `input_layout`; int4 is int32 with the last dimension an eighth.
        scale: float32 in the shape of the operators: (1,) per tensor, (Nkv, D) per channel, (B, Skv) per token,
            (Nkv,) per head, (B, Nkv, Skv) per token and head; B is blocks and Skv is block_size in a paged cache.
        offset: shape and dtype of `scale`, integral; None when symmetric.
        granularity, format: what `QuantConfig` says.
        input_layout, num_heads: of `data`.
        dtype: of what was quantised.
    """

    data: Tensor
    scale: Tensor
    offset: Tensor | None
    granularity: Granularity
    format: Format
    input_layout: str
    num_heads: int
    dtype: torch.dtype

    def dequantize(self) -> Tensor:
        """Returns the values in their dtype and layout before quantisation."""
        stored = self.format.decode(heads_first(self.data, self.input_layout, self.num_heads))
        scale = self.granularity.spread(self.scale)
        offset = None if self.offset is None else self.granularity.spread(self.offset)
        return in_layout(restored_values(stored, scale, offset).to(self.dtype), self.input_layout)

    @property
    def nbytes(self) -> int:
        """Bytes of data, scale and offset."""
        return sum(t.nbytes for t in (self.data, self.scale, self.offset) if t is not None)

    @property
    def nbytes_before(self) -> int:
        """Bytes of what was quantised."""
        return self.data.numel() * self.format.per_element * self.dtype.itemsize

    @property
    def shape(self) -> torch.Size:
        """(B, Nkv, Skv, D) of the values; B is 1 in TND."""
        *rows, width = heads_first(self.data, self.input_layout, self.num_heads).shape
        return torch.Size((*rows, width * self.format.per_element))

    def tokens(self, begin: int, end: int) -> QuantizedTensor:
        """Returns a view of tokens `[begin, end)` of every sequence; see :meth:`QuantizedKV.tokens`."""
        if not 0 <= begin <= end <= self.shape[2]:
            raise ValueError(f"npufa.quantization: tokens are out of range, got [{begin}, {end}); expected 0 <= begin "
                             f"<= end <= {self.shape[2]}")
        axis = {"BNSD": 2, "TND": 0}.get(self.input_layout, 1)
        scale, offset = self.scale, self.offset
        if self.granularity.per_token:
            scale = scale[..., begin:end]
            offset = None if offset is None else offset[..., begin:end]
        data = self.data.narrow(axis, begin, end - begin)
        return dataclasses.replace(self, data=data, scale=scale, offset=offset)


@dataclass(frozen=True, eq=False)
class QuantizedKV:
    """A quantised cache; see :func:`quantize_kv`."""

    key: QuantizedTensor
    value: QuantizedTensor
    paged: bool = False

    def arguments(self, operator: str = FUSED_INFER) -> dict[str, Any]:
        """Returns the keyword arguments that hand this cache to an operator, `key` and `value` among them.

        Missing are those of the call: num_heads, scale, input_layout, lengths, masks, block_table and block_size.

        Args:
            operator: "npu_fused_infer_attention_score", its "_v2", or "npu_incre_flash_attention", which takes scales
                per tensor, per channel (equal head sizes of key and value) and, unless paged, per token.

        Raises:
            ValueError: an operator that does not exist or has no argument for these scales.
        """
        names = {FUSED_INFER: ("{}_antiquant_scale", "{}_antiquant_offset", "{}_antiquant_mode"),
                 FUSED_INFER_V2: ("dequant_scale_{}", "dequant_offset_{}", "{}_quant_mode")}
        arguments: dict[str, Any] = {
            "key": self.key.data, "value": self.value.data, "num_key_value_heads": self.key.num_heads}
        if operator == INCRE:
            return arguments | self._combined_scales()
        if operator not in names:
            raise ValueError(f"npufa.quantization: operator is unknown, got {operator!r}; expected one of "
                             f"{[*names, INCRE]}")
        scale, offset, mode = names[operator]
        for name, part in (("key", self.key), ("value", self.value)):
            arguments[scale.format(name)] = part.scale
            arguments[offset.format(name)] = part.offset
            granularity = part.granularity
            arguments[mode.format(name)] = granularity.paged_mode if self.paged else granularity.mode
        if self.paged and self.key.granularity.mode != self.value.granularity.mode:
            raise ValueError('npufa.quantization: granularity "token" for value alone does not go with a paged cache, '
                             f"got {self.key.granularity.name!r} for key; expected the same for both")
        return arguments

    def dequantize(self) -> tuple[Tensor, Tensor]:
        """Returns key and value in their dtype and layout before quantisation."""
        return self.key.dequantize(), self.value.dequantize()

    @property
    def nbytes(self) -> int:
        """Bytes of the cache with its scales."""
        return self.key.nbytes + self.value.nbytes

    @property
    def nbytes_before(self) -> int:
        """Bytes before quantisation."""
        return self.key.nbytes_before + self.value.nbytes_before

    def tokens(self, begin: int, end: int) -> QuantizedKV:
        """Returns a view of tokens `[begin, end)` of every sequence.

        Raises:
            ValueError: tokens that the cache does not have, or a paged cache, whose blocks hold tokens in any order.
        """
        if self.paged:
            raise ValueError(f"npufa.quantization: tokens of a paged cache lie by block_table, got [{begin}, {end}); "
                             "expected a cache that is not paged")
        return dataclasses.replace(self, key=self.key.tokens(begin, end), value=self.value.tokens(begin, end))

    def _combined_scales(self) -> dict[str, Any]:
        key, value = self.key, self.value
        if key.granularity != value.granularity or key.granularity.mode not in (STATIC_MODE, TOKEN_MODE):
            names = key.granularity.name, value.granularity.name
            raise ValueError(f"npufa.quantization: {INCRE} has no argument for these scales, got granularity {names}; "
                             "expected tensor, channel or token for both")
        if key.granularity.per_token and self.paged:
            raise ValueError(f"npufa.quantization: {INCRE} has no argument for scales per token of a paged cache, got "
                             f"granularity token; expected tensor or channel, or {FUSED_INFER}")
        if key.scale.shape != value.scale.shape:
            widths = f"{key.scale.shape[-1]} and {value.scale.shape[-1]}"
            raise ValueError(f"npufa.quantization: {INCRE} takes scales per channel only for equal head sizes of key "
                             f"and value, got {widths}; expected {FUSED_INFER}")
        if key.granularity.per_token and key.dtype == torch.float32 and _reads_as_channels(key):
            raise ValueError(f"npufa.quantization: {INCRE} takes scales per token of this shape for scales per channel "
                             f"beside a float32 query, got {tuple(key.scale.shape)}; expected {FUSED_INFER}")

        def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
            if first is None or second is None:
                return None
            stacked = torch.stack([first, second])
            if key.granularity.name == "tensor":
                return stacked.flatten()
            # (2, Nkv, D) may be the shape of scales per token, (2, B, Skv), too.
            return stacked.unsqueeze(2) if key.granularity.name == "channel" else stacked

        return {"antiquant_scale": both(key.scale, value.scale), "antiquant_offset": both(key.offset, value.offset)}


def _reads_as_channels(part: QuantizedTensor) -> bool:
    """Whether scales (B, Skv) are (Nkv, D) or (Nkv*D,) as well, extents of 1 left out."""
    batch, heads, tokens, width = part.shape

    def squeezed(*sizes: int) -> list[int]:
        return [size for size in sizes if size != 1]

    return squeezed(batch, tokens) in (squeezed(heads, width), squeezed(heads * width))


@torch.no_grad()
def quantize_kv(
    key: Tensor,
    value: Tensor,
    config: QuantConfig = QuantConfig(),
    *,
    input_layout: str = "BNSD",
    num_key_value_heads: int = 0,
    paged: bool = False,
) -> QuantizedKV:
    """Quantises keys and values with scales computed from them.

    `|value - dequantised| <= scale / 2` for integers, except that `clip="percentile"` and "mse" saturate what lies
    outside the range they choose. float8 rounds to 3 (e4m3fn) or 2 (e5m2) bits of mantissa.

    Args:
        key, value: float16, bfloat16 or float32: BNSD (B, Nkv, Skv, D), BSND (B, Skv, Nkv, D), BSH (B, Skv, Nkv*D) or
            TND (T, Nkv, D); value may have another D. A paged cache has blocks for B and block_size for Skv. All
            elements are read, so blocks that nothing was written to must hold numbers.
        config: dtype, granularity and range.
        input_layout: of `key` and `value`; TND goes with granularity tensor, channel and head.
        num_key_value_heads: Nkv, needed for BSH and else read from the shape.
        paged: `key` and `value` are pools of blocks; decides the antiquant modes.

    Raises:
        ValueError, TypeError: an illegal argument, or values that are infinite or not numbers.

    Source: SPEC section 7.
    """
    heads = check_cache(key, value, config, input_layout, num_key_value_heads, paged)
    parts = []
    for tensor, granularity in ((key, config.key_granularity), (value, config.value_granularity)):
        groups = granularity.groups(heads_first(tensor, input_layout, heads))
        chosen = choose_range(samples_of(groups), config)
        parts.append(quantize_with(tensor, chosen, config, granularity, input_layout, heads))
    return QuantizedKV(parts[0], parts[1], paged)


def quantize_with(
    tensor: Tensor, chosen: Range, config: QuantConfig, granularity: Granularity, input_layout: str, heads: int
) -> QuantizedTensor:
    """Quantises a checked tensor with the given range of each group; values outside saturate."""
    values = heads_first(tensor, input_layout, heads)
    shape = granularity.scale_shape(values.shape)
    flat_scale, flat_offset = scale_and_offset(chosen, config.format, config.symmetric)
    scale = flat_scale.view(shape)
    offset = None if flat_offset is None else flat_offset.view(shape)
    spread_offset = None if offset is None else granularity.spread(offset)
    stored = config.format.encode(stored_values(values.to(torch.float32), granularity.spread(scale), spread_offset))
    data = in_layout(stored, input_layout)
    return QuantizedTensor(data, scale, offset, granularity, config.format, input_layout, heads, tensor.dtype)


def check_cache(
    key: Tensor, value: Tensor, config: QuantConfig, input_layout: str, num_key_value_heads: int, paged: bool
) -> int:
    """Raises for what :func:`quantize_kv` cannot quantise; returns Nkv."""
    if input_layout not in LAYOUTS:
        raise ValueError(f"npufa.quantization: input_layout is unknown, got {input_layout!r}; expected one of "
                         f"{LAYOUTS}")
    if input_layout == "TND" and paged:
        raise ValueError("npufa.quantization: input_layout TND is not that of a paged cache, got paged=True; expected "
                         "BSND for (blocks, block_size, Nkv, D), BNSD or BSH")
    if input_layout == "TND" and (config.key_granularity.per_token or config.value_granularity.per_token):
        raise ValueError("npufa.quantization: granularity per token does not go with input_layout TND, got "
                         f"{config.granularity!r}; expected tensor, channel or head")
    if input_layout == "BSH" and num_key_value_heads < 1:
        raise ValueError("npufa.quantization: num_key_value_heads is needed for input_layout BSH, got "
                         f"{num_key_value_heads}; expected Nkv")
    heads = _check_part("key", key, config, input_layout, num_key_value_heads)
    _check_part("value", value, config, input_layout, heads)
    if _tokens(key, heads, input_layout) != _tokens(value, heads, input_layout):
        raise ValueError(f"npufa.quantization: value does not fit key, got {tuple(value.shape)} for key "
                         f"{tuple(key.shape)}; expected the same shape up to the head size")
    if key.dtype != value.dtype or key.device != value.device:
        raise TypeError(f"npufa.quantization: value differs from key, got {value.dtype} on {value.device}; expected "
                        f"{key.dtype} on {key.device}")
    return heads


def _tokens(tensor: Tensor, heads: int, input_layout: str) -> torch.Size:
    return heads_first(tensor, input_layout, heads).shape[:-1]


def _check_part(name: str, tensor: Tensor, config: QuantConfig, input_layout: str, heads: int) -> int:
    """Checks one of key and value; returns its number of heads."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"npufa.quantization: {name} is not a tensor, got {type(tensor).__name__}; expected a tensor")
    if tensor.dtype not in FLOAT_DTYPES:
        raise TypeError(f"npufa.quantization: {name} has the wrong dtype, got {tensor.dtype}; expected float16, "
                        "bfloat16 or float32")
    dims = 3 if input_layout in ("BSH", "TND") else 4
    if tensor.dim() != dims:
        raise ValueError(f"npufa.quantization: {name} does not fit input_layout {input_layout}, got shape "
                         f"{tuple(tensor.shape)}; expected {dims} dimensions")
    if input_layout == "BSH" and tensor.shape[-1] % heads:
        raise ValueError(f"npufa.quantization: {name} does not split into heads, got {tensor.shape[-1]} channels; "
                         f"expected a multiple of num_key_value_heads {heads}")
    _, found, _, width = heads_first(tensor, input_layout, heads).shape
    if heads not in (0, found):
        raise ValueError(f"npufa.quantization: {name} has {found} heads; expected num_key_value_heads {heads}")
    if width % config.format.per_element:
        raise ValueError(f"npufa.quantization: {name} has a head size that {config.dtype} cannot pack, got {width}; "
                         f"expected a multiple of {config.format.per_element}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"npufa.quantization: {name} holds values that are infinite or not numbers; expected finite "
                         "ones (unused blocks of a cache must be initialised)")
    return found
