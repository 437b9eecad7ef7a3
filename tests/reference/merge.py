"""Merging partial attentions by their definition."""

import torch


def attention_update(lse, outputs):
    """Merged output and log-sum-exp in float64; rows without keys in a part have an infinite log-sum-exp there."""
    lse = torch.stack([part.double() for part in lse])
    lse = torch.where(lse.isinf(), -torch.inf, lse)
    total = lse.logsumexp(0)
    weights = (lse - torch.where(total.isinf(), 0.0, total)).exp()
    output = sum(w[:, None] * part.double() for w, part in zip(weights, outputs, strict=True))
    return output, torch.where(total.isinf(), torch.inf, total)


def ring_update(outputs, maxima, sums):
    """Of both steps outputs (rows, D), maxima and sums (rows,); new ones in float64. A row without keys has sum 0."""
    maxima = torch.stack([torch.where(s == 0, -torch.inf, m.double()) for m, s in zip(maxima, sums, strict=True)])
    sums = torch.stack([s.double() for s in sums])
    largest = maxima.amax(0)
    largest = torch.where(largest.isinf(), 0.0, largest)
    weights = sums * (maxima - largest).exp()
    total = weights.sum(0)
    output = sum(w[:, None] * part.double() for w, part in zip(weights, outputs, strict=True))
    return output / torch.where(total == 0, 1.0, total)[:, None], largest, total
