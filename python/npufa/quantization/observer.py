"""Calibration over several batches: ranges fixed before the cache is filled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import QuantizedKV, check_cache, quantize_with
from .config import QuantConfig
from .grouping import Granularity, heads_first
from .ranges import Range, Samples, choose_range

BINS = 2048
DOUBLINGS = 10  # log2(BINS / 2): after these all counts are in the two bins beside zero, where they stay
SMALLEST_EXPONENT = -100


class KVObserver:
    """Collects statistics of keys and values, then quantises caches with scales that stay the same.

        observer = KVObserver(QuantConfig("int8", "channel", clip="mse"))
        for key, value in batches:
            observer.observe(key, value)
        quantized = observer.quantize(key, value)        # beyond the calibrated range values saturate

    Batches may differ in B and Skv. "absmax" is exact; "percentile" and "mse" come from a histogram of 2048 bins per
    scale, at most 1/512 of the largest magnitude wide, so memory does not grow with the batches.

    Args:
        config: granularity tensor, channel or head. Scales per token depend on the token: :func:`quantize_kv`.
        input_layout, num_key_value_heads, paged: as for :func:`quantize_kv`.

    Raises:
        ValueError: a granularity per token.

    Source: a histogram that grows with the values, an idea of torch.ao.quantization's HistogramObserver.
    """

    def __init__(
        self, config: QuantConfig, *, input_layout: str = "BNSD", num_key_value_heads: int = 0, paged: bool = False
    ) -> None:
        if config.key_granularity.per_token or config.value_granularity.per_token:
            raise ValueError("npufa.quantization: granularity per token cannot be calibrated, got "
                             f"{config.granularity!r}; expected tensor, channel or head, or quantize_kv")
        self.config = config
        self.input_layout = input_layout
        self.num_key_value_heads = num_key_value_heads
        self.paged = paged
        self._histograms: tuple[_Histogram, _Histogram] | None = None

    @torch.no_grad()
    def observe(self, key: Tensor, value: Tensor) -> None:
        """Takes a batch into the statistics; arguments and errors are those of :func:`quantize_kv`."""
        heads = self._check(key, value)
        groups = [granularity.groups(heads_first(tensor, self.input_layout, heads))
                  for tensor, granularity in self._parts(key, value)]
        if self._histograms is None:
            self._histograms = _Histogram(groups[0]), _Histogram(groups[1])
        self._check_groups(groups)
        for histogram, group in zip(self._histograms, groups):
            histogram.add(group.to(torch.float32))

    @torch.no_grad()
    def quantize(self, key: Tensor, value: Tensor) -> QuantizedKV:
        """Quantises a cache by the ranges of the batches observed.

        Raises:
            RuntimeError: nothing was observed.
            ValueError, TypeError: as :func:`quantize_kv`, or heads and head size that differ from those observed.
        """
        if self._histograms is None:
            raise RuntimeError("npufa.quantization: KVObserver has no statistics; expected observe() before quantize()")
        heads = self._check(key, value)
        parts = self._parts(key, value)
        self._check_groups([granularity.groups(heads_first(t, self.input_layout, heads)) for t, granularity in parts])
        key_part, value_part = (
            quantize_with(tensor, choose_range(histogram.samples(), self.config), self.config, granularity,
                          self.input_layout, heads)
            for histogram, (tensor, granularity) in zip(self._histograms, parts))
        return QuantizedKV(key_part, value_part, self.paged)

    def _check(self, key: Tensor, value: Tensor) -> int:
        return check_cache(key, value, self.config, self.input_layout, self.num_key_value_heads, self.paged)

    def _parts(self, key: Tensor, value: Tensor) -> list[tuple[Tensor, Granularity]]:
        return [(key, self.config.key_granularity), (value, self.config.value_granularity)]

    def _check_groups(self, groups: list[Tensor]) -> None:
        assert self._histograms is not None
        for name, histogram, group in zip(("key", "value"), self._histograms, groups):
            if group.shape[0] != histogram.counts.shape[0] or group.device != histogram.counts.device:
                raise ValueError(
                    f"npufa.quantization: {name} does not fit the batches observed before, got {group.shape[0]} scales "
                    f"on {group.device}; expected {histogram.counts.shape[0]} on {histogram.counts.device}")


class _Histogram:
    """Counts of values in bins over [-limit, limit] of each group; limits are powers of two, so that bins of a
    doubled range are pairs of old ones."""

    def __init__(self, groups: Tensor) -> None:
        count = groups.shape[0]
        self.exponents = groups.new_full((count,), SMALLEST_EXPONENT, dtype=torch.int32)
        self.counts = groups.new_zeros(count, BINS, dtype=torch.int64)
        self.extremes = Range(*(groups.new_full((count,), v, dtype=torch.float32) for v in (torch.inf, -torch.inf)))

    def add(self, values: Tensor) -> None:
        if values.shape[1] == 0:
            return
        self.extremes = Range(torch.minimum(self.extremes.low, values.amin(1)),
                              torch.maximum(self.extremes.high, values.amax(1)))
        largest = values.abs().amax(1)
        # frexp says 0 for zero, which would be a range up to 1.
        self._widen(torch.where(largest == 0, SMALLEST_EXPONENT, torch.frexp(largest).exponent))
        limits = self._limits().unsqueeze(1)
        bins = ((values / limits + 1) * (BINS / 2)).long().clamp(0, BINS - 1)
        self.counts.scatter_add_(1, bins, torch.ones_like(bins))

    def samples(self) -> Samples:
        """The centres of the bins with their counts."""
        positions = (torch.arange(BINS, dtype=torch.float32, device=self.counts.device) + 0.5) * (2 / BINS) - 1
        nothing_seen = torch.isinf(self.extremes.low)
        extremes = Range(*(torch.where(nothing_seen, 0.0, limit) for limit in self.extremes))
        return Samples(positions * self._limits().unsqueeze(1), extremes, self.counts)

    def _limits(self) -> Tensor:
        return torch.ldexp(torch.ones_like(self.extremes.low), self.exponents)

    def _widen(self, exponents: Tensor) -> None:
        wanted = torch.maximum(self.exponents, exponents.to(torch.int32))
        if self.counts.any():
            doublings = wanted - self.exponents
            for step in range(min(int(doublings.max()), DOUBLINGS)):
                merged = F.pad(self.counts.unflatten(1, (-1, 2)).sum(2), (BINS // 4, BINS // 4))
                self.counts = torch.where((doublings > step).unsqueeze(1), merged, self.counts)
        self.exponents = wanted
