"""atb's attention operators: packed query tokens against keys that are packed or paged."""

from dataclasses import dataclass

import torch

from . import attention
from .lengths import as_list

# What a mask means: operator and mask_type (None: it has no such argument) -> "add", "add per token", "causal",
# "alibi", "alibi root" or None.
MASKS = {
    ("_npu_flash_attention", None): "add",
    ("_npu_flash_attention_v2", 0): None,
    ("_npu_flash_attention_v2", 1): "add",
    ("_npu_flash_attention_v2", 2): "add",
    ("_npu_flash_attention_v2", 3): "causal",
    ("_npu_flash_attention_v2", 4): "alibi",
    ("_npu_flash_attention_v2", 5): "alibi root",
    ("_npu_flash_attention_v2", 6): "alibi",
    ("_npu_flash_attention_v3", 3): "causal",
    ("_npu_flash_attention_qlens", None): "causal",
    ("_npu_flash_attention_prefix_v2", 3): "causal",
    ("_npu_flash_attention_prefix_v2", 4): "alibi",
    ("_npu_flash_attention_prefix_v2", 5): "alibi root",
    ("_npu_paged_attention_v2", 0): None,
    ("_npu_paged_attention_v2", 2): "add",
    ("_npu_paged_attention_splitfuse", None): "add per token",
    ("_npu_paged_attention_splitfuse_v2", 5): "causal",
}


@dataclass
class Expected:
    """(T, N, Dv) in float64; `magnitude` is sum_j p_ij |v_j|."""
    out: torch.Tensor
    magnitude: torch.Tensor


def atb(op, query, *, num_heads, num_kv_heads, scale_value, key=None, value=None, key_cache=None, value_cache=None,
        block_table=None, context_lens=None, seq_len=None, mask=None, slopes=None, mask_type=None,
        mla_vheadsize=None, **_):
    kv_heads = num_kv_heads or num_heads
    query = query.double().reshape(len(query), num_heads, -1)
    q_lengths = [1] * len(query) if seq_len is None else as_list(seq_len)
    kv_lengths = q_lengths if context_lens is None else as_list(context_lens)
    use = MASKS.get((op, mask_type))
    out = magnitude = None
    row = key_row = 0
    for b, (rows, keys) in enumerate(zip(q_lengths, kv_lengths)):
        if key_cache is None:
            k, v = (t.reshape(len(t), kv_heads, -1)[key_row:key_row + keys] for t in (key, value))
        else:
            k = _paged(key_cache, block_table[b], keys, kv_heads)
            v = k[..., :mla_vheadsize] if value_cache is None else _paged(value_cache, block_table[b], keys, kv_heads)
        if out is None:
            out = torch.zeros(*query.shape[:2], v.shape[-1], dtype=torch.float64)
            magnitude = out.clone()
        q, k, v = query[row:row + rows].transpose(0, 1), k.double().transpose(0, 1), v.double().transpose(0, 1)
        keep = torch.ones(rows, keys, dtype=torch.bool)
        scores = scale_value * attention.products(q, k)
        if use == "causal" or slopes is not None:
            keep = keep.tril(keys - rows)
        if slopes is not None:
            scores = scores + _alibi(slopes, mask, use, rows, keys)
        elif use not in (None, "causal"):
            scores = scores + _bias(mask, use, b, row, rows, keys, decode=seq_len is None)
        p = attention.softmax(scores, keep.expand_as(scores)).p
        out[row:row + rows] = attention.weighted(p, v).transpose(0, 1)
        magnitude[row:row + rows] = attention.weighted(p, v.abs()).transpose(0, 1)
        row, key_row = row + rows, key_row + keys
    return Expected(out, magnitude)


def _paged(cache, table, count, heads):
    """(count, heads, D)"""
    blocks, size = cache.shape[:2]
    tokens = [cache[int(table[t // size]), t % size].reshape(heads, -1) for t in range(count)]
    return torch.stack(tokens) if tokens else cache.reshape(blocks * size, heads, -1)[:0]


def _alibi(slopes, mask, use, rows, keys):
    """(N, rows, keys): slope times the distance, in the mask's unit."""
    distance = (torch.arange(rows)[:, None] + keys - rows - torch.arange(keys)).clamp(min=0).double()
    distance = distance.sqrt() if use == "alibi root" else distance
    return slopes.double()[:, None, None] * (mask[1, 0].double() - mask[1, 1].double()) * distance


def _bias(mask, use, b, first, rows, keys, decode):
    """(N or 1, rows, keys)"""
    mask = mask.double()
    if use == "add per token":
        return mask[None, first:first + rows, :keys]
    if mask.dim() == 2:
        mask = mask[None]
    if mask.dim() == 3:
        mask = mask[None] if decode else mask[:, None]
    return mask[b if len(mask) > 1 else 0, :, :rows, :keys]
