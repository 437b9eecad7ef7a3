"""Mixture of experts: choosing experts, sorting tokens by expert and bringing results back.

Nothing reads a value on the host, so that all of it can be part of a captured graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._quantisation import dynamic_scale, to_int8
from ._table import operator, reject


def _best(scores: Tensor, k: int) -> Tensor:
    """Indices of the k largest in the last dimension, of equal ones the first."""
    return scores.argsort(dim=-1, descending=True, stable=True)[..., :k]


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))


@operator("torch_npu-npu_moe_gating_top_k.md")
def npu_moe_gating_top_k(
    x: Tensor, k: int, *, bias: Tensor | None = None, k_group: int = 1, group_count: int = 1,
    group_select_mode: int = 0, renorm: int = 0, norm_type: int = 0, out_flag: bool = False,
    routed_scaling_factor: float = 1.0, eps: float = 1e-20
) -> tuple[Tensor, Tensor, Tensor]:
    norm = torch.sigmoid(x.float()) if norm_type == 1 else torch.softmax(x.float(), -1)
    scores = norm if bias is None else norm + bias.float()
    if group_count > 1:
        groups = scores.unflatten(-1, (group_count, -1))
        group_scores = groups.topk(2).values.sum(-1) if group_select_mode == 1 else groups.amax(-1)
        chosen = torch.zeros_like(group_scores).scatter_(-1, _best(group_scores, k_group), 1.0)
        scores = groups.masked_fill(chosen.unsqueeze(-1) == 0, -torch.inf).flatten(-2)
    experts = _best(scores, k)
    y = norm.gather(-1, experts)
    if norm_type == 1 or renorm == 1:
        y = y / (y.sum(-1, keepdim=True) + eps)
    out = norm if out_flag else torch.empty_like(norm)
    return (y * routed_scaling_factor).to(x.dtype), experts.to(torch.int32), out


@operator("torch_npu-npu_moe_gating_top_k_softmax.md")
def npu_moe_gating_top_k_softmax(
    x: Tensor, finished: Tensor | None = None, k: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    y, experts, _ = npu_moe_gating_top_k_softmax_v2(x, k=k, finished=finished)
    rows = torch.arange(y.numel(), dtype=torch.int32, device=x.device)
    return y, experts, rows.view(k, -1).t().reshape(y.shape)


@operator("test_npu_moe_gating_top_k_softmax_v2.py")
def npu_moe_gating_top_k_softmax_v2(
    x: Tensor, *, k: int = 1, finished: Tensor | None = None, renorm: int = 0, output_softmax: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    softmax = torch.softmax(x.float(), -1)
    experts = _best(x if renorm == 1 else softmax, k)
    y = torch.softmax(x.gather(-1, experts).float(), -1) if renorm == 1 else softmax.gather(-1, experts)
    if finished is not None:
        experts = experts.masked_fill(finished.view(*experts.shape[:-1], 1), x.shape[-1])
    returned = softmax if output_softmax and renorm == 0 else softmax.new_empty(0)
    return y.to(x.dtype), experts.to(torch.int32), returned


@operator("torch_npu-npu_moe_init_routing.md")
def npu_moe_init_routing(
    x: Tensor, row_idx: Tensor, expert_idx: Tensor, active_num: int
) -> tuple[Tensor, Tensor, Tensor]:
    experts, order = expert_idx.flatten().sort(stable=True)
    rows = row_idx.flatten()[order].long()
    active = min(active_num, x.shape[0]) * expert_idx.shape[1]
    return x[rows[:active] % x.shape[0]], _inverse(rows).to(torch.int32), experts


def _token_counts(counts: Tensor, first: int, experts: int, kind: int) -> Tensor:
    """0: running sums, 1: counts, 2: (expert, count) of those that have tokens, then zeros."""
    if kind != 2:
        return counts.cumsum(0) if kind == 0 else counts
    order = (counts == 0).to(torch.int8).argsort(stable=True)
    table = torch.stack([order + first, counts[order]], 1) * (counts[order] != 0).unsqueeze(1)
    return torch.nn.functional.pad(table, (0, 0, 0, experts - len(counts)))


@operator("torch_npu-npu_moe_init_routing_v2.md")
def npu_moe_init_routing_v2(
    x: Tensor, expert_idx: Tensor, *, scale: Tensor | None = None, active_num: int = -1, expert_capacity: int = -1,
    expert_num: int = -1, drop_pad_mode: int = 0, expert_tokens_num_type: int = 0,
    expert_tokens_num_flag: bool = False, quant_mode: int = -1, active_expert_range: list[int] | None = None,
    row_idx_type: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if quant_mode not in (-1, 1):
        raise reject("npu_moe_init_routing_v2", "quant_mode", quant_mode, "-1 or 1")
    first, end = active_expert_range or (0, expert_num)
    k, experts = expert_idx.shape[1], expert_idx.flatten().long()
    inside = (experts >= first) & (experts < end)
    order = torch.where(inside, experts, torch.iinfo(torch.int32).max).argsort(stable=True)
    counts = (experts.unsqueeze(1) == torch.arange(first, end, device=x.device)).sum(0)
    returned_counts = _token_counts(counts, first, expert_num, 1 if drop_pad_mode else expert_tokens_num_type)
    if drop_pad_mode == 1:
        places = _places(experts[order], order, counts, expert_capacity)
        source = torch.full((end * expert_capacity + 1,), -1, device=x.device)
        source = source.scatter_(0, places, order)[:-1]  # the last one takes what is dropped
        rows = torch.empty_like(order).scatter_(0, order, torch.where(places == len(source), -1, places))
    else:
        source = torch.where(torch.arange(len(order), device=x.device) < inside.sum(), order, -1)
        if active_num > 0:
            source = source[:active_num]
        rows = order if row_idx_type == 1 else torch.where(inside, _inverse(order), -1)
    valid = (source >= 0).unsqueeze(1)
    expanded = x[source.clamp(min=0) // k] * valid
    if quant_mode == 1:
        expanded, scales = _quantised(expanded, experts[source.clamp(min=0)] - first, scale)
    else:
        scales = (x.new_empty(len(source), dtype=torch.float32) if scale is None else
                  scale[source.clamp(min=0) // k] * valid.squeeze(1))
    if drop_pad_mode == 1:
        expanded = expanded.unflatten(0, (end, expert_capacity))
    return expanded, rows.to(torch.int32), returned_counts, scales


def _places(experts: Tensor, order: Tensor, counts: Tensor, capacity: int) -> Tensor:
    """Of each token in sorted order: its row among capacity rows of each expert; the row after all when dropped."""
    within = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[experts]
    return torch.where(within < capacity, experts * capacity + within, len(counts) * capacity)


def _quantised(x: Tensor, experts: Tensor, smooth: Tensor | None) -> tuple[Tensor, Tensor]:
    wide = x.float()
    if smooth is not None:
        wide = wide * (smooth if smooth.shape[0] == 1 else smooth[experts.clamp(0, smooth.shape[0] - 1)])
    scale = dynamic_scale(wide)
    return to_int8(torch.where(scale == 0, wide, wide / scale)), scale.squeeze(1)


@operator("torch_npu-npu_moe_finalize_routing.md")
def npu_moe_finalize_routing(
    expanded_permuted_rows: Tensor, skip1: Tensor | None, skip2: Tensor | None, bias: Tensor | None,
    scales: Tensor | None, expanded_src_to_dst_row: Tensor, export_for_source_row: Tensor | None,
    drop_pad_mode: int = 0, k: int = 1
) -> Tensor:
    rows = expanded_permuted_rows.flatten(0, -2)
    per_token = next((t.shape[1] for t in (scales, export_for_source_row) if t is not None), k)
    places = expanded_src_to_dst_row.long()
    places = places.view(per_token, -1).t() if drop_pad_mode < 2 else places.view(-1, per_token)
    found = rows[places.clamp(min=0)].float() * (places >= 0).unsqueeze(-1)
    if bias is not None and export_for_source_row is not None:
        found = found + bias.float()[export_for_source_row.long()]
    if scales is not None:
        found = found * scales.float().unsqueeze(-1)
    out = found.sum(1)
    for skip in (skip1, skip2):
        out = out if skip is None else out + skip.float()
    return out.to(expanded_permuted_rows.dtype)


@operator("torch_npu-npu_moe_compute_expert_tokens.md")
def npu_moe_compute_expert_tokens(sorted_expert_for_source_row: Tensor, num_expert: int) -> Tensor:
    experts = torch.arange(num_expert, dtype=torch.int32, device=sorted_expert_for_source_row.device)
    return torch.searchsorted(sorted_expert_for_source_row, experts, right=True, out_int32=True)


@operator("torch_npu-npu_moe_re_routing.md")
def npu_moe_re_routing(
    tokens: Tensor, expert_token_num_per_rank: Tensor, *, per_token_scales: Tensor | None = None,
    expert_token_num_type: int = 1, idx_type: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if expert_token_num_type != 1 or idx_type != 0:
        raise reject("npu_moe_re_routing", "expert_token_num_type, idx_type",
                     (expert_token_num_type, idx_type), "1, 0")
    counts = expert_token_num_per_rank.long()
    cell = torch.searchsorted(counts.flatten().cumsum(0), torch.arange(len(tokens), device=tokens.device), right=True)
    order = (cell % counts.shape[1]).argsort(stable=True)
    scales = tokens.new_empty(len(tokens), dtype=torch.float32) if per_token_scales is None else per_token_scales[order]
    return tokens[order], scales, order.to(torch.int32), counts.sum(0).to(expert_token_num_per_rank.dtype)


def _require_plain(name: str, padded_mode: bool) -> None:
    if padded_mode:
        raise reject(name, "padded_mode", padded_mode, "False")


@operator("test_npu_moe_token_permute_and_unpermute.py")
def npu_moe_token_permute(
    tokens: Tensor, indices: Tensor, num_out_tokens: int | None = None, padded_mode: bool = False
) -> tuple[Tensor, Tensor]:
    _require_plain("npu_moe_token_permute", padded_mode)
    order = indices.flatten().argsort(stable=True)
    kept = order[:num_out_tokens] if num_out_tokens else order
    return tokens[kept // (indices.numel() // len(tokens))], _inverse(order).to(torch.int32)


def _rows_or_zero(x: Tensor, places: Tensor) -> Tensor:
    """Rows of x, zero past its end: tokens that num_out_tokens cut off."""
    return x[places.clamp(max=len(x) - 1)] * (places < len(x)).unsqueeze(-1)


@operator("test_npu_moe_token_permute_and_unpermute_backward.py")
def npu_moe_token_permute_grad_v2(
    grad_permuted_tokens: Tensor, sorted_indices: Tensor, tokens_size_0: int, tokens_dtype: torch.dtype,
    num_topK: int, padded_mode: bool = False
) -> Tensor:
    _require_plain("npu_moe_token_permute", padded_mode)
    grad = _rows_or_zero(grad_permuted_tokens.float(), sorted_indices.long())
    return grad.view(tokens_size_0, num_topK, -1).sum(1).to(tokens_dtype)


@operator("test_npu_moe_token_permute_and_unpermute_backward.py")
def npu_moe_token_permute_grad(
    tokens: Tensor, grad_permuted_tokens: Tensor, indices: Tensor, sorted_indices: Tensor, padded_mode: bool = False
) -> Tensor:
    return npu_moe_token_permute_grad_v2(grad_permuted_tokens, sorted_indices, len(tokens), tokens.dtype,
                                         indices.numel() // len(tokens), padded_mode)


@operator("test_npu_moe_token_permute_and_unpermute.py")
def npu_moe_token_unpermute(
    permuted_tokens: Tensor, sorted_indices: Tensor, probs: Tensor | None = None, padded_mode: bool = False,
    restore_shape: list[int] | None = None
) -> Tensor:
    _require_plain("npu_moe_token_unpermute", padded_mode)
    rows = _rows_or_zero(permuted_tokens.float(), sorted_indices.long())
    if probs is not None:
        rows = (rows.view(*probs.shape, -1) * probs.float().unsqueeze(-1)).sum(1)
    return rows.to(permuted_tokens.dtype)


@operator("test_npu_moe_token_permute_and_unpermute.py")
def _npu_moe_token_unpermute(
    permuted_tokens: Tensor, sorted_indices: Tensor, probs: Tensor | None = None, padded_mode: bool = False,
    restore_shape: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    return npu_moe_token_unpermute(permuted_tokens, sorted_indices, probs, padded_mode), permuted_tokens.clone()


@operator("test_npu_moe_token_permute_and_unpermute_backward.py")
def npu_moe_token_unpermute_grad(
    permuted_tokens: Tensor, grad_unpermuted_tokens: Tensor, sorted_indices: Tensor, probs: Tensor | None = None,
    padded_mode: bool = False, restore_shape: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    _require_plain("npu_moe_token_unpermute", padded_mode)
    grad, places = grad_unpermuted_tokens.float(), sorted_indices.long()
    if probs is None:
        spread, d_probs = grad, grad.new_empty(0)
    else:
        spread = (grad.unsqueeze(1) * probs.float().unsqueeze(-1)).flatten(0, 1)
        rows = _rows_or_zero(permuted_tokens.float(), places).view(*probs.shape, -1)
        d_probs = (rows * grad.unsqueeze(1)).sum(-1).to(probs.dtype)
    d_tokens = torch.zeros(len(places), grad.shape[1], device=grad.device).index_copy_(0, places, spread)
    return d_tokens[:len(permuted_tokens)].to(permuted_tokens.dtype), d_probs


@operator("test_npu_moe_token_permute_and_unpermute_backward.py")
def npu_moe_token_unpermute_grad_v2(
    grad_unpermuted_tokens: Tensor, sorted_indices: Tensor, permuted_tokens_size_0: int,
    permuted_tokens_dtype: torch.dtype, probs: Tensor | None = None, padded_mode: bool = False,
    restore_shape: list[int] | None = None, permuted_tokens: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    if permuted_tokens is None:
        permuted_tokens = grad_unpermuted_tokens.new_zeros(
            permuted_tokens_size_0, grad_unpermuted_tokens.shape[1], dtype=permuted_tokens_dtype)
    return npu_moe_token_unpermute_grad(permuted_tokens, grad_unpermuted_tokens, sorted_indices, probs, padded_mode)
