"""What quantising a cache costs in accuracy and saves in memory, per head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ops import npu_fused_infer_attention_score
from .cache import QuantizedKV
from .grouping import LAYOUTS, heads_first


@dataclass(frozen=True)
class HeadErrors:
    """Errors of each head, float64 (N,) on the CPU.

    Attributes:
        sqnr: signal to quantisation noise, `10 log10(sum x^2 / sum (x - x')^2)` in dB; +inf without any error.
        largest: largest absolute error.
    """

    sqnr: Tensor
    largest: Tensor


@dataclass(frozen=True)
class ErrorReport:
    """Errors of keys, values (Nkv heads each) and of the attention output (N heads; None without a query).

    `print(report)` shows a table with a row per key/value head; its output columns are the worst of the query heads
    that share the head.
    """

    key: HeadErrors
    value: HeadErrors
    output: HeadErrors | None
    nbytes_before: int
    nbytes: int
    description: str

    @property
    def saved(self) -> float:
        """The part of the bytes that quantising saves, scales counted."""
        return 1 - self.nbytes / self.nbytes_before if self.nbytes_before else 0.0

    def __str__(self) -> str:
        parts = [("key", self.key), ("value", self.value)]
        if self.output is not None:
            parts.append(("output", _worst_of_groups(self.output, len(self.key.sqnr))))
        lines = [f"{self.description}: {self.nbytes_before} bytes -> {self.nbytes} bytes, {self.saved:.1%} saved",
                 "head" + "".join(f"{name + ' SQNR':>14}{'max error':>12}" for name, _ in parts)]
        for head in range(len(self.key.sqnr)):
            lines.append(f"{head:4d}" + "".join(
                f"{errors.sqnr[head]:11.1f} dB{errors.largest[head]:12.2e}" for _, errors in parts))
        return "\n".join(lines)


@torch.no_grad()
def error_report(
    quantized: QuantizedKV,
    key: Tensor,
    value: Tensor,
    query: Tensor | None = None,
    *,
    num_heads: int = 0,
    scale: float | None = None,
    **call: Any,
) -> ErrorReport:
    """Compares a quantised cache with the one it was made from.

    Args:
        quantized: of `key` and `value`.
        key, value: as quantised.
        query: in the layout of `key` (packed or paged: any that goes with `call`); None leaves the output out.
        num_heads: N, needed for a query in BSH and else read from its shape.
        scale: of the scores; 1 / sqrt(D) when None.
        call: further arguments of `npu_fused_infer_attention_score` for both calls: sparse_mode, lengths, block_table
            and block_size, and input_layout where the query's is not the cache's.

    Raises:
        ValueError: tensors that do not fit, besides what the operator raises.
    """
    restored = quantized.dequantize()
    heads, layout = quantized.key.num_heads, quantized.key.input_layout
    for name, tensor, other in (("key", key, restored[0]), ("value", value, restored[1])):
        if tensor.shape != other.shape:
            raise ValueError(f"npufa.quantization: {name} is not what was quantised, got shape {tuple(tensor.shape)}; "
                             f"expected {tuple(other.shape)}")
    errors = [_errors(heads_first(before, layout, heads), heads_first(after, layout, heads))
              for before, after in zip((key, value), restored)]
    output = None
    if query is not None:
        output = _output_errors(quantized, key, value, query, num_heads, scale, {"input_layout": layout} | call)
    part = quantized.key
    description = f"{part.format.name} per {part.granularity.name}"
    if quantized.value.granularity != part.granularity:
        description += f" (value: {quantized.value.granularity.name})"
    return ErrorReport(errors[0], errors[1], output, quantized.nbytes_before, quantized.nbytes, description)


def _output_errors(
    quantized: QuantizedKV, key: Tensor, value: Tensor, query: Tensor, num_heads: int, scale: float | None,
    call: dict[str, Any]
) -> HeadErrors:
    layout = call["input_layout"]
    if layout not in LAYOUTS:
        raise ValueError(f"npufa.quantization: input_layout of query is unknown, got {layout!r}; expected one of "
                         f"{LAYOUTS}")
    if layout == "BSH" and num_heads < 1:
        raise ValueError(f"npufa.quantization: num_heads is needed for a query in BSH, got {num_heads}; expected N")
    _, heads, _, width = heads_first(query, layout, num_heads).shape
    call |= {"num_heads": heads, "scale": 1 / math.sqrt(width) if scale is None else scale}
    plain = npu_fused_infer_attention_score(query, key, value, num_key_value_heads=quantized.key.num_heads, **call)[0]
    reduced = npu_fused_infer_attention_score(query, **quantized.arguments(), **call)[0]
    return _errors(heads_first(plain, layout, heads), heads_first(reduced, layout, heads))


def _errors(before: Tensor, after: Tensor) -> HeadErrors:
    before, after = (t.cpu().double().transpose(0, 1).flatten(1) for t in (before, after))
    if before.shape[1] == 0:
        return HeadErrors(before.new_full(before.shape[:1], torch.inf), before.new_zeros(before.shape[0]))
    noise = before - after
    energy = noise.square().sum(1)
    sqnr = torch.where(energy == 0, torch.inf, 10 * (before.square().sum(1) / energy).log10())
    return HeadErrors(sqnr, noise.abs().amax(1))


def _worst_of_groups(errors: HeadErrors, groups: int) -> HeadErrors:
    return HeadErrors(errors.sqnr.view(groups, -1).amin(1), errors.largest.view(groups, -1).amax(1))
