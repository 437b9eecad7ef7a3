"""Converters of torch.ops.npufa.* to nodes of a GE graph, registered with torchair. Imported once that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchair import ge

from . import dropout
from .ge_op import add_op
from .mappings import EMPTY, MAPPINGS, OFFSET, SCORES, SEED, Mapping
from .op_defs import OpDef, op_defs
from .scores import make_lengths_cumulative, number_of_scores


def _target(op_def: OpDef, mapping: Mapping, argument: torch.Argument) -> str | None:
    """The input or attribute that an argument of torch goes to; None where it goes nowhere."""
    name = mapping.renamed.get(argument.name, argument.name)
    tensor = op_def.input(name)
    # The same lengths are one input where the host reads them and another where the device does.
    if tensor is not None and tensor.value_depend and "Tensor" in str(argument.type):
        return f"{name}_tensor"
    if tensor is not None or op_def.attr(name) is not None:
        return name
    if argument.name not in mapping.unused:
        raise NotImplementedError(f"npufa.graph: {op_def.type} has no input or attribute for an argument of torch's "
                                  f"operator, got {argument.name}; expected one, or the argument in Mapping.unused")
    return None


def _draw_mask(op: str, arguments: dict[str, Any], values: dict[str, Any], draws: bool) -> tuple[Any, Any]:
    """Adds the mask of a call with dropout to its values; returns seed and offset. `draws`: a seed of 0 is none."""
    seed, offset = arguments.get("seed", 0), arguments.get("offset", 0)
    if values["keep_prob"] >= 1.0 or values.get("dropout_mask") is not None:
        return seed, offset
    if "seed" not in arguments:
        seed, offset = dropout.drawn_seed(op, values)
    elif draws and isinstance(seed, int) and seed == 0:
        raise NotImplementedError(f"npufa::{op}: seed cannot be drawn in a GE graph with an offset of the caller's, "
                                  "got 0; expected a seed, or no offset")
    values["dropout_mask"] = dropout.dropout_mask(op, values, seed, offset)
    return seed, offset


def _results(
    op: str, mapping: Mapping, outputs: dict[str, Any], values: dict[str, Any], seeds: dict[str, Any], meta: Any
) -> Any:
    """What torch's operator returns, from the outputs of the node and what is none of these."""

    def result(index: int, name: str) -> Any:
        if name == EMPTY:
            return ge.Const([], dtype=values["query"].dtype)
        if name == SCORES:  # an integer, or a symbol where sizes are
            number = meta[index]._meta
            return number if isinstance(number, int) else number_of_scores(op, values)
        return outputs[name] if name in outputs else seeds[name]

    results = tuple(result(index, name) for index, name in enumerate(mapping.results))
    if not results:
        return None
    return results if len(results) > 1 else results[0]


def targets(overload: torch._ops.OpOverload, mapping: Mapping) -> dict[str, str]:
    """For every argument that the GE operator has a place for, the name of its input or attribute."""
    op_def = op_defs()[mapping.op_type]
    places = {argument.name: _target(op_def, mapping, argument) for argument in overload._schema.arguments}
    return {argument: place for argument, place in places.items() if place is not None}


def _converter(overload: torch._ops.OpOverload, mapping: Mapping) -> Callable[..., Any]:
    schema = overload._schema
    op = schema.name.partition("::")[2]
    names = [argument.name for argument in schema.arguments]
    defaults = {argument.name: argument.default_value for argument in schema.arguments}
    seed_is_tensor = SEED in mapping.results and "Tensor" in str(schema.returns[-1].type)

    def convert(*args: Any, meta_outputs: Any = None, **kwargs: Any) -> Any:
        arguments = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        values = {place: arguments[name] for name, place in targets(overload, mapping).items()}
        values["batch_invariant"] = torch.ops.npufa._batch_invariant()
        seeds = {}
        if mapping.trains:
            make_lengths_cumulative(values)
            seeds = dict(zip((SEED, OFFSET), _draw_mask(op, arguments, values, SEED in mapping.results),
                             strict=True))
        outputs = add_op(op_defs()[mapping.op_type], values)
        if seed_is_tensor:
            seeds = {name: dropout.as_tensor(value) for name, value in seeds.items()}
        return _results(op, mapping, outputs, values, seeds, meta_outputs)

    return convert


def register(register_fx_node_ge_converter: Callable[[Any], Callable[[Callable], Any]]) -> None:
    """Registers a converter for every overload of every operator that returns its results.

    Those with `out` do not reach a GE graph, see _functionalize.py.

    Args:
        register_fx_node_ge_converter: torchair's.
    """
    for name, mapping in MAPPINGS.items():
        packet = getattr(torch.ops.npufa, name)
        for overload in packet.overloads():
            if overload != "out":
                function = getattr(packet, overload)
                register_fx_node_ge_converter(function)(_converter(function, mapping))
