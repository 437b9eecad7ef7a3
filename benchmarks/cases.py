"""What a row of the benchmark is: one problem, solved by an npufa operator and by something to compare it with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from timing import Run

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
NAMES = {F32: "f32", F16: "f16", BF16: "bf16"}
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Accuracy:
    """How results are judged, on what may be a part of them: ``part`` takes that part of our result, ``other`` of the
    other side's; ``exact`` computes it in float64."""

    exact: Callable[[], Tensors]
    part: Callable[[Tensors], Tensors]
    other: Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Sides:
    """Both sides of a case. Without ``accuracy`` the other side solves another problem or solves it by our kernels."""

    ours: Run
    other: Run
    accuracy: Accuracy | None = None


@dataclass(frozen=True)
class Case:
    """``bar`` is the least acceptable ratio other time / npufa time; None: informational."""

    group: str
    operator: str
    problem: str
    dtype: torch.dtype
    against: str  # the other side
    bar: float | None
    quick: bool  # part of --quick
    build: Callable[[], Sides]

    @property
    def name(self) -> str:
        return f"{self.group} {self.operator} {self.problem} {NAMES[self.dtype]} against {self.against}"


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Normal numbers, the same for the same shape and seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + math.prod(shape))).to(dtype)


def inputs(shape: tuple[int, ...], dtype: torch.dtype, grad: bool = False) -> list[Tensor]:
    """query, key and value of one shape."""
    return [random(*shape, dtype=dtype, seed=i).requires_grad_(grad) for i in range(3)]


def sampled_rows(length: int, count: int = 32) -> Tensor:
    """Query rows whose results are compared, the first and the last among them."""
    return torch.linspace(0, length - 1, min(count, length)).long()


def exact_rows(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, causal: bool) -> Tensor:
    """Attention of some query rows in float64; (B, N, S, D), key and value may have fewer heads.

    Causal means aligned at the end: the last query sees the last key.
    """
    group = query.shape[1] // key.shape[1]
    keys, values = (x.double().repeat_interleave(group, 1) for x in (key, value))
    scores = query[:, :, rows].double() @ keys.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if causal:
        last = rows + key.shape[2] - query.shape[2]
        scores.masked_fill_(torch.arange(key.shape[2]) > last[:, None], -math.inf)
    return scores.softmax(-1) @ values
