"""flash_attn's published semantics in float64, one sequence at a time, and the calls that the tests draw."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def close(got: Tensor, expected: Tensor, dtype: torch.dtype = torch.float32) -> None:
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


def window_of(rng: random.Random, keys: int) -> tuple[int, int]:
    """flash_attn 2 drops a right side of all keys and more, so that none is drawn."""
    return rng.choice([-1, -5, 0, 2, keys, keys + 3]), rng.choice([-1, -1, 0, min(1, keys - 1), keys - 1])


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, causal: bool = False, window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0, slopes: Tensor | None = None, sink: Tensor | None = None, qv: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention of q (Sq, N, D) to k (Sk, Nkv, D) and v (Sk, Nkv, Dv): out (Sq, N, Dv), log-sum-exp (N, Sq)."""
    q, k, v = (t.double().transpose(0, 1) for t in (q, k, v))
    group = q.shape[0] // k.shape[0]
    k, v = (t.repeat_interleave(group, 0) for t in (k, v))
    scores = q @ k.mT
    if qv is not None:
        scores = scores + qv.double().transpose(0, 1) @ v.mT
    scores = scores * scale
    scores = softcap * torch.tanh(scores / softcap) if softcap else scores
    rows, keys = q.shape[1], k.shape[1]
    distance = torch.arange(keys) - torch.arange(rows)[:, None] - (keys - rows)  # 0 on the diagonal
    if slopes is not None:
        scores = scores - slopes.double()[:, None, None] * distance.abs()
    left, right = window
    right = 0 if causal else right
    hidden = torch.zeros(rows, keys, dtype=torch.bool)
    if left >= 0:
        hidden |= distance < -left
    if right >= 0:
        hidden |= distance > right
    scores = scores.masked_fill(hidden, -torch.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.double()[:, None, None].expand(-1, rows, 1)], -1)
    empty = hidden.all(-1)
    lse = scores.logsumexp(-1) if scores.shape[-1] else scores.new_full((q.shape[0], rows), torch.inf)
    probabilities = (scores - lse.masked_fill(empty, 0.0)[..., None]).exp()[..., :keys].masked_fill(hidden, 0.0)
    out = (probabilities @ v).masked_fill(empty[:, None], 0.0)
    return out.transpose(0, 1), lse.masked_fill(empty, torch.inf)


SOFTCAPS = (0.0, 0.5, 3.0)


def slopes_of(slopes: Tensor | None, sequence: int) -> Tensor | None:
    return slopes if slopes is None or slopes.dim() == 1 else slopes[sequence]


def dense(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None = None, qv: Tensor | None = None, **rules: Any
          ) -> tuple[Tensor, Tensor]:
    """:func:`attend` for each sequence of a batch: out (B, Sq, N, Dv), log-sum-exp (B, N, Sq)."""
    results = [attend(q[b], k[b], v[b], slopes=slopes_of(slopes, b), qv=None if qv is None else qv[b], **rules)
               for b in range(len(q))]
    return torch.stack([out for out, _ in results]), torch.stack([lse for _, lse in results])


def packed(q: Tensor, k: Tensor, v: Tensor, q_parts: list[range], k_parts: list[range], slopes: Tensor | None = None,
           qv: Tensor | None = None, **rules: Any) -> tuple[Tensor, Tensor]:
    """:func:`attend` for tokens of packed tensors; tokens in no part have 0 and +inf."""
    out = torch.zeros(*q.shape[:2], v.shape[-1], dtype=torch.float64)
    lse = torch.full((q.shape[1], q.shape[0]), torch.inf, dtype=torch.float64)
    for b, (rows, keys) in enumerate(zip(q_parts, k_parts)):
        i, j = torch.tensor([*rows], dtype=torch.long), torch.tensor([*keys], dtype=torch.long)
        part, statistic = attend(q[i], k[j], v[j], slopes=slopes_of(slopes, b), qv=None if qv is None else qv[i],
                                 **rules)
        out, lse = out.index_copy(0, i, part), lse.index_copy(1, i, statistic)
    return out, lse


def rotated(x: Tensor, cos: Tensor, sin: Tensor, first: int, interleaved: bool, moving: bool = True) -> Tensor:
    """x (S, N, D) in float64, each pair of elements turned as a complex number."""
    x, width = x.double(), 2 * cos.shape[1]
    rows = []
    for t in range(len(x)):
        angle = torch.complex(cos[first + t * moving].double(), sin[first + t * moving].double())
        head = x[t, :, :width]
        pairs = head.unflatten(-1, (-1, 2)) if interleaved else head.unflatten(-1, (2, -1)).mT
        turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * angle)
        rows.append(torch.cat([(turned if interleaved else turned.mT).flatten(-2), x[t, :, width:]], -1))
    return torch.stack(rows) if rows else x


def cumulative(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)


def parts(lengths: list[int]) -> list[range]:
    ends = cumulative(lengths).tolist()
    return [range(begin, end) for begin, end in zip(ends, ends[1:])]
