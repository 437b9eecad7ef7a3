"""Symmetric quantisation to int8 and to packed int4."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._table import operator, reject

_INT8 = (None, torch.int8, 1, torch.qint8, 12)  # also as torch's number of the type
_INT4 = (torch.quint4x2, 16)


def to_int8(x: Tensor) -> Tensor:
    return x.round().clamp(-128, 127).to(torch.int8)


def dynamic_scale(x: Tensor, largest: int = 127, dim: int = -1) -> Tensor:
    """Of each row: what its largest magnitude is divided by to become `largest`."""
    return x.abs().amax(dim, keepdim=True) / largest


def pack_int4(x: Tensor) -> Tensor:
    """Eight values in one int32, the first in the lowest bits."""
    nibbles = x.round().clamp(-8, 7).to(torch.int32).unflatten(-1, (-1, 8)) & 0xF
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=x.device)
    return (nibbles << shifts).sum(-1).to(torch.int32)


def unpack_int4(x: Tensor) -> Tensor:
    shifts = torch.arange(28, -1, -4, dtype=torch.int32, device=x.device)
    return ((x.unsqueeze(-1) << shifts) >> 28).flatten(-2)


def rounded(name: str, x: Tensor, dtype: Any) -> Tensor:
    """x in the type that the argument names."""
    if dtype in _INT8:
        return to_int8(x)
    if dtype in _INT4:
        return pack_int4(x)
    raise reject(name, "the quantised type", dtype, "int8 or quint4x2")


def _smoothed(x: Tensor, smooth_scales: Tensor | None, group_index: Tensor | None) -> Tensor:
    """Rows of x times their scales; group g has the rows before group_index[g] that no earlier group has."""
    if smooth_scales is None:
        return x
    if group_index is None:
        return x * smooth_scales.float()
    rows = torch.arange(x[..., 0].numel(), device=x.device)
    group = torch.searchsorted(group_index.long(), rows, right=True)
    return x * smooth_scales.float()[group].view_as(x)


@operator("torch_npu-npu_dynamic_quant.md")
def npu_dynamic_quant(
    input: Tensor, *, smooth_scales: Tensor | None = None, group_index: Tensor | None = None, dst_type: Any = None,
    quant_mode: str = "pertoken"
) -> tuple[Tensor, Tensor]:
    dims = {"pertoken": -1, "perchannel": -2}
    if quant_mode not in dims:
        raise reject("npu_dynamic_quant", "quant_mode", quant_mode, "pertoken or perchannel")
    x = _smoothed(input.float(), smooth_scales, group_index)
    scale = dynamic_scale(x, 7 if dst_type in _INT4 else 127, dims[quant_mode])
    return rounded("npu_dynamic_quant", x / scale, dst_type), scale.squeeze(dims[quant_mode])


@operator("torch_npu-npu_quantize.md")
def npu_quantize(
    input: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: Any, axis: int = 1, div_mode: bool = True
) -> Tensor:
    if not div_mode:
        axis = -2 if axis == -2 else -1
    x, scale = input.float(), _along(scales.float(), input, axis)
    y = x / scale if div_mode else x * scale
    return rounded("npu_quantize", y if zero_points is None else y + _along(zero_points.float(), input, axis), dtype)


def _along(x: Tensor, like: Tensor, axis: int) -> Tensor:
    """One dimension as dimension `axis` of the other tensor."""
    if x.dim() != 1:
        return x
    return x.view([-1 if i == axis % like.dim() else 1 for i in range(like.dim())])


@operator("torch_npu-npu_trans_quant_param.md")
def npu_trans_quant_param(scale: Tensor, offset: Tensor | None = None, round_mode: int = 0) -> Tensor:
    bits = scale.float().contiguous().view(torch.int32).long() & 0xFFFFFFFF
    if round_mode == 1:
        bits = bits + 0x1000
    packed = (bits & 0xFFFFE000) | 1 << 46
    return packed if offset is None else packed | (offset.float().round().clamp(-256, 255).long() & 0x1FF) << 37


def scale_of(packed: Tensor) -> Tensor:
    """The float32 scale inside what npu_trans_quant_param returns; other types as they are, in float32."""
    if packed.dtype != torch.int64:
        return packed.float()
    bits = packed & 0xFFFFE000
    return torch.where(bits >= 1 << 31, bits - (1 << 32), bits).to(torch.int32).view(torch.float32)


@operator("test_atb_quantize_per_tensor.py", "atb")
def _npu_quantize_per_tensor(x: Tensor, scale: Tensor, zero_point: Tensor, y: Tensor) -> None:
    y.copy_(to_int8(x.float() / scale.float() + zero_point.float()))
