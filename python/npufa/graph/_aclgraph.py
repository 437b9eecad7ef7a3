"""Lengths that change between the replays of a captured graph.

A captured kernel keeps its arguments. torch_npu can replace those of operators that write into given outputs and a
given workspace: `torch.npu.graph(..., auto_dispatch_capture=True)` with `NPUGraph.update()`, and torchair (mode
"reduce-overhead") and its successor npugraph_ex by themselves, where lengths are symbols. Each of them has a table of
such operators; this module enters npufa's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

from ._on_import import on_import

# Operators that have `.out` and `_<operator>_get_max_workspace`: the lengths that may change.
_LENGTHS = {
    "npu_fused_infer_attention_score": ("actual_seq_lengths", "actual_seq_lengths_kv", "actual_shared_prefix_len"),
    "npu_fused_infer_attention_score_v2": ("actual_seq_qlen", "actual_seq_kvlen"),
}

# torch_npu's own table has these names too, whatever the namespace of the operator.
_HANDLED = (*_LENGTHS, "npu_fusion_attention_v3", "npu_fusion_attention_grad_v3")

_COMPILERS = ("torchair._acl_concrete_graph.acl_graph", "npugraph_ex._acl_concrete_graph.acl_graph")


def _workspace(operator: str) -> torch._ops.OpOverload:
    return getattr(torch.ops.npufa, f"_{operator}_get_max_workspace").default


def _enter_compiler(acl_graph: ModuleType) -> None:
    """Enters the operators into the compiler's table of operators whose workspace and outputs it allocates."""
    for operator, lengths in _LENGTHS.items():
        packet = getattr(torch.ops.npufa, operator)
        acl_graph._REPLACE_FUNC_MAP[packet.default] = acl_graph.StaticWorkspaceReplaceFunc(
            get_workspace=_workspace(operator),
            out_operator=packet.out,
            workspace_keys=["workspace"],
            output_keys=["attention_out", "softmax_lse"],
            updated_param_keys=list(lengths),
        )


def _on_meta(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, torch.Tensor) else value


def _outputs(func: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Returns uninitialised tensors on the device for the results of the call."""
    device = next(value.device for value in args if isinstance(value, torch.Tensor))
    shapes = func(*map(_on_meta, args), **{name: _on_meta(value) for name, value in kwargs.items()})
    return [torch.empty_like(shape, device=device) for shape in shapes]


def _handler(operator: str, builtin: type) -> type:
    """Returns torch_npu's handler of this name, made to leave npufa's operators npufa's."""
    packet = getattr(torch.ops.npufa, operator)
    lengths = _LENGTHS.get(operator, ())

    class Handler(builtin):
        @classmethod
        def should_handle(cls, func: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
            if func in (packet.default, packet.out):
                return bool(lengths)
            return getattr(super(), "should_handle", lambda *_: True)(func, args, kwargs)

        @classmethod
        def prepare_capture(cls, func: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple:
            if func == packet.out:
                return func, args, kwargs
            if func != packet.default:
                return super().prepare_capture(func, args, kwargs)
            given = {"workspace": _workspace(operator)(*args, **kwargs), "out": _outputs(func, args, kwargs)}
            return packet.out, args, {**kwargs, **given}

        @classmethod
        def record_wrap_kwarg(cls, key: str, value: Any, tensor_param_names: Sequence[str]) -> Any:
            return super().record_wrap_kwarg(key, value, [*tensor_param_names, "workspace"])

        @classmethod
        def update_args(cls, dispatch_record: Any, update_input: Mapping[str, Any]) -> None:
            if dispatch_record.op_cache_entry != packet.out:
                super().update_args(dispatch_record, update_input)
                return
            for name in lengths:
                if name in update_input:
                    dispatch_record.kwargs[name] = update_input[name]

    Handler.__name__ = Handler.__qualname__ = f"Npufa{builtin.__name__}"
    return Handler


def _enter_graphs(handlers: ModuleType) -> None:
    """Replaces torch_npu's handlers, which are found by names without a namespace."""
    table = handlers.npugraph_handler._NPU_GRAPH_OP_HANDLERS
    for operator in _HANDLED:
        names = [name for name in table if name.partition(".")[0] == operator]
        if names:
            handler = _handler(operator, table[names[0]])
            table.update(dict.fromkeys(names, handler))


@functools.cache
def register() -> None:
    """Enters the operators into the tables of torch_npu, torchair and npugraph_ex, as soon as each is imported."""
    for compiler in _COMPILERS:
        on_import(compiler, _enter_compiler)
    on_import("torch_npu.npu._npugraph_handlers", _enter_graphs)
