"""Multi-head and grouped-query attention as a module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import with_band
from ..integrations._operators import MAX_HEAD_DIM, attention
from ..integrations._rules import FULL, Band, Rules, Segments
from .cache import ContiguousCache
from .rotary import angles, positions_of, rotate

Lengths = Sequence[int] | Tensor


class MultiheadAttention(nn.Module):
    """Projections, attention of query heads over as many or fewer key heads, and the output projection.

    Parameters have the names and, with `num_kv_heads` = `num_heads`, the shapes of `torch.nn.MultiheadAttention`, so
    that its state dict loads; :meth:`from_torch` copies a whole module. There are no attention weights to return.

    Args:
        embed_dim: E, channels of inputs and outputs.
        num_heads: N.
        num_kv_heads: Nkv, a divisor of N (grouped-query attention; 1 is multi-query); by default N.
        head_dim: D, by default E / N.
        bias: of both projections.
        dropout: probability in [0, 1) of dropping an element of the attention, in training.
        causal: a token sees itself and earlier ones; the last query and the last key are the same token.
        window: with `causal`, the most keys a token sees, itself included.
        sinks: a learnable logit per head, of which no value comes (gpt-oss).
        rope_theta: base of rotary position embedding; None for none.
        batch_first: inputs are (B, S, E); by default, as in torch, (S, B, E).

    Attributes:
        in_proj_weight: ((N + 2 * Nkv) * D, E), rows of query, key, value; in_proj_bias alike, or None.
        out_proj: `nn.Linear(N * D, E)`.
        sinks: (N,), or None.

    Raises:
        ValueError: an illegal argument, here and in :meth:`forward`; the message names it.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        window: int | None = None,
        sinks: bool = False,
        rope_theta: float | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.head_dim = _head_dim(embed_dim, num_heads) if head_dim is None else head_dim
        self.dropout, self.causal, self.window = dropout, causal, window
        self.rope_theta, self.batch_first = rope_theta, batch_first
        self._check_settings()
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        rows = (num_heads + 2 * self.num_kv_heads) * self.head_dim
        self.in_proj_weight = nn.Parameter(torch.empty(rows, embed_dim, **kind))
        self.in_proj_bias = nn.Parameter(torch.empty(rows, **kind)) if bias else None
        self.out_proj = nn.Linear(num_heads * self.head_dim, embed_dim, bias=bias, **kind)
        self.sinks = nn.Parameter(torch.empty(num_heads, **kind)) if sinks else None
        self.reset_parameters()

    def _check_settings(self) -> None:
        if self.num_kv_heads < 1 or self.num_heads % self.num_kv_heads:
            raise ValueError(f"npufa.nn: num_kv_heads does not divide num_heads, got {self.num_kv_heads}; expected a "
                             f"divisor of {self.num_heads}")
        if not 1 <= self.head_dim <= MAX_HEAD_DIM:
            raise ValueError(f"npufa.nn: head_dim is out of range, got {self.head_dim}; expected 1 to {MAX_HEAD_DIM}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"npufa.nn: dropout is no probability below 1, got {self.dropout}; expected 0 <= dropout "
                             "< 1")
        if self.window is not None and (not self.causal or self.window < 1):
            raise ValueError(f"npufa.nn: window goes with causal=True and is at least 1, got {self.window} with "
                             f"causal={self.causal}")
        if self.rope_theta is not None and self.head_dim % 2:
            raise ValueError(f"npufa.nn: head_dim is odd, got {self.head_dim}; expected an even one with rope_theta")

    def reset_parameters(self) -> None:
        """Draws the parameters as `torch.nn.MultiheadAttention` does; sinks are 0."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj.reset_parameters()
        for parameter in (self.in_proj_bias, self.out_proj.bias, self.sinks):
            if parameter is not None:
                nn.init.zeros_(parameter)

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention, *, causal: bool = False) -> MultiheadAttention:
        """Returns the same attention with copies of the parameters of `module`."""
        if module.bias_k is not None or module.add_zero_attn or not module._qkv_same_embed_dim:
            raise ValueError("npufa.nn: module has add_bias_kv, add_zero_attn, or kdim or vdim other than embed_dim, "
                             "which npufa.nn.MultiheadAttention lacks")
        weight = module.in_proj_weight
        new = cls(module.embed_dim, module.num_heads, bias=module.in_proj_bias is not None, dropout=module.dropout,
                  causal=causal, batch_first=module.batch_first, device=weight.device, dtype=weight.dtype)
        new.load_state_dict(module.state_dict())
        return new.train(module.training)

    def new_cache(
        self, batch_size: int, max_tokens: int, dtype: torch.dtype | None = None
    ) -> ContiguousCache:
        """Returns an empty cache for keys and values, by default of the parameters' dtype."""
        shapes = [(self.num_kv_heads, self.head_dim)] * 2
        weight = self.in_proj_weight
        return ContiguousCache(batch_size, max_tokens, shapes, dtype or weight.dtype, weight.device)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        positions: Tensor | None = None,
        actual_seq_qlen: Lengths | None = None,
        actual_seq_kvlen: Lengths | None = None,
        cache: ContiguousCache | None = None,
    ) -> Tensor:
        """Returns the output, of the shape of `query`.

        Args:
            query: (B, Sq, E), with `batch_first=False` (Sq, B, E), or (Sq, E): one sequence, or packed ones.
            key, value: (B, Skv, E) alike; by default key is query and value is key.
            key_padding_mask: bool (B, Skv) or (Skv,), True is padding.
            attn_mask: (Sq, Skv), (B * N, Sq, Skv) or (B or 1, N or 1, Sq, Skv): bool, True is masked out, or floating,
                added to the scaled scores; the latter neither with `causal` nor with `key_padding_mask`.
            positions: integral, (Sq,) or (B, Sq), for `rope_theta`; by default counted from the start of the sequence,
                tokens of the cache included.
            actual_seq_qlen, actual_seq_kvlen: the sequences packed into (Sq, E) have these cumulative lengths, [2, 5,
                9] for 2, 3 and 4 tokens; the second by default as the first.
            cache: of :meth:`new_cache`; the new keys and values are appended, and query sees all that is held, which is
                Skv then. Inference only.
        """
        axes = query.dim()
        if axes not in (2, 3) or query.shape[-1] != self.embed_dim:
            raise ValueError(f"npufa.nn: query has the wrong shape, got {[*query.shape]}; expected two or three axes, "
                             f"the last of {self.embed_dim}")
        own = key is None or key is query
        key = query if key is None else key
        value = key if value is None else value
        segments = _segments(actual_seq_qlen, actual_seq_kvlen, axes)
        self._check_call(own, key_padding_mask, attn_mask, segments, cache)
        query, key, value = (self._batched(t) for t in (query, key, value))
        q, k, v = self._project(query, key, value)
        if self.rope_theta is not None:
            start = 0 if cache is None else cache.length
            if positions is None:
                positions = positions_of(q.shape[1], start, actual_seq_qlen, q.device)
            turn = angles(positions if positions.dim() == 2 else positions[None], self.head_dim, self.rope_theta)
            q, k = rotate(q, *turn), rotate(k, *turn)
        if cache is not None:
            k, v = cache.append(k, v)
        output = self.out_proj(self._attend(q, k, v, key_padding_mask, attn_mask, segments).flatten(2))
        if axes == 2:
            return output.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1)

    def _batched(self, tensor: Tensor) -> Tensor:
        """(B, S, E)"""
        if tensor.dim() == 2:
            return tensor.unsqueeze(0)
        return tensor if self.batch_first else tensor.transpose(0, 1)

    def _check_call(
        self, own: bool, key_padding_mask: Tensor | None, attn_mask: Tensor | None, segments: Segments | None,
        cache: ContiguousCache | None
    ) -> None:
        if not own and (self.rope_theta is not None or cache is not None):
            raise ValueError("npufa.nn: key is not query, which goes neither with rope_theta nor with cache")
        if segments is not None and not (key_padding_mask is attn_mask is cache is None):
            raise ValueError("npufa.nn: actual_seq_qlen goes with none of key_padding_mask, attn_mask and cache; "
                             "expected None for them")
        if key_padding_mask is not None and key_padding_mask.dtype != torch.bool:
            raise ValueError(f"npufa.nn: key_padding_mask has the wrong dtype, got {key_padding_mask.dtype}; expected "
                             "torch.bool")
        if attn_mask is not None and attn_mask.is_floating_point() and (self.causal or key_padding_mask is not None):
            raise ValueError("npufa.nn: attn_mask is floating, which goes neither with causal nor with "
                             "key_padding_mask; expected -inf in attn_mask where they would mask")
        if attn_mask is not None and not attn_mask.is_floating_point() and attn_mask.dtype != torch.bool:
            raise ValueError(f"npufa.nn: attn_mask has the wrong dtype, got {attn_mask.dtype}; expected torch.bool or "
                             "a floating one")

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query (B, Sq, N, D), key and value (B, Skv, Nkv, D)."""
        rows = [heads * self.head_dim for heads in (self.num_heads, self.num_kv_heads, self.num_kv_heads)]
        if key is query and value is query:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).split(rows, dim=-1)
        else:
            biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.split(rows)
            weights = self.in_proj_weight.split(rows)
            parts = tuple(F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
        return [part.unflatten(-1, (-1, self.head_dim)) for part in parts]

    def _band(self, shift: int) -> Band:
        if not self.causal:
            return FULL
        return Band(None if self.window is None else shift - self.window + 1, shift)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None,
        segments: Segments | None
    ) -> Tensor:
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        batch, heads, rows, _ = query.shape
        keys = key.shape[2]
        mask = bias = None
        if attn_mask is not None:
            attn_mask = _four_axes(attn_mask, batch, heads, rows, keys)
            mask, bias = (attn_mask, None) if attn_mask.dtype == torch.bool else (None, attn_mask)
        if key_padding_mask is not None:
            padding = key_padding_mask.view(-1, 1, 1, key_padding_mask.shape[-1])
            if padding.shape != (batch, 1, 1, keys):
                raise ValueError(f"npufa.nn: key_padding_mask has the wrong shape, got {[*key_padding_mask.shape]}; "
                                 f"expected [{batch}, {keys}]")
            mask = padding if mask is None else mask | padding
        mask, band = with_band(mask, self._band(0 if segments is not None else keys - rows), query, keys)
        return attention(
            query, key, value, Rules(band, segments=segments), scale=1.0 / math.sqrt(self.head_dim),
            keep=None if mask is None else ~mask, bias=bias, dropout=self.dropout if self.training else 0.0,
            sink=self.sinks)

    def extra_repr(self) -> str:
        return (f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, "
                f"head_dim={self.head_dim}, dropout={self.dropout}, causal={self.causal}, window={self.window}, "
                f"rope_theta={self.rope_theta}, batch_first={self.batch_first}")


def _head_dim(embed_dim: int, num_heads: int) -> int:
    if num_heads < 1 or embed_dim % num_heads:
        raise ValueError(f"npufa.nn: num_heads does not divide embed_dim, got {num_heads}; expected a divisor of "
                         f"{embed_dim}, or head_dim")
    return embed_dim // num_heads


def _segments(q_lengths: Lengths | None, kv_lengths: Lengths | None, axes: int) -> Segments | None:
    if q_lengths is None:
        if kv_lengths is not None:
            raise ValueError("npufa.nn: actual_seq_kvlen is given without actual_seq_qlen; expected both")
        return None
    if axes != 2:
        raise ValueError(f"npufa.nn: actual_seq_qlen is of packed sequences, got a query of {axes} axes; expected (T, "
                         "E)")
    both = (q_lengths, q_lengths if kv_lengths is None else kv_lengths)
    return Segments(*(ends if isinstance(ends, Tensor) else tuple(ends) for ends in both))


def _four_axes(mask: Tensor, batch: int, heads: int, rows: int, keys: int) -> Tensor:
    """(B or 1, N or 1, Sq, Skv)"""
    if mask.dim() == 3 and mask.shape[0] == batch * heads:
        mask = mask.unflatten(0, (batch, heads))
    elif mask.dim() == 2:
        mask = mask[None, None]
    if mask.dim() != 4 or mask.shape[0] not in (1, batch) or mask.shape[1] not in (1, heads) or (
            mask.shape[2:] != (rows, keys)):
        raise ValueError(f"npufa.nn: attn_mask has the wrong shape, got {[*mask.shape]}; expected [{rows}, {keys}], "
                         f"[{batch * heads}, {rows}, {keys}] or [{batch} or 1, {heads} or 1, {rows}, {keys}]")
    return mask
