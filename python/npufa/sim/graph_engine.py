"""The graph engine (GE) under torchair on the simulated chip.

There is none that executes: torchair converts a graph as it does for a real NPU, so that its errors and its dumps are
real, and where the graph would run the PyTorch graph it was made from runs instead, operator by operator.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

from ..graph._on_import import on_import
from ..graph.op_defs import op_defs

_log = logging.getLogger("npufa.sim")

_ATTR_KINDS = {"Bool": "VT_BOOL", "Float": "VT_FLOAT", "Int": "VT_INT", "Str": "VT_STRING", "ListBool": "VT_LIST_BOOL",
               "ListFloat": "VT_LIST_FLOAT", "ListInt": "VT_LIST_INT"}


@functools.cache
def _tell_once() -> None:
    _log.warning("there is no graph engine on the simulated chip: graphs are converted by torchair and then run "
                 "operator by operator")


@dataclasses.dataclass(frozen=True)
class _Run:
    """One call of a converted graph: torchair's graph object and the arguments of the PyTorch graph."""

    graph: Any
    arguments: tuple[Any, ...]

    def outputs(self, inputs: Sequence[Any], count: int) -> list[Any]:
        """What the engine would return, and the engine's copies of inputs that the graph changes."""
        results = self.graph.fx_graph(*self.arguments)
        for index, argument in self.graph._cloned_ge_input_mapping.items():
            if index in self.graph._ref_data_idx:
                inputs[index].copy_(self.arguments[argument])
        outputs: list[Any] = [None] * count
        for result, output in self.graph._fx_outputs_mapping.items():
            outputs[output] = results[result]
        return outputs


_run: contextvars.ContextVar[_Run | None] = contextvars.ContextVar("npufa_sim_graph_run", default=None)


@contextlib.contextmanager
def _running(run: _Run) -> Iterator[None]:
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


class SimulatedGraph:
    """In the place of torchair's TorchNpuGraphBase."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._outputs = 0

    def load(self, model: bytes, options: Mapping[str, str], input_placements: Sequence[int],
             output_dtypes: Sequence[int], executor_type: int) -> None:
        del model, options, input_placements, executor_type
        self._outputs = len(output_dtypes)

    def set_hint_shape(self, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> None:
        """Nothing is allocated ahead."""

    def compile(self) -> None:
        _tell_once()

    def summary(self) -> str:
        return f"{self._name}: run operator by operator on the simulated chip"

    def auto_tune(self, arguments: tuple[Any, ...]) -> None:
        raise NotImplementedError("npufa.sim: tuning a graph (config.aoe_config) needs the graph engine of CANN, which "
                                  "is not part of the simulated chip")

    def run(self, arguments: tuple[Any, ...]) -> list[Any]:
        run = _run.get()
        if run is None:
            raise NotImplementedError(
                f"npufa.sim: {self._name} was loaded without the PyTorch graph it was made from; running a stored "
                "graph (cache_compile) needs the graph engine of CANN, which is not part of the simulated chip")
        return run.outputs(arguments[0], self._outputs)


def get_registered_ir_def(op_type: str) -> tuple[str, list, list, list]:
    """What GE knows of an operator of its own type: npufa's only."""
    op_def = op_defs().get(op_type)
    if op_def is None:
        raise RuntimeError(f"npufa.sim: {op_type} is not known as an operator of graphs; on the simulated chip those "
                           "of npufa are, besides what torchair converts itself")
    return ("SUCCESS", [(tensor.name, tensor.presence) for tensor in op_def.inputs],
            [(tensor.name, tensor.presence) for tensor in op_def.outputs],
            [(attr.name, _ATTR_KINDS[attr.kind]) for attr in op_def.attrs])


def export(model: bytes, options: Mapping[str, str]) -> None:
    """Writes a graph as torchair made it (a serialised ModelDef)."""
    os.makedirs(options["export_path_dir"], exist_ok=True)
    with open(os.path.join(options["export_path_dir"], options["export_name"]), "wb") as file:
        file.write(model)


def _replace_engine(native: Any) -> None:
    native.InitializeGraphEngine = lambda options: None
    native.FinalizeGraphEngine = lambda: None
    native.TorchNpuGraphBase = SimulatedGraph
    native.get_registered_ir_def = get_registered_ir_def
    native.check_cann_compat = lambda op_type, optional_inputs, optional_attrs: ""
    native.export = export


def _draw_once(graph: ModuleType) -> None:
    """Graphs leave torch's generator where it is: the operators draw when they run."""
    state = graph._GraphRngState

    def consume(self: Any) -> torch.Tensor:
        return torch.tensor(self._offset_lists) + self._gen.get_offset()

    state.consume = consume


def _pass_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """A converted graph's call, which tells the engine what to run."""

    @functools.wraps(function)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _running(_Run(self, args)):
            return function(self, *args, **kwargs)

    return call


def _no_code(function: Callable[..., str | None]) -> Callable[..., None]:
    """A graph's code for a cache, which could not run here: torchair goes on without a cache where there is none."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return call


def _wrap_graphs(converter: ModuleType) -> None:
    graph = converter.GeConcreteGraph
    graph.__call__ = _pass_arguments(graph.__call__)
    graph.codegen = _no_code(graph.codegen)


def install() -> None:
    """Puts the simulated engine under torchair, which may not have been imported yet."""
    on_import("torchair.core._torchair", _replace_engine)
    on_import("torchair.ge._ge_graph", _draw_once)
    on_import("torchair._ge_concrete_graph.fx2ge_converter", _wrap_graphs)
