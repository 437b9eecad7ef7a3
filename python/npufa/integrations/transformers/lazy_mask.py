"""A mask that is computed only if something other than npufa's attention reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .._rules import Rules


class LazyMask(Tensor):
    """A bool tensor (B, 1, Sq, Skv), True takes part, of which only the rule is stored.

    Models pass masks on and some slice, move or combine them: every operation on this one computes it first.
    """

    _build: Callable[[], Tensor]
    _rules: Rules | None
    _dense: Tensor | None

    @staticmethod
    def __new__(
        cls, shape: tuple[int, int, int, int], device: torch.device, rules: Rules, build: Callable[[], Tensor]
    ) -> LazyMask:
        """
        Args:
            shape: (B, 1, Sq, Skv).
            device: of the mask, once computed.
            rules: what it masks out.
            build: computes it.
        """
        mask = Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bool, device=device)
        mask._rules, mask._build, mask._dense = rules, build, None
        return mask

    @property
    def rules(self) -> Rules | None:
        """What the mask masks out; None once an operation had its values, which it may have changed."""
        return self._rules

    def dense(self) -> Tensor:
        """Returns the mask as a plain tensor, the same one at every call."""
        if self._dense is None:
            self._dense = self._build()
        return self._dense

    def contiguous(self, *args: Any, **kwargs: Any) -> Tensor:
        return self

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"LazyMask(shape={tuple(self.shape)}, rules={self._rules})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        def read(value: Any) -> Any:
            if not isinstance(value, LazyMask):
                return value
            value._rules = None
            return value.dense()

        return func(*tree_map(read, args), **tree_map(read, kwargs or {}))
