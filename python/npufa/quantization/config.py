"""How a cache is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .formats import FORMATS, Format
from .grouping import GRANULARITIES, Granularity

CLIPS = ("absmax", "percentile", "mse")
STATIC_MODE = 0  # antiquant mode of scales per tensor and per channel
TOKEN_MODE = 1


@dataclass(frozen=True)
class QuantConfig:
    """How keys and values are quantised.

    Args:
        dtype: "int8", "int4" (eight to an int32), "float8_e4m3fn" or "float8_e5m2".
        granularity: what has a scale of its own: "tensor", "channel" (each of Nkv * D), "token" (each of B * Skv),
            "head" (each of Nkv), "token_head" (each of B * Nkv * Skv). A pair is for key and value; the operators
            take different ones only as "tensor" or "channel" for key with "token" for value, or these two mixed.
        symmetric: without offset, zero in the middle of the range. False adds an integral offset, which makes use of
            the whole range of an integer format when the values lie to one side of zero.
        clip: how the range is chosen that is not clipped. "absmax" holds everything; "percentile" leaves out
            `100 - percentile` percent on each side (symmetric: of the magnitudes); "mse" is the part of the "absmax"
            range, between 30 % and all of it, with the least squared error.
        percentile: 50 to 100, of `clip="percentile"`.

    Raises:
        ValueError: naming the argument.

    Source: SPEC section 7. Keys per channel with values per token: Liu et al., "KIVI", 2024.
    """

    dtype: str = "int8"
    granularity: str | tuple[str, str] = "token_head"
    symmetric: bool = True
    clip: str = "absmax"
    percentile: float = 99.9

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, FORMATS)
        _one_of("clip", self.clip, CLIPS)
        pair = self.granularity if isinstance(self.granularity, tuple) else (self.granularity,) * 2
        if len(pair) != 2:
            raise ValueError(
                f"npufa.quantization: granularity has the wrong length, got {pair}; expected one or (key's, value's)")
        for name in pair:
            _one_of("granularity", name, GRANULARITIES)
        modes = self.key_granularity.mode, self.value_granularity.mode
        if modes[0] != modes[1] and modes != (STATIC_MODE, TOKEN_MODE):
            raise ValueError(
                f"npufa.quantization: granularity is a pair that no operator takes, got {pair}; expected equal ones, "
                '"tensor" and "channel" in any order, or one of them for key and "token" for value')
        if not self.symmetric and not self.format.is_integer:
            raise ValueError(
                f"npufa.quantization: symmetric=False does not go with a floating-point dtype, got {self.dtype}; "
                "expected int8 or int4")
        if not 50 <= self.percentile <= 100:
            raise ValueError(f"npufa.quantization: percentile is out of range, got {self.percentile}; expected 50..100")

    @property
    def format(self) -> Format:
        return FORMATS[self.dtype]

    @property
    def key_granularity(self) -> Granularity:
        return GRANULARITIES[self.granularity if isinstance(self.granularity, str) else self.granularity[0]]

    @property
    def value_granularity(self) -> Granularity:
        return GRANULARITIES[self.granularity if isinstance(self.granularity, str) else self.granularity[1]]


def _one_of(argument: str, value: Any, choices: Any) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"npufa.quantization: {argument} is unknown, got {value!r}; expected one of {[*choices]}")
