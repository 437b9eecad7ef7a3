"""The range of values that a scale covers, and the scale for it.

Every function works on groups: row g of a (G, K) tensor holds the values that share scale g.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .config import QuantConfig
from .formats import Format

MSE_FRACTIONS = 57  # from all of the range down to 30 % of it
MSE_SMALLEST = 0.3
TINY = torch.finfo(torch.float32).tiny


class Range(NamedTuple):
    """Smallest and largest value (G,), float32, that are not clipped."""

    low: Tensor
    high: Tensor


class Samples(NamedTuple):
    """Values (G, K) with the extremes of each group, and how often each occurred (G, K); None is once."""

    values: Tensor
    extremes: Range
    counts: Tensor | None = None


def samples_of(groups: Tensor) -> Samples:
    """Samples that are the values of a cache (G, K) themselves."""
    values = groups.to(torch.float32)
    if values.shape[1] == 0:
        nothing = values.new_zeros(values.shape[0])
        return Samples(values, Range(nothing, nothing))
    return Samples(values, Range(values.amin(1), values.amax(1)))


def choose_range(samples: Samples, config: QuantConfig) -> Range:
    """Returns the range by `config.clip`; a symmetric one reaches equally far on both sides of zero."""
    extremes = _symmetric(samples.extremes) if config.symmetric else samples.extremes
    if config.clip == "absmax" or samples.values.shape[1] == 0:
        return extremes
    if config.clip == "mse":
        return _least_squares(samples, extremes, config)
    if config.symmetric:
        high = _quantile(samples.values.abs(), samples.counts, config.percentile)
        return Range(*(limit.clamp(extremes.low, extremes.high) for limit in (-high, high)))
    low = -_quantile(-samples.values, samples.counts, config.percentile)
    high = _quantile(samples.values, samples.counts, config.percentile)
    return Range(*(limit.clamp(extremes.low, extremes.high) for limit in (low, high)))


def scale_and_offset(chosen: Range, number_format: Format, symmetric: bool) -> tuple[Tensor, Tensor | None]:
    """Returns scale (G,) and offset (G,), None when symmetric, of `value = (stored + offset) * scale`.

    The asymmetric range is widened to hold zero, which is then stored without error and keeps the offset a small
    integer. Groups of nothing but zeros get scale 1, all others at least the smallest normal float32.
    """
    if symmetric:
        return _positive(torch.maximum(-chosen.low, chosen.high) / number_format.high), None
    low, high = chosen.low.clamp(max=0), chosen.high.clamp(min=0)
    # Halves, since the difference of two large values may overflow.
    scale = _positive((high / 2 - low / 2) / ((number_format.high - number_format.low) / 2))
    return scale, (low / scale).round() - number_format.low


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 1.0, scale.clamp(min=TINY))


def stored_values(values: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """Returns what is to be encoded for `values`; the arguments broadcast."""
    scaled = values / scale
    return scaled if offset is None else scaled - offset


def restored_values(stored: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """Returns `(stored + offset) * scale`."""
    return (stored if offset is None else stored + offset) * scale


def _symmetric(limits: Range) -> Range:
    high = torch.maximum(-limits.low, limits.high)
    return Range(-high, high)


def _quantile(values: Tensor, counts: Tensor | None, percent: float) -> Tensor:
    """Returns the smallest value of each group that at least `percent` of its samples do not exceed."""
    ordered, order = values.sort(1)
    weights = torch.ones_like(order) if counts is None else counts.gather(1, order)
    reached = weights.cumsum(1).double()
    index = (reached < reached[:, -1:] * (percent / 100)).sum(1, keepdim=True)
    return ordered.gather(1, index.clamp(max=values.shape[1] - 1)).squeeze(1)


def _least_squares(samples: Samples, widest: Range, config: QuantConfig) -> Range:
    best = Range(*(limit.clone() for limit in widest))
    least = torch.full_like(widest.low, torch.inf, dtype=torch.float64)
    for fraction in torch.linspace(1.0, MSE_SMALLEST, MSE_FRACTIONS).tolist():
        candidate = Range(widest.low * fraction, widest.high * fraction)
        error = _squared_error(samples, candidate, config)
        better = error < least
        least = torch.where(better, error, least)
        best = Range(*(torch.where(better, new, old) for new, old in zip(candidate, best)))
    return best


def _squared_error(samples: Samples, candidate: Range, config: QuantConfig) -> Tensor:
    scale, offset = scale_and_offset(candidate, config.format, config.symmetric)
    scale, offset = scale[:, None], None if offset is None else offset[:, None]
    stored = stored_values(samples.values, scale, offset).clamp(config.format.low, config.format.high)
    rounded = stored.round() if config.format.is_integer else stored.to(config.format.storage).to(torch.float32)
    squares = (restored_values(rounded, scale, offset) - samples.values).double().square()
    return (squares if samples.counts is None else squares * samples.counts).sum(1)
