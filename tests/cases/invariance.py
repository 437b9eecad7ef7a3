"""Calls on batches made of the same few sequences, of which the results of the first one are returned."""

import torch

import npufa

from .draw import Draw
from .fusion import cumulative

# Which sequences a batch is made of; 0 is the one whose results count.
COMPOSITIONS = ((0,), (0, 1), (2, 0, 3), (1, 2, 3, 0, 3, 2, 1, 1))
KEYS = (2700, 40, 1500, 3000)
HEADS, KV_HEADS, DIM = 4, 2, 32


def _numbers(sequence, name, shape, dtype):
    return Draw(100 * sequence + sum(map(ord, name))).normal(shape, torch.float32).to(dtype)


def dense(rows, composition, dtype=torch.float32, device="cpu", keys=KEYS, heads=(HEADS, KV_HEADS)):
    """Output and log-sum-exp of fused_infer, keys padded to the longest of the batch."""
    longest = max(keys[i] for i in composition)
    query = torch.stack([_numbers(i, "query", (heads[0], rows, DIM), dtype) for i in composition])
    key, value = (torch.stack([torch.nn.functional.pad(_numbers(i, name, (heads[1], keys[i], DIM), dtype),
                                                       (0, 0, 0, longest - keys[i])) for i in composition])
                  for name in ("key", "value"))
    mode = {"sparse_mode": 3, "actual_seq_lengths": [rows]} if rows > 1 else {}
    out, lse = npufa.npu_fused_infer_attention_score(
        query.to(device), key.to(device), value.to(device), num_heads=heads[0], num_key_value_heads=heads[1],
        scale=DIM ** -0.5, input_layout="BNSD", actual_seq_lengths_kv=[keys[i] for i in composition],
        softmax_lse_flag=True, **mode)
    at = composition.index(0)
    return out[at].cpu(), lse[at].cpu()


def paged(int8, composition, dtype=torch.float32, device="cpu", rows=None, on_device=False):
    """Output of packed tokens over a paged cache; `rows` of each sequence, by default 1, 1, 40 and 2."""
    block, counts = 128, rows or (1, 1, 40, 2)
    keys = [KEYS[i] for i in composition]
    blocks = [-(-n // block) for n in keys]
    table = torch.zeros(len(keys), max(blocks), dtype=torch.int32)
    caches = [torch.zeros(sum(blocks), block, KV_HEADS * DIM, dtype=torch.int8 if int8 else dtype) for _ in range(2)]
    first = 0
    for row, (i, n, used) in enumerate(zip(composition, keys, blocks)):
        table[row, :used] = torch.arange(first, first + used)
        for cache, name in zip(caches, ("key", "value")):
            numbers = _numbers(i, name, (n, KV_HEADS * DIM), torch.float32)
            numbers = (numbers * 40).round().clamp(-127, 127) if int8 else numbers
            cache[first:first + used].view(-1, KV_HEADS * DIM)[:n] = numbers.to(cache.dtype)
        first += used
    tokens = [counts[i] for i in composition]
    query = torch.cat([_numbers(i, "query", (n, HEADS, DIM), dtype) for i, n in zip(composition, tokens)])
    scale = torch.full((KV_HEADS * DIM,), 0.02, device=device)
    scales = {"key_antiquant_scale": scale, "value_antiquant_scale": scale} if int8 else {}
    lengths = {"actual_seq_lengths": cumulative(tokens), "actual_seq_lengths_kv": keys}
    if on_device:
        lengths = {name: torch.tensor(values).to(device) for name, values in lengths.items()}
    out, _ = npufa.npu_fused_infer_attention_score(
        query.to(device), caches[0].to(device), caches[1].to(device), num_heads=HEADS, num_key_value_heads=KV_HEADS,
        scale=DIM ** -0.5, input_layout="TND", block_table=table.to(device), block_size=block, sparse_mode=3, **lengths,
        **scales)
    start = sum(tokens[:composition.index(0)])
    return (out[start:start + counts[0]].cpu(),)


ROWS = (300, 40, 700, 1)


def _training(composition, dtype, device, grad, rows=ROWS, keys=KEYS):
    """Leaves and results of npu_fusion_attention on packed sequences, and where those of the first one lie."""
    shapes = {"query": (HEADS, rows), "key": (KV_HEADS, keys), "value": (KV_HEADS, keys)}
    leaves = {name: torch.cat([_numbers(i, name, (n[i], heads, DIM), dtype) for i in composition]).to(device)
              .requires_grad_(grad) for name, (heads, n) in shapes.items()}
    lengths = [[n[i] for i in composition] for n in (rows, keys)]
    results = npufa.npu_fusion_attention_v2(
        *leaves.values(), HEADS, "TND", scale=DIM ** -0.5, sparse_mode=3, softmax_layout="TND",
        actual_seq_qlen=cumulative(lengths[0]), actual_seq_kvlen=cumulative(lengths[1]))
    before = composition.index(0)
    q, k = (slice(sum(n[:before]), sum(n[:before]) + n[before]) for n in lengths)
    return leaves, results, q, k


def packed(composition, dtype=torch.float32, device="cpu", **sizes):
    _, results, q, _ = _training(composition, dtype, device, False, **sizes)
    return tuple(t[q].cpu() for t in results[:3])


def gradients(composition, dtype=torch.float32, device="cpu", **sizes):
    leaves, results, q, k = _training(composition, dtype, device, True, **sizes)
    dy = torch.cat([_numbers(i, "dy", (sizes.get("rows", ROWS)[i], HEADS, DIM), dtype) for i in composition])
    found = torch.autograd.grad(results[0], list(leaves.values()), dy.to(device))
    return tuple(t[part].cpu() for t, part in zip(found, (q, k, k)))
