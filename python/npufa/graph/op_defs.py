"""The definitions of the operators (OpDef of op_host), as the build exported them."""

from __future__ import annotations

import dataclasses
import functools
import json

from .._library import LIBRARY

FILE = LIBRARY.with_name("op_defs.json")


@dataclasses.dataclass(frozen=True)
class TensorDef:
    """An input or output.

    Attributes:
        presence: "required", "optional" or "dynamic" (a list of tensors).
        types: GE's names of the element types, e.g. DT_FLOAT16.
        value_depend: "optional" or "required" where the host reads the values before the launch; the latter must be
            constants of the graph.
    """

    name: str
    presence: str
    types: tuple[str, ...]
    value_depend: str | None


@dataclasses.dataclass(frozen=True)
class AttrDef:
    """An attribute; `kind` is the name of its builder in torchair.ge.attr, `default` is None where it is required."""

    name: str
    kind: str
    required: bool
    default: bool | int | float | str | list | None = None


@dataclasses.dataclass(frozen=True)
class OpDef:
    type: str
    inputs: tuple[TensorDef, ...]
    attrs: tuple[AttrDef, ...]
    outputs: tuple[TensorDef, ...]

    def input(self, name: str) -> TensorDef | None:
        return next((tensor for tensor in self.inputs if tensor.name == name), None)

    def attr(self, name: str) -> AttrDef | None:
        return next((attr for attr in self.attrs if attr.name == name), None)


def _tensors(entries: list[dict]) -> tuple[TensorDef, ...]:
    return tuple(TensorDef(**{**entry, "types": tuple(dict.fromkeys(entry["types"]))}) for entry in entries)


@functools.cache
def op_defs() -> dict[str, OpDef]:
    """Returns the definitions by GE type, e.g. NpufaPromptFlashAttention.

    Raises:
        RuntimeError: the build has not written them.
    """
    if not FILE.exists():
        raise RuntimeError(f"{FILE} is missing: run ./build.sh build in the source tree, or install the npufa wheel")
    return {
        name: OpDef(name, _tensors(entry["inputs"]), tuple(AttrDef(**attr) for attr in entry["attrs"]),
                    _tensors(entry["outputs"]))
        for name, entry in json.loads(FILE.read_text(encoding="utf-8")).items()
    }
