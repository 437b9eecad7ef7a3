"""Activations and gated activations, in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._table import operator

_TANH = {0: "none", 1: "tanh"}


@operator("（beta）torch_npu-npu_swiglu.md")
def npu_swiglu(input: Tensor, dim: int = -1) -> Tensor:
    gate, linear = input.float().chunk(2, dim)
    return (F.silu(gate) * linear).to(input.dtype)


@operator("（beta）torch_npu-npu_swiglu.md")
def npu_swiglu_backward(grad_output: Tensor, input: Tensor, dim: int = -1) -> Tensor:
    gate, linear = input.float().chunk(2, dim)
    grad = grad_output.float()
    d_gate = torch.ops.aten.silu_backward(grad * linear, gate)
    return torch.cat([d_gate, grad * F.silu(gate)], dim).to(input.dtype)


def _halves(input: Tensor, dim: int, activate_left: bool) -> tuple[Tensor, Tensor]:
    """The half that is activated and the other."""
    left, right = input.float().chunk(2, dim)
    return (left, right) if activate_left else (right, left)


@operator("GeGluKernelNpuOpApi.cpp")
def npu_geglu(
    input: Tensor, dim: int = -1, approximate: int = 1, activate_left: bool = False
) -> tuple[Tensor, Tensor]:
    gate, linear = _halves(input, dim, activate_left)
    gelu = F.gelu(gate, approximate=_TANH[approximate])
    return (gelu * linear).to(input.dtype), gelu.to(input.dtype)


@operator("GeGluKernelNpuOpApi.cpp")
def npu_geglu_grad(
    grad_output: Tensor, input: Tensor, gelu: Tensor, dim: int = -1, approximate: int = 1, activate_left: bool = False
) -> Tensor:
    gate, linear = _halves(input, dim, activate_left)
    grad = grad_output.float()
    d_gate = torch.ops.aten.gelu_backward(grad * linear, gate, approximate=_TANH[approximate])
    d_linear = grad * gelu.float()
    return torch.cat([d_gate, d_linear] if activate_left else [d_linear, d_gate], dim).to(input.dtype)


@operator("torch_npu-npu_gelu.md")
def npu_gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(input, approximate=approximate)


@operator("torch_npu-npu_gelu.md")
def npu_gelu_backward(grad_output: Tensor, input: Tensor, *, approximate: str = "none") -> Tensor:
    return torch.ops.aten.gelu_backward(grad_output, input, approximate=approximate)


@operator("（beta）torch_npu-npu_fast_gelu.md")
def npu_fast_gelu(input: Tensor) -> Tensor:
    wide = input.float()
    return (wide * torch.sigmoid(1.702 * wide)).to(input.dtype)


@operator("（beta）torch_npu-npu_fast_gelu.md")
def npu_fast_gelu_backward(grad: Tensor, input: Tensor) -> Tensor:
    wide = input.float()
    gate = torch.sigmoid(1.702 * wide)
    return (grad.float() * (gate + 1.702 * wide * gate * (1 - gate))).to(input.dtype)


@operator("（beta）torch_npu-npu_silu.md")
def npu_silu(input: Tensor) -> Tensor:
    return F.silu(input)
