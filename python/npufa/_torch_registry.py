"""npufa among the implementations of flash attention that torch knows by name."""

from __future__ import annotations

from typing import Any

import torch

NAME = "npufa"


def _activate() -> Any:
    from .integrations import flash_attention_impl

    return flash_attention_impl.activate()


def offer() -> None:
    """Makes `torch.nn.attention.activate_flash_attention_impl("npufa")` work, where torch has it."""
    register = getattr(getattr(torch.nn, "attention", None), "register_flash_attention_impl", None)
    if register is not None:
        register(NAME, register_fn=_activate)
