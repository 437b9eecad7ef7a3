"""Exact recombination of attentions that one query computed over disjoint sets of keys.

A partial attention is its output, normalised by the keys it saw, with the statistics of its softmax: the log-sum-exp
that `npu_fused_infer_attention_score` returns, or maximum and sum that `npu_fusion_attention` returns. Merging in any
order gives what one call over all keys gives, up to rounding (Milakov and Gimelshein, arXiv 1805.02867).

A row without keys (output 0, log-sum-exp +inf, maximum 0, sum 0; SPEC section 3) contributes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merge_lse", "merge_statistics", "statistics_to_lse"]

STATISTIC_WIDTHS = (1, 8)
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def merge_lse(out_a: Tensor, lse_a: Tensor, out_b: Tensor, lse_b: Tensor) -> tuple[Tensor, Tensor]:
    """Merges two outputs with their log-sum-exp.

    Args:
        out_a, out_b: float16, bfloat16 or float32 (..., Dv) of one shape.
        lse_a, lse_b: float32 (..., 1). `npu_fused_infer_attention_score` returns such pairs for BNSD and TND; an output
            of another layout has to be transposed to the order of its `softmax_lse`.

    Returns:
        output in the dtype of `out_a` (float32 keeps a running merge from rounding), softmax_lse float32. Both are
        differentiable in all inputs.

    Raises:
        TypeError, ValueError: shapes or dtypes that disagree.

    Source: SPEC section 3.
    """
    _check("merge_lse", {"out_a": out_a, "out_b": out_b}, {"lse_a": lse_a, "lse_b": lse_b}, widths=(1,))
    maxima = [torch.where(lse == torch.inf, -torch.inf, lse) for lse in (lse_a, lse_b)]
    sums = [(lse != torch.inf).to(lse.dtype) for lse in (lse_a, lse_b)]
    output, softmax_max, softmax_sum = _merge(out_a, maxima[0], sums[0], out_b, maxima[1], sums[1])
    return output, statistics_to_lse(softmax_max, softmax_sum)


def merge_statistics(
    out_a: Tensor, max_a: Tensor, sum_a: Tensor, out_b: Tensor, max_b: Tensor, sum_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Merges two outputs with maximum and sum of their softmax.

    Args:
        out_a, out_b: float16, bfloat16 or float32 (..., Dv) of one shape.
        max_a, sum_a, max_b, sum_b: float32 (..., 8) as `npu_fusion_attention` returns them for BNSD, or (..., 1).

    Returns:
        output in the dtype of `out_a` (float32 keeps a running merge from rounding), softmax_max and softmax_sum in
        their shape. All are differentiable in all inputs; the operators' statistics are not, so that the gradient of a
        whole attention takes :mod:`npufa.long_context`.

    Raises:
        TypeError, ValueError: shapes or dtypes that disagree.

    Source: SPEC section 3.
    """
    statistics = {"max_a": max_a, "sum_a": sum_a, "max_b": max_b, "sum_b": sum_b}
    _check("merge_statistics", {"out_a": out_a, "out_b": out_b}, statistics)
    width = max_a.shape[-1]
    max_a, sum_a, max_b, sum_b = (t[..., :1] for t in statistics.values())
    max_a, max_b = (torch.where(t == 0, -torch.inf, m) for m, t in ((max_a, sum_a), (max_b, sum_b)))
    output, softmax_max, softmax_sum = _merge(out_a, max_a, sum_a, out_b, max_b, sum_b)
    return output, _widened(softmax_max, width), _widened(softmax_sum, width)


def statistics_to_lse(softmax_max: Tensor, softmax_sum: Tensor) -> Tensor:
    """Returns the log-sum-exp `softmax_max + log(softmax_sum)`, +inf for rows without keys (sum 0), in their shape."""
    seen = softmax_sum != 0
    return torch.where(seen, softmax_max + torch.where(seen, softmax_sum, 1.0).log(), torch.inf)


def _merge(
    out_a: Tensor, max_a: Tensor, sum_a: Tensor, out_b: Tensor, max_b: Tensor, sum_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Merges (..., Dv) outputs with (..., 1) statistics; the maximum of a row without keys is -inf."""
    softmax_max = torch.maximum(max_a, max_b)
    softmax_max = torch.where(softmax_max == -torch.inf, 0.0, softmax_max)
    sum_a, sum_b = sum_a * (max_a - softmax_max).exp(), sum_b * (max_b - softmax_max).exp()
    softmax_sum = sum_a + sum_b
    divisor = torch.where(softmax_sum == 0, 1.0, softmax_sum)
    output = out_a * (sum_a / divisor) + out_b * (sum_b / divisor)  # float32, as the statistics are
    return output.to(out_a.dtype), softmax_max, softmax_sum


def _widened(statistic: Tensor, width: int) -> Tensor:
    return statistic.expand(*statistic.shape[:-1], width).contiguous()


def _check(
    name: str, outputs: dict[str, Tensor], statistics: dict[str, Tensor], widths: tuple[int, ...] = STATISTIC_WIDTHS
) -> None:
    """Checks outputs (..., Dv) of one shape and statistics (..., 1 or 8) of one shape that fit them."""
    first, reference = next(iter(outputs.values())), next(iter(statistics.values()))
    for argument, output in outputs.items():
        if output.dtype not in _DTYPES:
            raise TypeError(f"npufa.{name}: {argument} has an unsupported dtype, got {output.dtype}; expected one of "
                            f"{', '.join(map(str, _DTYPES))}")
        _check_shape(f"npufa.{name}: {argument}", output, first)
    expected = [[*first.shape[:-1], width] for width in widths]
    if [*reference.shape] not in expected:
        raise ValueError(f"npufa.{name}: {next(iter(statistics))} does not fit an output {[*first.shape]}, got "
                         f"{[*reference.shape]}; expected {' or '.join(map(str, expected))} (transpose an output whose "
                         "layout has another order)")
    for argument, statistic in statistics.items():
        if statistic.dtype != torch.float32:
            raise TypeError(f"npufa.{name}: {argument} has the wrong dtype, got {statistic.dtype}; expected "
                            "torch.float32")
        _check_shape(f"npufa.{name}: {argument}", statistic, reference)


def _check_shape(what: str, tensor: Tensor, first: Tensor) -> None:
    if tensor.shape != first.shape:
        raise ValueError(f"{what} differs in shape, got {[*tensor.shape]}; expected {[*first.shape]}")
