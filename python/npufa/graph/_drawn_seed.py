"""Seeds that are drawn when a graph runs: what torch's compilers must know about them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from .._torch_compat import count_numbers_as_nothing, let_go_unused, set_fake_rule
from ._on_import import on_import

_DRAWING = ("npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3", "_npu_fusion_attention_drawn")


def _arguments(overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    schema = overload._schema.arguments
    defaults = {argument.name: argument.default_value for argument in schema}
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def _draws(call: dict[str, Any]) -> bool:
    no_seed = isinstance(call["seed"], int) and call["seed"] == 0
    return no_seed and call["keep_prob"] < 1.0 and call["dropout_mask"] is None


def _attention(mode: Any, overload: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """The shape function, with symbols for seed and offset where they are drawn."""
    call = _arguments(overload, args, kwargs)
    if mode.shape_env is None or not _draws(call):
        return NotImplemented
    with mode:
        known = overload(**{**call, "seed": 1})
    return (*known[:4], mode.shape_env.create_unbacked_symint(), mode.shape_env.create_unbacked_symint(), known[6])


def _number(mode: Any, overload: torch._ops.OpOverload, _: torch.Tensor) -> Any:
    if mode.shape_env is None:
        raise DataDependentOutputException(overload)
    return mode.shape_env.create_unbacked_symint()


def _never_merge(compile_utils: ModuleType) -> None:
    """Two equal calls have two masks; torch goes by a list of its own, whatever the operators' tags say."""
    if hasattr(compile_utils, "rand_ops"):
        compile_utils.rand_ops += [getattr(torch.ops.npufa, name) for name in _DRAWING]  # type: ignore[attr-defined]


def register() -> None:
    """Enters the rules into the tables of fake tensors, of random operators and of Inductor."""
    ops = torch.ops.npufa
    on_import("torch._functorch.compile_utils", _never_merge)
    on_import("torch._inductor.graph", count_numbers_as_nothing)
    for name in _DRAWING:
        let_go_unused(getattr(ops, name).default)
    set_fake_rule(ops.npu_fusion_attention.default, _attention)
    set_fake_rule(ops.npu_fusion_attention_v2.default, _attention)
    set_fake_rule(ops._npu_dropout_number.default, _number)
