"""Models that transformers gives a flash attention kernel of its hub (gpt-oss): on an NPU it loads none and, unlike
elsewhere, does not register the kernel's name, so that the model's first forward pass knows no such attention."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

MODULE = "transformers.modeling_utils"


def _with_name(module: ModuleType, theirs: Callable[..., Any]) -> Callable[..., Any]:
    def lazy_import_flash_attention(implementation: str | None, *args: Any, **kwargs: Any) -> Any:
        result = theirs(implementation, *args, **kwargs)
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

        if implementation is not None:
            for functions in (module.ALL_ATTENTION_FUNCTIONS, ALL_MASK_ATTENTION_FUNCTIONS):
                if implementation not in functions:
                    functions.register(implementation, functions["flash_attention_2"])
        return result

    return lazy_import_flash_attention


def bindings(module: ModuleType) -> list[tuple[Any, str, Any]]:
    """What to bind: owner, name and value."""
    theirs = getattr(module, "lazy_import_flash_attention", None)
    return [] if theirs is None else [(module, "lazy_import_flash_attention", _with_name(module, theirs))]


def forget() -> None:
    """The names stay registered, as transformers' own do; they stand for its own function."""
