"""Rows as far apart as a copy can stride and further, and caches whose offsets do not fit in 32 bits."""

import pytest
import torch

from cases import Draw
from cases.device import on_device
from sim.ops.prefill import prefill

HEADS, DIM, WORDS = 8, 128, 16  # int4: eight elements per word
LENGTH = 40
UNITS = 2**32 // (HEADS * DIM)  # tokens whose elements 32 bits can count


@pytest.mark.parametrize("heads, dim", [(255, 257), (128, 512), (198, 331)])
@on_device
def test_rows_around_65536_elements_apart(heads, dim):
    """65535, 65536 and 65538: 65537 is prime."""
    prefill("BSH", batch=1, heads=heads, kv_heads=heads, sq=3, skv=20, dim=dim).verify()


def untouched(*shape, dtype=torch.int32):
    """Device memory that the host only gives where somebody writes to it."""
    return torch.empty(shape, dtype=dtype, device="npu")


def numbers(*shape):
    return torch.randint(-(2**31), 2**31 - 1, shape, dtype=torch.int32,
                         generator=torch.Generator().manual_seed(1)).npu()


def attention(query, cache, layout, heads=HEADS, **more):
    scale = torch.linspace(0.1, 0.3, heads * DIM).half().view(heads, DIM).npu()
    return torch.ops.npufa.npu_fused_infer_attention_score(
        query, cache, cache, num_heads=heads, num_key_value_heads=heads, input_layout=layout, scale=0.05,
        key_antiquant_scale=scale, value_antiquant_scale=scale, **more)[0].cpu()


def query(*shape):
    return Draw(2).normal(shape, torch.float16).npu()


@on_device
def test_paged_cache():
    blocks, size = UNITS // 128, 128
    used = numbers(3, size, HEADS * WORDS)
    far = untouched(blocks + 3, size, HEADS * WORDS)
    far[-3:] = used
    x = query(1, 1, HEADS * DIM)
    near, got = (attention(x, cache, "BSH", block_size=size, actual_seq_lengths_kv=[3 * size - 5],
                           block_table=torch.tensor([table], dtype=torch.int32).npu())
                 for cache, table in ((used, [0, 1, 2]), (far, [blocks, blocks + 1, blocks + 2])))
    assert torch.equal(got, near)


@on_device
def test_tokens_at_the_end():
    used = numbers(1, LENGTH, HEADS * WORDS)
    far = untouched(1, UNITS + LENGTH, HEADS * WORDS)
    far[:, -LENGTH:] = used
    x, none = query(1, 1, HEADS * DIM), torch.zeros(1, dtype=torch.int64).npu()
    got = attention(x, far, "BSH", actual_seq_lengths_kv=[LENGTH], kv_padding_size=none)
    assert torch.equal(got, attention(x, used, "BSH"))


@on_device
def test_last_batch():
    batch, tokens = 17, UNITS // 16
    used = numbers(1, LENGTH, HEADS, WORDS)
    far = untouched(batch, tokens, HEADS, WORDS)
    far[-1:, :LENGTH] = used
    x = query(batch, 1, HEADS, DIM)
    got = attention(x, far, "BSND", actual_seq_lengths_kv=[0] * (batch - 1) + [LENGTH])
    assert torch.equal(got[-1:], attention(x[-1:], used, "BSND"))
    assert not got[:-1].any()


@on_device
def test_last_head():
    heads = 2 * HEADS + 1
    used = numbers(1, heads, LENGTH, WORDS)
    far = untouched(1, heads, UNITS // 2, WORDS)
    far[:, :, :LENGTH] = used
    x = query(1, heads, 1, DIM)
    got = attention(x, far, "BNSD", heads, actual_seq_lengths_kv=[LENGTH])
    assert torch.equal(got, attention(x, used, "BNSD", heads))


@on_device
def test_dropout_mask():
    """Bit 2^32 of the mask begins the last head."""
    heads, tokens, kept, dim = 2**12 + 1, 2**20, 16, 16
    mask = untouched(heads, tokens // 8, dtype=torch.uint8)
    bits = torch.randint(0, 255, (heads, kept // 8), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(1)).npu()
    mask[:, -kept // 8:] = bits
    x, key = query(1, heads, 1, dim), torch.zeros(1, 1, tokens, dim, dtype=torch.float16).npu()
    key[:, :, -kept:] = query(1, 1, kept, dim)
    settings = dict(input_layout="BNSD", scale=0.25, keep_prob=0.5)
    got = torch.ops.npufa.npu_fusion_attention(x, key, key, heads, sparse_mode=4, pre_tockens=kept - 1, next_tockens=0,
                                               dropout_mask=mask.view(-1), **settings)[0]
    near = torch.ops.npufa.npu_fusion_attention(x, key[:, :, -kept:], key[:, :, -kept:], heads,
                                                dropout_mask=bits.view(-1), **settings)[0]
    assert torch.equal(got.cpu(), near.cpu())
