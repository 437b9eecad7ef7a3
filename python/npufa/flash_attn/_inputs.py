"""Tensors of one attention call, and what of a call no tensor says."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..integrations._rules import UNBOUNDED

Result = tuple[Tensor, Tensor | None]  # output, log-sum-exp


class Window(NamedTuple):
    """Query row i sees the keys `i + Lk - Lq - left` to `i + Lk - Lq + right`; None is no limit."""

    left: int | None = None
    right: int | None = None

    @classmethod
    def of(cls, causal: bool, window_size: tuple[int, int], keys: int | None = None) -> Window:
        """The window that flash_attn's two arguments say.

        Args:
            keys: the number from which `right` is no limit, as flash_attn 2 has it; None for flash_attn 3, where the
                window is always what it says.
        """
        left, right = window_size
        if keys is not None and right >= keys:
            right = -1
        return cls(None if left < 0 else left, 0 if causal else None if right < 0 else right)

    @property
    def sparse_mode(self) -> tuple[int, int, int]:
        """`sparse_mode`, `pre_tokens` and `next_tokens` of the operators."""
        if self.left is None and self.right in (None, 0):
            return (0 if self.right is None else 3), UNBOUNDED, UNBOUNDED
        before, after = (UNBOUNDED if limit is None else limit for limit in self)
        return 4, before, after


class Settings(NamedTuple):
    """How to attend.

    Attributes:
        scale: factor of the scores.
        slopes: float32 (N,) or (B, N), ALiBi.
        sink: (N,), one more logit per head.
        lse: return the log-sum-exp.
        softcap: cap of the scores, 0.0 is none.
    """

    scale: float
    window: Window
    dropout: float = 0.0
    slopes: Tensor | None = None
    sink: Tensor | None = None
    lse: bool = False
    softcap: float = 0.0


class Inputs(NamedTuple):
    """Tensors whose last two dimensions are heads and head size; `*_rope` add `query_rope @ key_rope^T` to the scores.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    query_rope: Tensor | None = None
    key_rope: Tensor | None = None

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, qv: Tensor | None) -> Inputs:
        """flash_attn's arguments as the operators take them: scores are q @ k^T + qv @ v^T, and `Dv <= D`."""
        if qv is not None:
            return cls(qv, v, v, q, k)
        missing = v.shape[-1] - q.shape[-1]
        return cls(F.pad(q, (0, missing)), F.pad(k, (0, missing)), v) if missing > 0 else cls(q, k, v)

    @property
    def heads(self) -> tuple[int, int]:
        """Heads of query and of key."""
        return self.query.shape[-2], self.key.shape[-2]

    def mapped(self, queries: Callable[[Tensor], Tensor], keys: Callable[[Tensor], Tensor]) -> Inputs:
        """The inputs with a function applied to all of the query's side and one to all of the key's."""
        rope = (None, None) if self.query_rope is None or self.key_rope is None else (
            queries(self.query_rope), keys(self.key_rope))
        return Inputs(queries(self.query), keys(self.key), keys(self.value), *rope)

    def needs_training_operator(self, settings: Settings) -> bool:
        """True when the inference operators cannot compute the call: gradients, dropout, ALiBi, wide heads."""
        if settings.dropout > 0 or settings.slopes is not None or self.query.shape[-1] > 512:
            return True
        tensors = (*self, settings.sink)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
