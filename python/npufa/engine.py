"""Prefill and decode of one attention layer through one call.

    engine = AttentionEngine(num_heads=32, head_dim=128, num_kv_heads=8)
    output = engine(query, key_cache, value_cache, actual_seq_lengths_kv=[65])

Letters: B batch, N query heads, Nkv key/value heads, Sq and Skv sequence lengths, D head size, T tokens of a packed
batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ops import npu_fused_infer_attention_score

__all__ = ["AttentionEngine"]

AUTO = "auto"
_DETECTED = ("BSH", "TND", "BSND", "BNSD")
_NAMED = (*_DETECTED, "NTD", "NTD_TND", "TND_NTD", "BNSD_BSND", "BSH_NBSD", "BSND_NBSD", "BNSD_NBSD")
_HEAD_AXIS = {"BSND": 2, "BNSD": 1, "TND": 1, "NTD": 0}
_TOKEN_AXIS = {"BSH": 1, "BSND": 1, "BNSD": 2}
_INT4_PER_INT32 = 8


class AttentionEngine:
    """Attention of a decoder layer for inference, by `npu_fused_infer_attention_score`.

    The operator takes its decode branch for one query row per sequence and its prefill branch otherwise. The rule is
    causal from the lower right: the last query row of a sequence sees all of its keys, so that a query may be
    shorter than the cache. Plain, paged (`block_table`) and quantised (`key_antiquant_scale`, ...) caches are arguments
    of the operator and go through as they are.

    Args:
        num_heads: N.
        head_dim: D, of query and key.
        num_kv_heads: Nkv, a divisor of N; None means N.
        scale: factor of the scores; None means 1 / sqrt(D).
        input_layout: "auto" detects BSH, BSND, BNSD and TND from the shapes of every call; a layout of the operator
            makes every call check that its tensors have it.

    Raises:
        ValueError: an illegal argument; the message names it.

    Source: usage guide section 2.2; SPEC sections 2 to 7.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        num_kv_heads: int | None = None,
        *,
        scale: float | None = None,
        input_layout: str = AUTO,
    ) -> None:
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        for name, size in (("num_heads", num_heads), ("head_dim", head_dim), ("num_kv_heads", kv_heads)):
            if size < 1:
                raise _error(f"{name} is not positive, got {size}; expected at least 1")
        if num_heads % kv_heads:
            raise _error(f"num_kv_heads does not divide num_heads, got {kv_heads}; expected a divisor of {num_heads}")
        _check_name(input_layout)
        self.num_heads, self.head_dim, self.num_kv_heads = num_heads, head_dim, kv_heads
        self.scale = 1.0 / math.sqrt(head_dim) if scale is None else scale
        self.input_layout = input_layout

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        causal: bool | None = None,
        return_lse: bool = False,
        input_layout: str | None = None,
        **operator_arguments: Any,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Computes `softmax(scale * query @ key^T) @ value` under the causal rule.

        Args:
            query: BSH (B, Sq, N*D), BSND (B, Sq, N, D), BNSD (B, N, Sq, D) or TND (T, N, D).
            key, value: the same layout with Skv and Nkv, or the paged cache with `block_table`; the types that
                `npu_fused_infer_attention_score` takes.
            causal: None is True unless `atten_mask` or `sparse_mode` gives another rule; True with one of them raises.
            return_lse: return the log-sum-exp of the scores, too.
            input_layout: overrides that of the engine for this call.
            **operator_arguments: of :func:`npufa.npu_fused_infer_attention_score`: `actual_seq_lengths_kv`,
                `block_table`, `block_size`, `key_antiquant_scale`, ...

        Returns:
            Output in the layout of `query`; with `return_lse` also float32 (B, N, Sq, 1), TND (T, N, 1).

        Raises:
            ValueError: layout and shapes disagree, or the shapes fit two layouts.
            RuntimeError: what the operator finds illegal.
        """
        paged = operator_arguments.get("block_table") is not None
        layout = self.layout_of(query, key, paged=paged, input_layout=input_layout)
        if causal is None:
            causal = operator_arguments.get("atten_mask") is None and "sparse_mode" not in operator_arguments
        elif causal:
            for name in ("atten_mask", "sparse_mode"):
                if operator_arguments.get(name) is not None:
                    raise _error(f"{name} is another rule than causal=True, got both; expected one of them")
        if causal:
            operator_arguments["sparse_mode"] = 3
        output, lse = npu_fused_infer_attention_score(
            query, key, value, num_heads=self.num_heads, num_key_value_heads=self.num_kv_heads, scale=self.scale,
            input_layout=layout, softmax_lse_flag=return_lse, **operator_arguments)
        return (output, lse) if return_lse else output

    def unified_inference(
        self,
        query: Tensor,
        key_cache: Tensor,
        value_cache: Tensor,
        seq_length: int | Sequence[int],
        **operator_arguments: Any,
    ) -> tuple[Tensor, Tensor]:
        """The method of the usage guide: query holds the last tokens of sequences of `seq_length` tokens.

        Args:
            query: BSH, BSND or BNSD; rows beyond `seq_length` are padding and give 0.
            key_cache, value_cache: tokens beyond `seq_length` are not read.
            seq_length: tokens of every sequence in the cache, those of `query` included; one number or B of them.
            **operator_arguments: as for a call of the engine.

        Returns:
            Output and log-sum-exp.

        Raises:
            ValueError: as for a call; packed queries (TND), whose lengths `seq_length` does not tell.
            RuntimeError: what the operator finds illegal, such as a length beyond the cache.
        """
        named = operator_arguments.pop("input_layout", None)
        layout = self.layout_of(
            query, key_cache, paged=operator_arguments.get("block_table") is not None, input_layout=named)
        axis = _TOKEN_AXIS.get(layout.partition("_")[0])
        if axis is None:
            raise _error(f"unified_inference has no lengths of packed queries, got {layout}; expected BSH, BSND or "
                         "BNSD, or a call of the engine with actual_seq_lengths and actual_seq_lengths_kv")
        lengths = [seq_length] * query.shape[0] if isinstance(seq_length, int) else list(seq_length)
        rows = query.shape[axis]
        result = self(query, key_cache, value_cache, return_lse=True, input_layout=layout,
                      actual_seq_lengths=[min(rows, length) for length in lengths], actual_seq_lengths_kv=lengths,
                      **operator_arguments)
        assert isinstance(result, tuple)
        return result

    def layout_of(
        self, query: Tensor, key: Tensor, *, paged: bool = False, input_layout: str | None = None
    ) -> str:
        """Returns the layout of a call: the one that is named, checked, or else the only one that the shapes fit.

        Args:
            query, key: see :meth:`__call__`; `key` is not looked at when it is `paged`, whose shape is another one.
            input_layout: None is that of the engine.

        Raises:
            ValueError: the shapes do not fit the named layout, or fit none or two of them.
        """
        named = self.input_layout if input_layout is None else input_layout
        _check_name(named)
        fitting = [layout for layout in _DETECTED if self._fits_query(layout, query)]
        both = [layout for layout in fitting if paged or self._fits_key(layout, key)]
        if named != AUTO:
            layout = named.partition("_")[0]
            if not self._fits_query(layout, query):
                raise _error(f"query does not have layout {layout}, got shape {tuple(query.shape)}; expected "
                             f"{self._expected(layout)}{_looks_like(both or fitting)}")
            if not paged and not self._fits_key(layout, key):
                raise _error(f"key does not have layout {layout} of query, got shape {tuple(key.shape)}; expected "
                             f"{self.num_kv_heads} heads of {self.head_dim}{_looks_like(both)}")
            return named
        if not fitting:
            shapes = ", ".join(f"{layout} {self._expected(layout)}" for layout in _DETECTED)
            raise _error(f"query has no layout of {self.num_heads} heads of {self.head_dim}, got shape "
                         f"{tuple(query.shape)}; expected one of {shapes}")
        if not both:
            raise _error(f"key does not have layout {' or '.join(fitting)} of query, got shape {tuple(key.shape)}; "
                         f"expected {self.num_kv_heads} heads of {self.head_dim}")
        if len(both) > 1:
            raise _error(f"input_layout cannot be told from the shapes, got query {tuple(query.shape)} and key "
                         f"{tuple(key.shape)}, which fit {' and '.join(both)}; expected input_layout to name one")
        return both[0]

    def _fits_query(self, layout: str, query: Tensor) -> bool:
        return _fits(layout, query.shape, self.num_heads, self.head_dim)

    def _fits_key(self, layout: str, key: Tensor) -> bool:
        packed = _INT4_PER_INT32 if key.dtype == torch.int32 else 1
        return _fits(layout, key.shape, self.num_kv_heads, self.head_dim // packed)

    def _expected(self, layout: str) -> str:
        heads, size = self.num_heads, self.head_dim
        return {"BSH": f"(B, S, {heads * size})", "BSND": f"(B, S, {heads}, {size})",
                "BNSD": f"(B, {heads}, S, {size})", "TND": f"(T, {heads}, {size})",
                "NTD": f"({heads}, T, {size})"}[layout]


def _fits(layout: str, shape: torch.Size, heads: int, head_dim: int) -> bool:
    if layout == "BSH":
        return len(shape) == 3 and shape[2] == heads * head_dim
    return len(shape) == len(layout) and shape[_HEAD_AXIS[layout]] == heads and shape[-1] == head_dim


def _looks_like(layouts: list[str]) -> str:
    return f" (the tensor looks like {layouts[0]}: pass input_layout=\"{layouts[0]}\")" if len(layouts) == 1 else ""


def _check_name(layout: str) -> None:
    if layout not in (AUTO, *_NAMED):
        raise _error(f"input_layout is unknown, got {layout!r}; expected {AUTO!r} or one of {', '.join(_NAMED)}")


def _error(message: str) -> ValueError:
    return ValueError(f"npufa.AttentionEngine: {message}")
