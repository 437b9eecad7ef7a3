"""RMS normalisation, in float32, with what CANN fuses into it."""

from __future__ import annotations

import torch
from torch import Tensor

from ._quantisation import dynamic_scale, to_int8
from ._table import operator


def _normalised(x: Tensor, gamma: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x over its root mean square in the dimensions of gamma, times gamma, in float32, and the inverse root."""
    wide = x.float()
    rstd = (wide.square().mean(_dims(gamma), keepdim=True) + epsilon).rsqrt()
    return wide * rstd * gamma.float(), rstd


def _dims(gamma: Tensor) -> list[int]:
    return list(range(-gamma.dim(), 0))


@operator("（beta）torch_npu-npu_rms_norm.md")
def npu_rms_norm(input: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, Tensor]:
    y, rstd = _normalised(input, gamma, epsilon)
    return y.to(input.dtype), rstd


@operator("（beta）torch_npu-npu_rms_norm.md")
def npu_rms_norm_backward(dy: Tensor, input: Tensor, gamma: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    grad, unit = dy.float(), input.float() * rstd
    scaled = grad * gamma.float()
    dx = rstd * (scaled - unit * (scaled * unit).mean(_dims(gamma), keepdim=True))
    rows = list(range(input.dim() - gamma.dim()))
    return dx.to(input.dtype), (grad * unit).sum(rows) if rows else grad * unit


@operator("test_npu_gemma_rms_norm.py")
def npu_gemma_rms_norm(input: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, Tensor]:
    y, rstd = _normalised(input, gamma.float() + 1, epsilon)
    return y.to(input.dtype), rstd


@operator("torch_npu-npu_add_rms_norm.md")
def npu_add_rms_norm(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, Tensor, Tensor]:
    x = x1 + x2
    y, rstd = _normalised(x, gamma, epsilon)
    return y.to(x.dtype), rstd, x


@operator("test_npu_add_rms_norm_v2.py")
def npu_add_rms_norm_v2_functional(
    x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-6
) -> tuple[Tensor, Tensor, Tensor]:
    y, rstd, x = npu_add_rms_norm(x1, x2, gamma, epsilon)
    return rstd, y, x


@operator("test_npu_add_rms_norm_v2.py")
def npu_add_rms_norm_v2(x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-6) -> Tensor:
    y, rstd, x = npu_add_rms_norm(x1, x2, gamma, epsilon)
    x1.copy_(y)
    x2.copy_(x)
    return rstd


@operator("test_npu_add_rms_norm_cast.py")
def npu_add_rms_norm_cast(
    x1: Tensor, x2: Tensor, gamma: Tensor, epsilon: float = 1e-6
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = x1 + x2
    wide, rstd = _normalised(x, gamma, epsilon)
    y = wide.to(x.dtype)
    return y.float(), y, rstd, x


@operator("torch_npu-npu_add_rms_norm_quant.md")
def npu_add_rms_norm_quant(
    x1: Tensor, x2: Tensor, gamma: Tensor, scales1: Tensor, zero_points1: Tensor | None, beta: Tensor | None = None,
    *, axis: int = -1, epsilon: float = 1e-6, div_mode: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    x = x1 + x2
    y, _ = _normalised(x, gamma, epsilon)
    y = y if beta is None else y + beta.float()
    y = y / scales1.float() if div_mode else y * scales1.float()
    quantised = to_int8(y if zero_points1 is None else y + zero_points1.float())
    return quantised, torch.empty_like(quantised), x  # the second needs scales2


@operator("torch_npu-npu_add_rms_norm_dynamic_quant.md")
def npu_add_rms_norm_dynamic_quant(
    x1: Tensor, x2: Tensor, gamma: Tensor, *, smooth_scale1: Tensor | None = None, beta: Tensor | None = None,
    epsilon: float = 1e-6
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    x = x1 + x2
    y, _ = _normalised(x, gamma, epsilon)
    y = y if beta is None else y + beta.float()
    y = y if smooth_scale1 is None else y * smooth_scale1.float()
    scale = dynamic_scale(y)
    quantised = to_int8(y / scale)
    scale = scale.squeeze(-1)
    return quantised, torch.empty_like(quantised), x, scale, torch.empty_like(scale)  # empty: of smooth_scale2


@operator("torch_npu-npu_rms_norm_quant.md")
def npu_rms_norm_quant(
    x: Tensor, gamma: Tensor, beta: Tensor, scale: Tensor, offset: Tensor, epsilon: float = 1e-6
) -> Tensor:
    y, _ = _normalised(x, gamma, epsilon)
    return to_int8((y + beta.float()) * scale.float() + offset.float())
