"""Section 4.3: paged attention, with real block management; memory against reserving the longest length."""

from __future__ import annotations

import torch
from measuring import standard_attention

import npufa
from npufa.kv_cache import PagedKVCache
from report import Report

HEADS, DIM, BLOCK = 8, 64, 16
LENGTHS = [64, 128, 256, 512]
LONGEST = 1024  # what a contiguous cache reserves for every sequence: the guide's 64 blocks of 16 tokens


def show(report: Report, device: str) -> None:
    cache = PagedKVCache(num_blocks=64, block_size=BLOCK, num_kv_heads=HEADS, head_dim=DIM, device=device)
    contents, sequences = [], []
    for length in LENGTHS:
        key, value = (torch.randn(length, HEADS, DIM, dtype=torch.float16) for _ in range(2))
        contents.append((key, value))
        sequences.append(cache.create())
        cache.append(sequences[-1], key[None].to(device), value[None].to(device))

    query = torch.randn(len(LENGTHS), HEADS, DIM, dtype=torch.float16)
    output = cache.attention(query.to(device), sequences).cpu()
    for length, row, q, (key, value) in zip(LENGTHS, output, query, contents, strict=True):
        inputs = (x.float().transpose(0, 1) for x in (q[None], key, value))
        error = (row.float() - standard_attention(*inputs, DIM**-0.5)[:, 0]).abs().max().item()
        report.check(f"{length} cached tokens in {length // BLOCK} blocks", error < 4e-3, f"difference {error:.1e}")

    same = npufa.npu_incre_flash_attention(
        query.to(device).view(len(LENGTHS), 1, HEADS * DIM), cache.storage.key[0], cache.storage.value[0],
        num_heads=HEADS, input_layout="BSH", scale_value=DIM**-0.5, block_table=cache.block_table(sequences),
        block_size=BLOCK, actual_seq_lengths=LENGTHS).cpu()
    error = (same.view_as(output) - output).abs().max().item()
    report.check("the operator called as in the guide gives the same", error < 2e-3, f"difference {error:.1e}")

    usage = cache.usage()
    reserved = len(LENGTHS) * LONGEST * usage.bytes_per_token
    saved = 1 - usage.used_bytes / reserved
    report.say(f"  {usage.used_bytes >> 10} KB in blocks, reserving {LONGEST} tokens each: {int(reserved) >> 10} KB")
    kept, of_reservation = usage.tokens / (usage.used_blocks * BLOCK), sum(LENGTHS) / (len(LENGTHS) * LONGEST)
    report.check("memory use is more than 60 % better", kept / of_reservation > 1.6,
                 f"{kept:.0%} of the slots hold tokens, {of_reservation:.0%} of reserved ones; {saved:.0%} less memory")
