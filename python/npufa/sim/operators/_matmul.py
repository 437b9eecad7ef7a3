"""Matrix products, quantised, grouped and transposed; integers are summed exactly."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ._quantisation import scale_of, to_int8, unpack_int4
from ._table import operator, reject

_FLOATS = {torch.float16: torch.float16, 5: torch.float16, torch.bfloat16: torch.bfloat16, 15: torch.bfloat16,
           torch.float32: torch.float32, 6: torch.float32}


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """In float32, or exactly in float64 where both are integers."""
    if x.is_floating_point():
        return torch.matmul(x.float(), weight.float())
    return torch.matmul(x.double(), weight.double())


def _scaled(y: Tensor, scale: Tensor, per_token: Tensor | None, bias: Tensor | None) -> Tensor:
    """A product of integers in real numbers; an integer bias belongs to the product, another to the result."""
    if bias is not None and not bias.is_floating_point():
        y = y + bias
    y = y * scale_of(scale)
    if per_token is not None:
        y = y * per_token.float().reshape(-1, 1)
    return y + bias.float() if bias is not None and bias.is_floating_point() else y


@operator("torch_npu-npu_quant_matmul.md")
def npu_quant_matmul(
    x1: Tensor, x2: Tensor, scale: Tensor, *, offset: Tensor | None = None, pertoken_scale: Tensor | None = None,
    bias: Tensor | None = None, output_dtype: Any = None
) -> Tensor:
    if x1.dtype == torch.int32:
        # A transposed weight has its eight values along the other dimension.
        along_k = x2.shape[-2] == x1.shape[-1]
        x1, x2 = unpack_int4(x1), unpack_int4(x2.mT).mT if along_k else unpack_int4(x2)
    product = _product(x1, x2)
    if output_dtype in (torch.int32, 3):
        return (product if bias is None else product + bias).to(torch.int32)
    y = _scaled(product, scale, pertoken_scale, bias)
    if output_dtype in (None, torch.int8, 1):
        return to_int8(y if offset is None else y + offset.float())
    if output_dtype not in _FLOATS:
        raise reject("npu_quant_matmul", "output_dtype", output_dtype, "int8, float16, bfloat16 or int32")
    return y.to(_FLOATS[output_dtype])


@operator("torch_npu-npu_transpose_batchmatmul.md")
def npu_transpose_batchmatmul(
    input: Tensor, weight: Tensor, *, scale: Tensor | None = None, perm_x1: list[int] | None = None,
    perm_x2: list[int] | None = None, perm_y: list[int] | None = None, batch_split_factor: int = 1
) -> Tensor:
    x = input.permute(perm_x1) if perm_x1 else input
    y = _product(x, weight.permute(perm_x2) if perm_x2 else weight).permute(perm_y or [1, 0, 2])
    if scale is not None:
        return to_int8(y.flatten(1).unsqueeze(1) * scale_of(scale))
    if batch_split_factor > 1:
        y = y.reshape(y.shape[0], batch_split_factor, -1).transpose(0, 1)
    return y.to(input.dtype).contiguous()


@operator("test_atb_linear.py", "atb")
def _npu_matmul_add_fp32(x: Tensor, weight: Tensor, C: Tensor) -> None:
    C.add_(_product(x.mT, weight))


def group_ends(group_list: Any, group_list_type: int) -> Tensor:
    """Of each group: the row after its last one. Types: 0 these ends, 1 counts."""
    rows = torch.as_tensor(group_list)
    return rows if group_list_type == 0 else rows.cumsum(0)


def _grouped_rows(x: Tensor, weights: list[Tensor], ends: Tensor, finish: Any) -> Tensor:
    """Rows of each group times the group's weight; rows after the last group are zero, CANN leaves them unwritten."""
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    result: Tensor | None = None
    if torch.npu.is_current_stream_capturing():  # type: ignore[attr-defined]  # replays have other groups
        for i, weight in enumerate(weights):
            y = finish(_product(x, weight), slice(None), i)
            inside = (rows >= starts[i]) & (rows < ends[i])
            result = torch.where(inside, y, torch.zeros_like(y) if result is None else result)
        return cast(Tensor, result)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist())):
        y = finish(_product(x[start:end], weights[i]), slice(start, end), i)
        if result is None:
            result = y.new_zeros(x.shape[0], y.shape[1])
        result[start:end] = y
    return cast(Tensor, result)


def _activated(y: Tensor, act_type: int) -> Tensor:
    functions = {
        0: lambda x: x, 1: torch.relu, 2: lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        4: lambda x: x * torch.sigmoid(1.702 * x), 5: torch.nn.functional.silu,
    }  # fmt: skip
    if act_type not in functions:
        raise reject("npu_grouped_matmul", "act_type", act_type, "0, 1, 2, 4 or 5")
    return functions[act_type](y)


@operator("torch_npu-npu_grouped_matmul.md")
def npu_grouped_matmul(
    x: list[Tensor], weight: list[Tensor], *, bias: list[Tensor] | None = None, scale: list[Tensor] | None = None,
    antiquant_scale: list[Tensor] | None = None, antiquant_offset: list[Tensor] | None = None,
    per_token_scale: list[Tensor] | None = None, group_list: Any = None, split_item: int = 0,
    group_type: int | None = None, group_list_type: int = 0, act_type: int = 0, tuning_config: list[int] | None = None,
    output_dtype: Any = None
) -> list[Tensor]:
    if group_list_type not in (0, 1):
        raise reject("npu_grouped_matmul", "group_list_type", group_list_type, "0 or 1")
    stacked = len(weight) == 1 and weight[0].dim() == 3  # then what belongs to weights is stacked, too
    weights, biases, scales, antiquant, offsets = (
        list(tensors[0].unbind()) if tensors and stacked else list(tensors or ())
        for tensors in (weight, bias, scale, antiquant_scale, antiquant_offset))
    if x[0].dtype == torch.int8 and weights[0].dtype == torch.int32:
        raise reject("npu_grouped_matmul", "weight", "int4 under int8 activations", "int8")
    if antiquant:
        offsets = offsets or [torch.zeros_like(s) for s in antiquant]
        weights = [(w.float() + o.float()) * s.float() for w, s, o in zip(weights, antiquant, offsets)]
    dtype = _FLOATS.get(output_dtype, x[0].dtype if x[0].is_floating_point() else torch.int8)

    def finish(product: Tensor, rows: slice, group: int, tokens: Tensor | None = None) -> Tensor:
        added = biases[group] if biases else None
        if scales:
            y = _scaled(product, scales[group], None if tokens is None else tokens[rows], added)
        else:
            y = product if added is None else product + added.float()
        y = _activated(y, act_type)
        return to_int8(y) if dtype == torch.int8 else y.to(dtype)

    tokens = per_token_scale[0] if per_token_scale else None
    if group_type == 2:
        cuts = group_ends(group_list, group_list_type).tolist()
        products = [_product(x[0][:, a:b], weight[0][a:b]) for a, b in zip([0, *cuts], cuts)]
        return [torch.stack([finish(y, slice(None), i) for i, y in enumerate(products)])]
    if len(x) == 1 and group_list is not None:
        ends = group_ends(group_list, group_list_type).to(x[0].device)
        y = _grouped_rows(x[0], weights, ends, lambda product, rows, i: finish(product, rows, i, tokens))
        return [y] if split_item in (2, 3) else list(y.split(ends.diff(prepend=ends.new_zeros(1)).tolist()))
    each = [finish(_product(a, w), slice(None), i) for i, (a, w) in enumerate(zip(x, weights))]
    return [torch.cat(each)] if split_item in (2, 3) else each
