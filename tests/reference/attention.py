"""Softmax attention of one sequence with everything in memory."""

from dataclasses import dataclass

import torch


@dataclass
class Softmax:
    p: torch.Tensor          # (N, R, C) probabilities, before dropout
    p_sink: torch.Tensor     # (N, R) probability of the sink, 0 without one
    e: torch.Tensor          # (N, R, C) exp(s - max)
    rows: torch.Tensor       # (N, R) rows with at least one key
    maximum: torch.Tensor    # (N, R), 0 for rows without keys
    total: torch.Tensor      # (N, R), 0 for rows without keys

    @property
    def lse(self):
        return torch.where(self.rows, self.maximum + self.total.log(), torch.inf)


def repeat_heads(x, heads):
    """(Nkv, C, D) -> (N, C, D): each key/value head serves a group of consecutive query heads."""
    return x.repeat_interleave(heads // x.shape[0], dim=0)


def products(q, k):
    """q k^T over all heads: (N, R, D), (Nkv, C, D) -> (N, R, C)."""
    return q @ repeat_heads(k, q.shape[0]).transpose(1, 2)


def capped(scores, cap):
    """Soft capping; 0 is off."""
    return cap * (scores / cap).tanh() if cap else scores


def softmax(logits, keep, sink=None):
    """Softmax over the kept pairs; rows without keys are all zero. Differentiable in logits and sink."""
    keep = keep & (logits.detach() != -torch.inf)
    rows = keep.any(-1)
    masked = torch.where(keep, logits, -torch.inf)
    shape = logits.shape[:2]
    maximum = masked.detach().amax(-1) if logits.shape[-1] else torch.full(shape, -torch.inf, dtype=torch.float64)
    if sink is not None:
        maximum = torch.maximum(maximum, sink.detach()[:, None])
    maximum = torch.where(rows, maximum, 0.0)
    e = torch.where(keep, (torch.where(keep, logits, 0.0) - maximum[..., None]).exp(), 0.0)
    e_sink = torch.zeros(shape, dtype=torch.float64)
    if sink is not None:
        e_sink = torch.where(rows, (sink[:, None] - maximum).exp(), 0.0)
    total = e.sum(-1) + e_sink
    divisor = torch.where(rows, total, 1.0)
    return Softmax(e / divisor[..., None], e_sink / divisor, e, rows, maximum, total)


def weighted(p, v):
    """p v over all heads: (N, R, C), (Nkv, C, Dv) -> (N, R, Dv)."""
    return p @ repeat_heads(v, p.shape[0])
