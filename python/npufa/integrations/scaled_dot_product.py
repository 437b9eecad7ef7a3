"""`torch.nn.functional.scaled_dot_product_attention` on npufa's operators, for the duration of a `with` block.

    from npufa.integrations import sdpa

    with sdpa():                       # NPU tensors; sdpa(devices=("npu", "cpu")) for CPU tensors too
        output = model(tokens)

The block is a `torch.overrides.TorchFunctionMode`: it sees the calls of the thread that entered it, whatever module
makes them, also those that `torch.compile` traces inside it.
"""

from __future__ import annotations

import math
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, has_torch_function
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from .._torch_compat import is_compiling
from ._additive_masks import keep_under
from ._operators import DTYPES, MAX_HEAD_DIM, attention
from ._rules import CAUSAL, FULL, Rules


class UnsupportedError(RuntimeError):
    """npufa has no operator for an attention call, and replacing it by another implementation was ruled out."""


def sdpa(devices: Iterable[str] = ("npu",), strict: bool = False) -> TorchFunctionMode:
    """Returns a context manager under which npufa computes `scaled_dot_product_attention`.

    All arguments of torch's function are served: boolean and additive masks, dropout, `is_causal` (aligned to the upper
    left, as torch aligns it), `scale`, `enable_gqa`, any number of leading dimensions, head sizes of value that differ,
    gradients. `torch.nn.MultiheadAttention` and the Transformer layers come here too, unless weights are asked for.
    Their fused inference path, which has an attention of its own, torch leaves off inside the block, but takes in a
    compiled graph: `torch.backends.mha.set_fastpath_enabled(False)`.

    Not served: dtypes other than float16, bfloat16 and float32, head sizes beyond 768, nested tensors and tensor
    subclasses, mixed dtypes and devices, calls under `torch.func` transforms, and calls that torch refuses.

    Args:
        devices: types of the devices whose tensors npufa takes; calls on others are torch's.
        strict: raise for a call on these devices that npufa does not serve, instead of leaving it to torch, whose
            choice of kernel `torch.nn.attention.sdpa_kernel` rules.

    Raises:
        UnsupportedError: inside the block, with `strict`; the message names the reason.
    """
    return _SdpaMode(frozenset(devices), strict)


class _SdpaMode(TorchFunctionMode):
    def __init__(self, devices: frozenset[str], strict: bool) -> None:
        super().__init__()
        self.devices = devices
        self.strict = strict

    def __torch_function__(
        self, func: Callable[..., Any], _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            func = self.attention
        elif func is F.multi_head_attention_forward:
            _current.mode = self  # which is not active inside func
            func = _multi_head_attention_forward
        return func(*args, **(kwargs or {}))

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if query.device.type in self.devices:
            result = attention_or_reason(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
            if isinstance(result, Tensor):
                return result
            if self.strict:
                raise UnsupportedError(f"npufa.integrations.sdpa: {result}; strict=False leaves this call to torch")
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale,
            enable_gqa=enable_gqa)


keep_under(_SdpaMode)


def attention_or_reason(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool,
    scale: float | None, enable_gqa: bool
) -> Tensor | str:
    """Returns what torch's function returns, or why npufa does not serve the call."""
    query, key, value = (_autocast(t) for t in (query, key, value))
    reason = _unsupported(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
    if reason is not None:
        return reason
    return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale)


def _autocast(tensor: Tensor) -> Tensor:
    device = tensor.device.type
    if not tensor.is_floating_point() or tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


_current = threading.local()


def _current_attention(*args: Any, **kwargs: Any) -> Tensor:
    return _current.mode.attention(*args, **kwargs)


def _check_key_padding_mask(*args: Any) -> None:
    if not is_compiling():  # Dynamo cannot trace the check
        F._check_key_padding_mask(*args)  # type: ignore[attr-defined]


def _copy(function: Callable[..., Any], **names: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a copy of a function of torch.nn.functional that calls others by these names."""
    copy = types.FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__,
                              function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_multi_head_attention_forward = _copy(
    F.multi_head_attention_forward, scaled_dot_product_attention=_current_attention,
    _check_key_padding_mask=_check_key_padding_mask)


def _unsupported(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool,
    enable_gqa: bool
) -> str | None:
    """Returns why npufa does not serve a call; None when it does."""
    tensors = [t for t in (query, key, value, attn_mask) if t is not None]
    if has_torch_function(tensors) or any(t.is_nested or is_traceable_wrapper_subclass(t) for t in tensors):
        return "nested tensors and tensor subclasses have no operator"
    if torch._C._are_functorch_transforms_active():
        return "torch.func transforms have no rule for npufa's operators"
    if len({t.device for t in tensors}) > 1:
        return f"query and the other tensors are on different devices, got {[str(t.device) for t in tensors]}"
    if query.dtype not in DTYPES or not query.dtype == key.dtype == value.dtype:
        return (f"query, key and value have dtypes {query.dtype}, {key.dtype}, {value.dtype}; expected one of float16, "
                "bfloat16, float32 for all")
    if min(query.dim(), key.dim(), value.dim()) < 2:
        return f"query has shape {tuple(query.shape)}; expected at least two dimensions"
    if not 0 < max(query.shape[-1], value.shape[-1]) <= MAX_HEAD_DIM or value.shape[-1] == 0:
        return f"head sizes are {query.shape[-1]} and {value.shape[-1]}; expected 1 to {MAX_HEAD_DIM}"
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        return f"key has shape {tuple(key.shape)}, which does not fit query or value"
    if attn_mask is not None and is_causal:
        return "attn_mask and is_causal are both given"
    if attn_mask is not None and attn_mask.dtype not in (torch.bool, torch.float32, query.dtype):
        return f"attn_mask has dtype {attn_mask.dtype}; expected bool, float32 or {query.dtype}"
    if not 0.0 <= dropout_p < 1.0:
        return f"dropout_p is {dropout_p}; expected 0 <= dropout_p < 1"
    return _unfitting_shapes(query, key, value, attn_mask, enable_gqa)


def _unfitting_shapes(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, enable_gqa: bool
) -> str | None:
    shapes = [t.shape[:-2] for t in (query, key, value)]
    if enable_gqa:
        if min(t.dim() for t in (query, key, value)) < 3 or key.shape[-3] != value.shape[-3]:
            return "enable_gqa needs a dimension of heads, the same for key and value"
        if query.shape[-3] % max(key.shape[-3], 1) or key.shape[-3] == 0:
            return f"{query.shape[-3]} heads of query are no multiple of {key.shape[-3]} heads of key"
        shapes = [shape[:-1] for shape in shapes]
    try:
        leading = torch.broadcast_shapes(*shapes)
        if leading != shapes[0]:
            return f"key and value have leading dimensions {tuple(leading)} that query {tuple(shapes[0])} lacks"
        if attn_mask is not None:
            scores = (*query.shape[:-1], key.shape[-2])
            if torch.broadcast_shapes(attn_mask.shape, scores) != scores:
                return f"attn_mask has shape {tuple(attn_mask.shape)}; expected one that broadcasts to {scores}"
    except RuntimeError as error:
        return f"shapes do not broadcast: {error}"
    return None


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool,
    scale: float | None
) -> Tensor:
    leading = query.shape[:-3]
    heads = _heads(key) if _heads(key) == _heads(value) else _heads(query)
    keep = bias = None
    if attn_mask is not None:
        mask = _four_dimensional_mask(attn_mask, leading, key.shape[-2])
        keep, bias = (mask, None) if mask.dtype == torch.bool else (None, mask)
    output = attention(
        _four_dimensional(query, leading, _heads(query)), _four_dimensional(key, leading, heads),
        _four_dimensional(value, leading, heads), Rules(CAUSAL if is_causal else FULL),
        scale=1.0 / math.sqrt(query.shape[-1]) if scale is None else scale, keep=keep, bias=bias, dropout=dropout_p)
    return output.transpose(1, 2).reshape(*query.shape[:-1], value.shape[-1])


def _heads(tensor: Tensor) -> int:
    return tensor.shape[-3] if tensor.dim() > 2 else 1


def _four_dimensional(tensor: Tensor, leading: torch.Size, heads: int) -> Tensor:
    """(B, heads, S, D)"""
    return tensor.expand(*leading, heads, *tensor.shape[-2:]).reshape(math.prod(leading), heads, *tensor.shape[-2:])


def _four_dimensional_mask(mask: Tensor, leading: torch.Size, keys: int) -> Tensor:
    """(B or 1, N or 1, Sq or 1, Skv)"""
    mask = mask.expand(*(1,) * (2 - mask.dim()), *mask.shape[:-1], keys)
    shared = math.prod(mask.shape[:-3]) == 1
    return _four_dimensional(mask.reshape(mask.shape[-3:]) if shared else mask, torch.Size((1,)) if shared else leading,
                             _heads(mask))
