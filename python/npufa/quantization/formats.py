"""Number formats of a quantised cache: what is stored and how it is read back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

INT4_PER_WORD = 8  # SPEC section 7: an int32 holds eight signed nibbles, lowest first


@dataclass(frozen=True)
class Format:
    """One number format.

    Attributes:
        name: as `QuantConfig.dtype` spells it.
        storage: dtype of the stored tensor.
        low, high: smallest and largest value.
        per_element: values that one stored element holds.
    """

    name: str
    storage: torch.dtype
    low: float
    high: float
    per_element: int = 1

    @property
    def is_integer(self) -> bool:
        return not self.storage.is_floating_point

    def encode(self, values: Tensor) -> Tensor:
        """Rounds float32 values (..., D) half to even, saturating, to the stored tensor (..., D / per_element)."""
        values = values.clamp(self.low, self.high)
        if not self.is_integer:
            return values.to(self.storage)
        integers = values.round()
        if self.per_element == 1:
            return integers.to(self.storage)
        nibbles = integers.to(torch.int32).unflatten(-1, (-1, INT4_PER_WORD)) & 0xF
        return (nibbles << _shifts(values.device)).sum(-1, dtype=torch.int32)

    def decode(self, stored: Tensor) -> Tensor:
        """Returns the float32 values (..., D) of a stored tensor (..., D / per_element)."""
        if self.per_element == 1:
            return stored.to(torch.float32)
        signed = (stored.unsqueeze(-1) << (28 - _shifts(stored.device))) >> 28
        return signed.flatten(-2).to(torch.float32)


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(0, 32, 4, dtype=torch.int32, device=device)


def _float8(dtype: torch.dtype) -> Format:
    limits = torch.finfo(dtype)
    return Format(str(dtype).removeprefix("torch."), dtype, limits.min, limits.max)


FORMATS = {
    one.name: one
    for one in (
        Format("int8", torch.int8, -128, 127),
        Format("int4", torch.int32, -8, 7, INT4_PER_WORD),
        _float8(torch.float8_e4m3fn),
        _float8(torch.float8_e5m2),
    )
}
