"""aten's flash attention on NPU tensors, for `torch.nn.attention.varlen` and for who calls it directly.

    import npufa
    from torch.nn.attention import activate_flash_attention_impl
    from torch.nn.attention.varlen import varlen_attn

    activate_flash_attention_impl("npufa")     # npufa.compat.install() does this, too
    out = varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=(-1, 0))

Packed (T, N, D) with cumulative lengths, or dense (B, S, N, D); windows, grouped heads, ALiBi slopes, paged caches and
used lengths (`seqused_k`; without pages they are read on the host), gradients. The log-sum-exp is float32 (N, T), dense
(B, N, S), +inf for rows without keys. `num_splits` changes nothing; dropout and the debug mask are refused.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from .._torch_compat import destroy
from ..flash_attn import _attention, _check
from ..flash_attn._cache import Cache, attend_cache
from ..flash_attn._inputs import Inputs, Settings, Window
from ..flash_attn._used import UsedTokens
from ..ops import npu_fusion_attention_grad_v3

_STATISTICS = 8  # entries of a softmax statistic

_Forward = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _window(is_causal: bool, left: int | None, right: int | None) -> Window:
    return Window.of(is_causal, (-1 if left is None else left, -1 if right is None else right))


def _refuse(dropout_p: float, return_debug_mask: bool = False) -> None:
    if dropout_p != 0.0:
        _check.fail("varlen_attn", "dropout_p", "is not supported", dropout_p,
                    "0.0 (scaled_dot_product_attention and npufa.flash_attn have dropout)")
    if return_debug_mask:
        _check.fail("varlen_attn", "return_debug_mask", "is not supported", return_debug_mask, "False")


def _attend(inputs: Inputs, settings: Settings, cu_q: Tensor | None, cu_k: Tensor | None, used: Tensor | None,
            block_table: Tensor | None) -> _attention.Result:
    if block_table is not None:
        if used is None:
            _check.fail("varlen_attn", "seqused_k", "is missing", None, "tokens in the pages of each sequence")
        batch = inputs.query.shape[0] if cu_q is None else len(cu_q) - 1
        cache = Cache.of("varlen_attn", inputs.key, batch, "block_table", block_table, None, None)
        return attend_cache(inputs, settings, cache, used.long(), cu_q)
    if cu_q is None or cu_k is None:
        if used is not None:
            cache = Cache.of("varlen_attn", inputs.key, inputs.query.shape[0], "block_table", None, None, None)
            return attend_cache(inputs, settings, cache, used.long())
        return _attention.dense(inputs, settings)
    keys = UsedTokens.of("varlen_attn", "seqused_k", cu_k, used)
    return _attention.packed(inputs.mapped(lambda t: t, keys.taken), settings, cu_q, keys.ends)


def _forward(
    query: Tensor, key: Tensor, value: Tensor, cum_seq_q: Tensor | None, cum_seq_k: Tensor | None, max_q: int,
    max_k: int, dropout_p: float, is_causal: bool, return_debug_mask: bool, *, scale: float | None = None,
    window_size_left: int | None = None, window_size_right: int | None = None, seqused_k: Tensor | None = None,
    alibi_slopes: Tensor | None = None, block_table: Tensor | None = None, num_splits: int | None = None
) -> _Forward:
    _refuse(dropout_p, return_debug_mask)
    settings = Settings(query.shape[-1] ** -0.5 if scale is None else scale,
                        _window(is_causal, window_size_left, window_size_right), slopes=alibi_slopes, lse=True)
    with torch.no_grad():
        out, lse = _attend(Inputs.of(query, key, value, None), settings, cum_seq_q, cum_seq_k, seqused_k, block_table)
    assert lse is not None
    nothing = query.new_empty(0)
    return out, lse.contiguous(), query.new_zeros(2, dtype=torch.int64), nothing, nothing.clone()


def _forward_inplace(out: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    result, lse, *_ = _forward(*args, **kwargs)
    out.copy_(result)
    return lse


def _backward(
    grad_out: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor, cum_seq_q: Tensor,
    cum_seq_k: Tensor, max_q: int, max_k: int, dropout_p: float, is_causal: bool, rng_state: Tensor, unused: Tensor, *,
    scale: float | None = None, window_size_left: int | None = None, window_size_right: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A dense batch has cumulative lengths of no entries."""
    _refuse(dropout_p)
    packed = len(cum_seq_q) > 0
    mode, before, after = _window(is_causal, window_size_left, window_size_right).sparse_mode
    lse = logsumexp.t() if packed else logsumexp
    # exp(score - maximum) / sum of the operator: one statistic can say both. Rows without keys have no score.
    maximum = torch.where(lse.isinf(), 0.0, lse).unsqueeze(-1).expand(*lse.shape, _STATISTICS).contiguous()
    lengths: dict[str, Any] = {"actual_seq_qlen": cum_seq_q[1:], "actual_seq_kvlen": cum_seq_k[1:],
                               "softmax_layout": "TND"} if packed else {}
    dq, dk, dv, *_ = npu_fusion_attention_grad_v3(
        query, key, value, grad_out.contiguous(), query.shape[-2], "TND" if packed else "BSND", softmax_max=maximum,
        softmax_sum=torch.ones_like(maximum), attention_in=out,
        scale_value=query.shape[-1] ** -0.5 if scale is None else scale, sparse_mode=mode, pre_tockens=before,
        next_tockens=after, **lengths)
    return dq, dk, dv


_KERNELS = {
    "_flash_attention_forward": _forward,
    "_flash_attention_forward_no_dropout_inplace": _forward_inplace,
    "_flash_attention_backward": _backward,
}
_lock = threading.Lock()
_holders = 0
_library: torch.library.Library | None = None


class Handle:
    """Kernels of aten's flash attention for NPU tensors, in force until the last handle is removed."""

    def __init__(self) -> None:
        global _holders, _library
        with _lock:
            if _library is None:
                _library = torch.library.Library("aten", "IMPL")
                for name, kernel in _KERNELS.items():
                    if hasattr(torch.ops.aten, name):
                        _library.impl(name, kernel, "PrivateUse1")
            _holders += 1
            self._removed = False

    def remove(self) -> None:
        global _holders, _library
        with _lock:
            if self._removed:
                return
            self._removed = True
            _holders -= 1
            if _holders == 0 and _library is not None:
                destroy(_library)
                _library = None


def activate() -> Handle:
    """Puts the kernels in force; `torch.nn.attention.activate_flash_attention_impl("npufa")` calls it."""
    return Handle()
