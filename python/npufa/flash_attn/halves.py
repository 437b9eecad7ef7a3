"""Forward and backward pass by themselves, for clients that have an autograd function of their own (ring attention,
diffusers): `_flash_attn_forward`, `_flash_attn_backward` and their `_wrapped_` names in `flash_attn_interface`.

Arguments as in :mod:`npufa.flash_attn.interface`, the window as two numbers. No dropout, and `alibi_slopes` of one
dimension only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ops import npu_fusion_attention_grad_v2
from . import _check
from ._inputs import Inputs, Window
from .interface import flash_attn_func

_STATISTIC = 8  # equal elements of a row's maximum and sum


def flash_attn_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float,
    softmax_scale: float,
    causal: bool,
    window_size_left: int,
    window_size_right: int,
    softcap: float,
    alibi_slopes: Tensor | None,
    return_softmax: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns out, softmax_lse float32 (B, N, Sq), an empty tensor and two zeros (the state of dropout)."""
    _refuse("_flash_attn_forward", dropout_p, alibi_slopes)
    with torch.no_grad():
        out, lse, nothing = flash_attn_func(
            q, k, v, 0.0, softmax_scale, causal, (window_size_left, window_size_right), softcap, alibi_slopes,
            return_attn_probs=True)
    return out, lse, nothing, torch.zeros(2, dtype=torch.int64, device=q.device)


def flash_attn_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    softmax_lse: Tensor,
    dq: Tensor | None,
    dk: Tensor | None,
    dv: Tensor | None,
    dropout_p: float,
    softmax_scale: float,
    causal: bool,
    window_size_left: int,
    window_size_right: int,
    softcap: float,
    alibi_slopes: Tensor | None,
    deterministic: bool,
    rng_state: Tensor | None = None,
) -> Tensor:
    """Writes gradients into `dq`, `dk` and `dv`, where given; returns softmax_d float32 (B, N, Sq), the sum of
    `out * dout` of each row.

    `out` and `softmax_lse` may be those of more keys than k: their probabilities are then parts of the whole.
    """
    name = "_flash_attn_backward"
    _refuse(name, dropout_p, alibi_slopes)
    _check.attention(name, "B S", q, k, v)
    _check.tensor(name, "softmax_lse", softmax_lse, [q.shape[0], q.shape[2], q.shape[1]], (torch.float32,), q.device)
    mode, before, after = Window.of(causal, (window_size_left, window_size_right), k.shape[1]).sparse_mode
    # exp(s - lse) is exp(s - maximum) / sum with the maximum lse and the sum 1; rows without keys have 0 and 0.
    seen = softmax_lse.isfinite()
    maximum, total = (t[..., None].expand(*t.shape, _STATISTIC).contiguous()
                      for t in (softmax_lse.where(seen, 0.0), seen.float()))
    alibi: dict[str, Any] = {} if alibi_slopes is None else {
        "pse": alibi_slopes, "pse_type": 2, "q_start_idx": [k.shape[1] - q.shape[1]], "kv_start_idx": [0]}
    with torch.no_grad():
        inputs = Inputs.of(q, k, v, None)  # wider where v is
        gradients = npu_fusion_attention_grad_v2(
            inputs.query, inputs.key, inputs.value, dout, q.shape[2], "BSND", softmax_max=maximum, softmax_sum=total,
            attention_in=out, scale_value=softmax_scale, sparse_mode=mode, pre_tokens=before, next_tokens=after,
            softcap=softcap, **alibi)
        for given, gradient in zip((dq, dk, dv), gradients):
            if given is not None:
                given.copy_(gradient[..., :given.shape[-1]])
        return (out.float() * dout.float()).sum(-1).transpose(1, 2).contiguous()


def _refuse(name: str, dropout_p: float, alibi_slopes: Tensor | None) -> None:
    if dropout_p > 0:
        _check.fail(name, "dropout_p", "is not supported here", dropout_p, "0.0, or flash_attn_func")
    if alibi_slopes is not None and alibi_slopes.dim() != 1:
        _check.fail(name, "alibi_slopes", "has the wrong shape", [*alibi_slopes.shape], "(N,), or flash_attn_func")
