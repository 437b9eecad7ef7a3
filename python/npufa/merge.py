"""Exact recombination of attentions that one query computed over disjoint sets of keys.

A partial attention is its output, normalised by the keys it saw, with the statistics of its softmax: the log-sum-exp
that `npu_fused_infer_attention_score` returns, or maximum and sum that `npu_fusion_attention` returns. Merging in any
order gives what one call over all keys gives, up to rounding (Milakov and Gimelshein, arXiv 1805.02867).

A row without keys (output 0, log-sum-exp +inf, maximum 0, sum 0; SPEC section 3) contributes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

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


def npu_ring_attention_update(
    prev_attn_out: Tensor,
    prev_softmax_max: Tensor,
    prev_softmax_sum: Tensor,
    cur_attn_out: Tensor,
    cur_softmax_max: Tensor,
    cur_softmax_sum: Tensor,
    *,
    actual_seq_qlen: Tensor | None = None,
    input_layout: str = "SBH",
    input_softmax_layout: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    """Updates the attention over the keys seen so far by that over the keys of this step of the ring.

    Name, arguments and defaults are torch_npu's. Rows without keys in one of the two keep the other's result, where the
    formula of the vendor's page gives 0 / 0 once the exponential underflows.

    Args:
        prev_attn_out, cur_attn_out: float16, bfloat16 or float32, SBH (S, B, N*Dv) or TND (T, N, Dv).
        prev_softmax_max, prev_softmax_sum, cur_softmax_max, cur_softmax_sum: float32 (B, N, S, 8), TND (T, N, 8).
        actual_seq_qlen: int64, cumulative lengths of the packed sequences with or without the leading 0; TND needs it.
        input_layout: "SBH" or "TND".
        input_softmax_layout: of packed statistics: "" and "SBH" heads first within a sequence, as
            `npu_fusion_attention` returns them by default; "TND" tokens first. Not read for SBH.

    Returns:
        attn_out, softmax_max, softmax_sum in shape, dtype and order of the inputs; differentiable in them.

    Raises:
        TypeError, ValueError: shapes, dtypes or layouts that disagree, or lengths that are not cumulative.

    Source: torch_npu 2.13 page `npu_ring_attention_update`.
    """
    name = "npu_ring_attention_update"
    if input_layout not in ("SBH", "TND"):
        raise ValueError(f"npufa.{name}: input_layout is unknown, got {input_layout!r}; expected 'SBH' or 'TND'")
    if input_softmax_layout not in ("", "SBH", "TND"):
        raise ValueError(f"npufa.{name}: input_softmax_layout is unknown, got {input_softmax_layout!r}; "
                         "expected '', 'SBH' or 'TND'")
    for argument, tensor in (("prev_attn_out", prev_attn_out), ("cur_attn_out", cur_attn_out)):
        if tensor.dim() != 3:
            raise ValueError(f"npufa.{name}: {argument} has the wrong number of axes, got {[*tensor.shape]}; "
                             f"expected 3 for {input_layout}")
    outputs = {"prev_attn_out": prev_attn_out, "cur_attn_out": cur_attn_out}
    statistics = {"prev_softmax_max": prev_softmax_max, "prev_softmax_sum": prev_softmax_sum,
                  "cur_softmax_max": cur_softmax_max, "cur_softmax_sum": cur_softmax_sum}
    if input_layout == "SBH":
        outputs = {argument: _sbh_to_bnsd(name, argument, t, prev_softmax_max) for argument, t in outputs.items()}
        _check(name, outputs, statistics)
        attn_out, softmax_max, softmax_sum = _update(outputs, statistics)
        return attn_out.permute(2, 0, 1, 3).flatten(2), softmax_max, softmax_sum
    if actual_seq_qlen is None:
        raise ValueError(f"npufa.{name}: actual_seq_qlen is missing, got None; expected cumulative lengths for TND")
    _check(name, outputs, statistics)
    order = _heads_first_order(name, actual_seq_qlen, prev_attn_out)
    if input_softmax_layout == "TND":
        return _update(outputs, statistics)
    position = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))
    tokens_first = {argument: t.flatten(0, 1)[position].view(t.shape) for argument, t in statistics.items()}
    attn_out, softmax_max, softmax_sum = _update(outputs, tokens_first)
    return attn_out, *(t.flatten(0, 1)[order].view(t.shape) for t in (softmax_max, softmax_sum))


def _update(outputs: dict[str, Tensor], statistics: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    prev_out, cur_out = outputs.values()
    prev_max, prev_sum, cur_max, cur_sum = statistics.values()
    return merge_statistics(prev_out, prev_max, prev_sum, cur_out, cur_max, cur_sum)


def _sbh_to_bnsd(name: str, argument: str, output: Tensor, statistic: Tensor) -> Tensor:
    heads = statistic.shape[1] if statistic.dim() == 4 else 0
    if not heads or output.shape[2] % heads:
        raise ValueError(f"npufa.{name}: prev_softmax_max does not fit {argument} {[*output.shape]}, got "
                         f"{[*statistic.shape]}; expected (B, N, S, 8) with N a divisor of {output.shape[2]}")
    return output.unflatten(2, (heads, -1)).permute(1, 2, 0, 3)


def _heads_first_order(name: str, actual_seq_qlen: Tensor, output: Tensor) -> Tensor:
    """Where element (sequence, head, token) of packed statistics stands when tokens come first, int64 (T*N,)."""
    tokens, heads = output.shape[:2]
    lengths = [int(x) for x in actual_seq_qlen.tolist()]
    ends = [0, *lengths]
    while ends and ends[-1] == 0:
        ends.pop()  # trailing zeros are sequences that take no part
    bounds = [0, *ends[1:], tokens] if ends else [0, tokens]
    if any(end < start for start, end in zip(bounds, bounds[1:])):
        raise ValueError(f"npufa.{name}: actual_seq_qlen is not cumulative within the {tokens} tokens, got {lengths}; "
                         "expected lengths like [2, 5, 9]")
    index = torch.arange(tokens * heads).view(tokens, heads)
    return torch.cat([index[start:end].T.flatten() for start, end in zip(bounds, bounds[1:])]).to(output.device)


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
