"""Degradations are told to whoever listens (`npufa.monitor`)."""

from __future__ import annotations

from collections.abc import Callable

listeners: list[Callable[[str, str], None]] = []


def tell(operator: str, kind: str) -> None:
    """Tells all listeners that `operator` degraded: kind "cpu", "torch", "split_batch" or "split_heads"."""
    for listener in tuple(listeners):
        listener(operator, kind)
