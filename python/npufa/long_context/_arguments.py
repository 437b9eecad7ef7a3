"""Checks and views of query, key and value that chunked and distributed attention share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..integrations._operators import DTYPES, MAX_HEAD_DIM

LAYOUTS = ("BNSD", "BSND", "TND")


def check(name: str, query: Tensor, key: Tensor, value: Tensor, input_layout: str) -> None:
    """Raises for tensors that no call of the operators could take; the messages name `name`."""
    if input_layout not in LAYOUTS:
        raise ValueError(f"npufa.{name}: input_layout is not supported, got {input_layout!r}; expected one of "
                         f"{LAYOUTS}")
    for argument, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.dim() != len(input_layout):
            raise ValueError(f"npufa.{name}: {argument} has the wrong number of axes for {input_layout}, got "
                             f"{[*tensor.shape]}; expected {len(input_layout)}")
        if tensor.dtype not in DTYPES:
            raise TypeError(f"npufa.{name}: {argument} has an unsupported dtype, got {tensor.dtype}; expected one of "
                            f"{DTYPES}")
        if tensor.dtype != query.dtype:
            raise TypeError(f"npufa.{name}: {argument} differs from query in dtype, got {tensor.dtype}; expected "
                            f"{query.dtype}")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"npufa.{name}: value does not fit key {[*key.shape]}, got {[*value.shape]}; expected "
                         f"{[*key.shape[:-1], 'Dv']}")
    if input_layout != "TND" and query.shape[0] != key.shape[0]:
        raise ValueError(f"npufa.{name}: key differs from query in the batch, got {key.shape[0]}; expected "
                         f"{query.shape[0]}")
    axis = input_layout.index("N")
    heads, kv_heads = query.shape[axis], key.shape[axis]
    if kv_heads == 0 or heads == 0 or heads % kv_heads:
        raise ValueError(f"npufa.{name}: key has a number of heads that does not divide query's, got {kv_heads}; "
                         f"expected a divisor of {heads} in axis {axis} of {input_layout}")
    head_dim, value_head_dim = query.shape[-1], value.shape[-1]
    if key.shape[-1] != head_dim or not 1 <= value_head_dim <= head_dim <= MAX_HEAD_DIM:
        raise ValueError(f"npufa.{name}: head sizes do not fit, got {head_dim} of query, {key.shape[-1]} of key and "
                         f"{value_head_dim} of value; expected D, D and Dv with 1 <= Dv <= D <= {MAX_HEAD_DIM}")


def default_scale(query: Tensor, scale: float | None) -> float:
    """Returns `scale`, by default 1 / sqrt(D)."""
    return 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale


def as_under_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """float32 tensors follow `torch.autocast`, as the operators' do."""
    device_type = tensors[0].device.type
    if not torch.is_autocast_enabled(device_type):
        return tensors
    dtype = torch.get_autocast_dtype(device_type)
    return tuple(t.to(dtype) if t.dtype == torch.float32 else t for t in tensors)


def to_bnsd(tensor: Tensor, input_layout: str) -> Tensor:
    """Returns BNSD, BSND or one sequence of TND as a view (B, N, S, D)."""
    if input_layout == "TND":
        return tensor.transpose(0, 1).unsqueeze(0)
    return tensor.transpose(1, 2) if input_layout == "BSND" else tensor


def from_bnsd(tensor: Tensor, input_layout: str) -> Tensor:
    """The inverse of :func:`to_bnsd`, contiguous."""
    if input_layout == "TND":
        return tensor.squeeze(0).transpose(0, 1).contiguous()
    return tensor.transpose(1, 2).contiguous() if input_layout == "BSND" else tensor


def sequence_lengths(name: str, argument: str, cumulative: Sequence[int] | None, total: int) -> list[int]:
    """Lengths of the packed sequences, last that of the padding after them."""
    if cumulative is None:
        raise ValueError(f"npufa.{name}: {argument} is missing, got None; expected cumulative lengths for TND")
    ends = [int(end) for end in cumulative]
    last = max((i for i, end in enumerate(ends) if end), default=-1)
    bounds = [0, *ends[:last + 1]]
    lengths = [end - start for start, end in itertools.pairwise(bounds)]
    if min(lengths, default=0) < 0 or bounds[-1] > total:
        raise ValueError(f"npufa.{name}: {argument} is not cumulative within {total} tokens, got {[*cumulative]}; "
                         "expected lengths like [2, 5, 9]")
    return [*lengths, *[0] * (len(ends) - last - 1), total - bounds[-1]]
