"""One call of an attention operator, its arguments by name and by meaning, whatever the operator calls them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import ops
from .._lengths import are_plain, sizes

OPERATORS = (*ops.fusion.__all__, *ops.inference.__all__)

# What the operators call one and the same thing; the first name that an operator has counts.
_SPELLINGS = {
    "heads": ("head_num", "num_heads", "num_query_heads"),
    "scale": ("scale_value", "scale", "softmax_scale"),
    "pre": ("pre_tokens", "pre_tockens"),
    "next": ("next_tokens", "next_tockens"),
    "bias": ("pse", "pse_shift"),
    "sink": ("sink", "learnable_sink"),
    "lse": ("softmax_lse_flag", "return_softmax_lse"),
    "q_lengths": ("actual_seq_qlen", "actual_seq_lengths"),
    "kv_lengths": ("actual_seq_kvlen", "actual_seq_lengths_kv"),
    "output_scale": ("quant_scale2", "quant_scale_out"),
}
UNLIMITED = 2147483647
COMPRESSED_MASK = 2048  # rows and columns
Level = Callable[["Call"], tuple[Any, ...]]  # one way to compute a call


class Packed(NamedTuple):
    """Where the sequences of a packed batch lie: starts and lengths in tokens, and how many are no trailing zeros."""

    starts: list[int]
    lengths: list[int]
    count: int  # type: ignore[assignment]


@dataclass(frozen=True)
class Call:
    """An attention operator with all its arguments by name, defaults included."""

    operator: str
    arguments: Mapping[str, Any]

    @classmethod
    def bind(cls, operator: str | Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Returns the call `operator(*args, **kwargs)`.

        Raises:
            ValueError: not an attention operator of npufa.
            TypeError: arguments that the operator does not have, or lacks.
        """
        name = operator if isinstance(operator, str) else getattr(operator, "__name__", str(operator))
        if name not in OPERATORS:
            raise ValueError(f"npufa.robust: operator is unknown, got {name!r}; expected one of {', '.join(OPERATORS)}")
        bound = inspect.signature(getattr(ops, name)).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        if name == "npu_fused_infer_attention_score":
            older = arguments.pop("scale_value")
            if older is not None:
                arguments["scale"] = older
        return cls(name, arguments)

    def replace(self, **changes: Any) -> Call:
        """Returns the call with other arguments."""
        return Call(self.operator, {**self.arguments, **changes})

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> Call:
        """Returns the call with `function` of every tensor."""
        return Call(self.operator, {name: function(value) if isinstance(value, Tensor) else value
                                    for name, value in self.arguments.items()})

    def run(self) -> Any:
        """Calls the operator."""
        import npufa

        return getattr(npufa, self.operator)(**self.arguments)

    def on_meta(self) -> tuple[Any, ...]:
        """Runs the operator's checks and nothing else; returns its results as meta tensors.

        Raises:
            RuntimeError, ValueError: the operator's own error for an illegal argument.
        """
        call = self.map_tensors(_meta)
        if self["seed"] == 0 and not self.is_gradient:
            call = call.replace(seed=1)  # on meta tensors no seed can be drawn
        return as_tuple(getattr(ops, self.operator)(**call.arguments))

    def __getitem__(self, meaning: str) -> Any:
        """The argument of this meaning or name; None where the operator has none."""
        for name in _SPELLINGS.get(meaning, (meaning,)):
            if name in self.arguments:
                return self.arguments[name]
        return None

    def spelling(self, meaning: str) -> str:
        """The operator's name of an argument it has."""
        return next(name for name in _SPELLINGS.get(meaning, (meaning,)) if name in self.arguments)

    @property
    def query(self) -> Tensor:
        query: Tensor = self.arguments["query"]
        return query

    @property
    def is_gradient(self) -> bool:
        return "_grad" in self.operator

    @property
    def is_training(self) -> bool:
        return "fusion" in self.operator

    @property
    def layout(self) -> str:
        """The layout of query, key and value."""
        return str(self["input_layout"]).partition("_")[0]

    @property
    def output_layout(self) -> str:
        return str(self["input_layout"]).rpartition("_")[2]

    @property
    def is_packed(self) -> bool:
        return self.layout in ("TND", "NTD")

    @property
    def kv_heads(self) -> int:
        """Nkv."""
        if not self.is_training:
            return int(self["num_key_value_heads"] or self["heads"])
        key, query = self["key"], self.query
        if self.layout in ("BSH", "SBH"):
            return max(key.shape[2] * self["heads"] // max(query.shape[2], 1), 1)
        return int(key.shape[HEAD_AXIS[self.layout]])

    @property
    def rows(self) -> int:
        """Sq, of a packed batch T."""
        return int(self.query.shape[TOKEN_AXIS[self.layout]])

    @property
    def sequences(self) -> int:
        """B."""
        if self.is_packed:
            return len(self["q_lengths"])
        return int(self.query.shape[BATCH_AXIS[self.layout]])

    @property
    def is_decode(self) -> bool:
        """True for calls of one query row, whose mask may be one of keys."""
        if self.operator == "npu_incre_flash_attention":
            return True
        fused = self.operator.startswith("npu_fused_infer")
        return fused and not self.is_packed and self.rows == 1

    @property
    def has_compressed_mask(self) -> bool:
        """True where the content of `atten_mask` is not read: the mode's rule is computed."""
        mask, mode = self["atten_mask"], self["sparse_mode"] or 0
        if mask is None or mode in (0, 1, 5):
            return False
        return not self.is_decode or tuple(mask.shape[-2:]) == (COMPRESSED_MASK, COMPRESSED_MASK)

    def packed(self, side: str) -> Packed:
        """The sequences of a packed batch; `side` is "q_lengths" or "kv_lengths", of a paged cache not the latter."""
        values = host_list(self[side])
        lists = [self[name] for name in ("q_lengths", "kv_lengths")]
        plain = self.is_training and not any(isinstance(x, Tensor) for x in lists) and are_plain(*lists)
        tokens = sizes(values, plain)
        padded = tokens + [0] * (len(values) - len(tokens))
        return Packed([0, *itertools.accumulate(padded)][:-1], padded, len(tokens))


BATCH_AXIS = {"BSH": 0, "SBH": 1, "BSND": 0, "BNSD": 0, "NBSD": 1}
TOKEN_AXIS = {"BSH": 1, "SBH": 0, "BSND": 1, "BNSD": 2, "NBSD": 2, "TND": 0, "NTD": 1}
HEAD_AXIS = {"BSH": 2, "SBH": 2, "BSND": 2, "BNSD": 1, "NBSD": 0, "TND": 1, "NTD": 0}


def host_list(lengths: Any) -> list[int]:
    """Lengths, tensor or not, as numbers."""
    return [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]


def as_tuple(results: Any) -> tuple[Any, ...]:
    """The results of an operator, also of one that returns a tensor."""
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)


def _meta(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
