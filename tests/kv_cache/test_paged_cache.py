"""PagedKVCache: attention against a float64 reference on contiguous tokens, int8, sharing, refusals."""

import math

import pytest
import torch

from cases.device import on_device
from npufa.kv_cache import OutOfBlocks, PagedKVCache

N, NKV, D = 4, 2, 16


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def reference(query, key, value, window=None, sink=None):
    """Causal attention in float64 of the last tokens (T, N, D) of a sequence, SPEC sections 3 and 4."""
    query, key, value = (t.double() for t in (query, key, value))
    rows, heads, size = query.shape
    shift = key.shape[0] - rows
    key, value = (t.repeat_interleave(heads // t.shape[1], dim=1) for t in (key, value))
    scores = torch.einsum("inh,jnh->nij", query, key) / math.sqrt(size)
    i, j = torch.arange(rows)[:, None] + shift, torch.arange(key.shape[0])[None]
    kept = (j <= i) if window is None else (j <= i) & (j > i - window)
    scores = scores.masked_fill(~kept, -math.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.double().view(heads, 1, 1).expand(-1, rows, 1)], dim=-1)
    weights = torch.softmax(scores, -1)[..., : key.shape[0]]
    return torch.einsum("nij,jnh->inh", weights, value), torch.logsumexp(scores, -1).T[..., None]


def filled(cache, lengths, value_size=D):
    """Sequences with random tokens, grown in turns so that their blocks are interleaved; returns ids and tokens."""
    sequences = [cache.create() for _ in lengths]
    tokens = [(draw(cache.num_layers, n, NKV, D, seed=n).to(cache.dtype),
               draw(cache.num_layers, n, NKV, value_size, seed=n + 1).to(cache.dtype)) for n in lengths]
    for start in range(0, max(lengths), 5):
        for sequence, (key, value) in zip(sequences, tokens):
            cache.append(sequence, key[:, start:start + 5], value[:, start:start + 5])
    return sequences, tokens


CASES = [{}, {"window": 6}, {"sink": True}, {"window": 6, "sink": True}]


@pytest.mark.parametrize("stored", [None, torch.int8])
@pytest.mark.parametrize("block_size", [1, 7, 16])
@pytest.mark.parametrize("case", CASES)
def test_attention_equals_contiguous_attention(stored, block_size, case):
    cache = PagedKVCache(160, block_size, NKV, D, num_layers=2, dtype=torch.float32, kv_cache_dtype=stored)
    lengths, counts = [17, 1, 129], [4, 1, 1]
    sequences, tokens = filled(cache, lengths)
    query = draw(sum(counts), N, D)
    sink = draw(N, seed=9) if case.get("sink") else None
    for layer in range(2):
        output, lse = cache.attention(query, sequences, layer, query_lengths=counts, return_lse=True,
                                      window=case.get("window"), sink=sink)
        parts = [reference(q, key[layer], value[layer], case.get("window"), sink)
                 for q, (key, value) in zip(query.split(counts), tokens)]
        tolerance = 1e-5 if stored is None else 0.03
        torch.testing.assert_close(output.double(), torch.cat([p[0] for p in parts]), atol=tolerance, rtol=1e-5)
        torch.testing.assert_close(lse.double(), torch.cat([p[1] for p in parts]), atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("stored", [None, torch.int8])
@on_device
def test_on_npu(stored):
    cache = PagedKVCache(8, 16, NKV, D, dtype=torch.float16, device="npu", kv_cache_dtype=stored)
    sequences, tokens = [], [(draw(n, NKV, D).half(), draw(n, NKV, D, seed=1).half()) for n in (20, 5)]
    for key, value in tokens:
        sequences.append(cache.create())
        cache.append(sequences[-1], key.npu(), value.npu())
    query = draw(3, N, D).half()
    fork = cache.fork(sequences[0])
    cache.append(fork, tokens[1][0].npu(), tokens[1][1].npu())
    output = cache.attention(query.npu(), sequences, query_lengths=[2, 1])
    expected = torch.cat([reference(q, *t)[0] for q, t in zip(query.split([2, 1]), tokens)])
    torch.testing.assert_close(output.cpu().double(), expected, atol=0.03 if stored else 3e-3, rtol=3e-3)


def test_value_head_dim_and_read():
    cache = PagedKVCache(8, 4, NKV, D, value_head_dim=8, dtype=torch.bfloat16)
    (sequence,), [(key, value)] = filled(cache, [11], value_size=8)
    assert all(torch.equal(got, t[0]) for got, t in zip(cache.read(sequence), (key, value)))
    query = draw(1, N, D).bfloat16()
    torch.testing.assert_close(cache.attention(query, [sequence]).double(), reference(query, key[0], value[0])[0],
                               atol=2e-2, rtol=2e-2)


def test_int8_error_and_bytes():
    exact = PagedKVCache(4, 16, NKV, 128)
    int8 = PagedKVCache(4, 16, NKV, 128, kv_cache_dtype=torch.int8)
    key = draw(33, NKV, 128).half() * torch.logspace(-3, 2, 33).view(-1, 1, 1).half()  # tokens of very different size
    key[3] = 0
    sequence = int8.create()
    int8.append(sequence, key, key)
    error = (int8.read(sequence)[0].float() - key.float()).abs()
    assert bool((error <= key.float().abs().amax(-1, keepdim=True) * (0.5 / 127 + 2**-10)).all())
    ratio = int8.usage().bytes_per_token / exact.usage().bytes_per_token
    assert ratio == (128 + 4) / 256


def test_what_a_sequence_appends_one_by_one_is_what_it_appends_at_once():
    for stored in (None, torch.int8):
        cache = PagedKVCache(16, 4, NKV, D, kv_cache_dtype=stored)
        key, value = draw(13, NKV, D).half(), draw(13, NKV, D, seed=1).half()
        once, stepwise = cache.create(), cache.create()
        cache.append(once, key, value)
        for t in range(13):
            cache.append(stepwise, key[t:t + 1], value[t:t + 1])
        assert all(torch.equal(a, b) for a, b in zip(cache.read(once), cache.read(stepwise)))


def test_layer_by_layer():
    cache = PagedKVCache(8, 4, NKV, D, num_layers=3, dtype=torch.float32)
    sequence = cache.create()
    cache.extend(sequence, list(range(6)))
    key, value = draw(3, 6, NKV, D), draw(3, 6, NKV, D, seed=1)
    other = cache.create(list(range(6)))
    assert cache.length(other) == 0  # nothing is found before commit
    with pytest.raises(ValueError, match="6 reserved tokens without contents; expected commit before fork"):
        cache.fork(sequence)
    for layer in range(3):
        cache.write(layer, cache.slot_mapping(sequence), key[layer], value[layer])
    cache.commit(sequence)
    assert cache.length(cache.create(list(range(6)))) == 4
    assert torch.equal(cache.read(sequence, 2)[0], key[2])


def test_slots_and_block_table():
    cache = PagedKVCache(8, 4, NKV, D)
    sequences, _ = filled(cache, [6, 9, 2])
    table = cache.block_table(sequences)
    assert table.shape == (3, 3) and table.dtype == torch.int32 and table[2, 1:].tolist() == [-1, -1]
    for row, sequence in zip(table.tolist(), sequences):
        expected = [row[t // 4] * 4 + t % 4 for t in range(cache.length(sequence))]
        assert cache.slot_mapping(sequence).tolist() == expected
        assert cache.slot_mapping(sequence, 1, 2).tolist() == expected[1:2]
    assert cache.block_table([]).shape == (0, 0)


def test_prefix_sharing_and_reuse_in_order():
    cache = PagedKVCache(4, 2, NKV, D)
    key = draw(8, NKV, D).half()
    first = cache.create()
    cache.append(first, key[:6], key[:6], [1, 2, 3, 4, 5, 6])
    second = cache.create([1, 2, 3, 4, 9, 9])
    assert cache.length(second) == 4 and cache.blocks(second) == cache.blocks(first)[:2]
    assert cache.usage().shared_blocks == 2 and cache.usage().used_blocks == 3
    assert cache.length(cache.create([3, 4, 1, 2])) == 0  # the same blocks after other tokens are other contents
    assert cache.length(cache.create([1, 2, 3])) == 2
    for sequence in list(cache._sequences):
        cache.free(sequence)
    assert cache.usage().cached_blocks == 3 and cache.usage().used_blocks == 0
    grown = cache.create()
    cache.append(grown, key[:4], key[:4])  # takes the free block, then the end of the first sequence
    assert cache.length(cache.create([1, 2, 3, 4, 5, 6])) == 4


def test_prefix_caching_can_be_left_off():
    cache = PagedKVCache(4, 2, NKV, D, prefix_caching=False)
    cache.append(cache.create(), tokens(4), tokens(4), [1, 2, 3, 4])
    assert cache.length(cache.create([1, 2, 3, 4])) == 0
    cache.free(0)
    assert cache.usage().cached_blocks == 0 and cache.usage().free_blocks == 4


def test_refusals_change_nothing():
    cache = PagedKVCache(3, 4, NKV, D)
    key = draw(13, NKV, D).half()
    sequence = cache.create()
    cache.append(sequence, key[:10], key[:10])
    fork = cache.fork(sequence)
    before = cache.usage(), cache.blocks(sequence), cache.blocks(fork)
    with pytest.raises(OutOfBlocks, match="1 blocks are needed, got 0 of 3"):
        cache.append(fork, key[:1], key[:1])
    assert before == (cache.usage(), cache.blocks(sequence), cache.blocks(fork))
    cache.free(sequence)
    cache.append(fork, key[:1], key[:1])  # the last owner writes in place
    assert torch.equal(cache.read(fork)[0], torch.cat([key[:10], key[:1]]))


def test_figures():
    cache = PagedKVCache(10, 8, NKV, D, num_layers=2)
    filled(cache, [9, 3])
    usage = cache.usage()
    assert (usage.used_blocks, usage.tokens, usage.filled_slots, usage.sequences) == (3, 12, 12, 2)
    assert usage.fragmentation == 0.5 and usage.utilisation == 0.3
    assert usage.bytes_per_block == 2 * 2 * 8 * NKV * D * 2 and usage.used_bytes == 3 * usage.bytes_per_block
    assert usage.total_bytes == 10 * usage.bytes_per_block
    assert PagedKVCache(1, 1, 1, 1).usage().fragmentation == 0.0


def tokens(count, heads=NKV, size=D, dtype=torch.float16):
    return torch.zeros(count, heads, size, dtype=dtype)


ILLEGAL = {
    "num_blocks is not positive, got 0": lambda c: PagedKVCache(0, 4, NKV, D),
    "value_head_dim exceeds head_dim, got 32": lambda c: PagedKVCache(1, 4, NKV, D, value_head_dim=32),
    "dtype is not supported, got torch.float64": lambda c: PagedKVCache(1, 4, NKV, D, dtype=torch.float64),
    "kv_cache_dtype is not supported, got torch.uint8":
        lambda c: PagedKVCache(1, 4, NKV, D, kv_cache_dtype=torch.uint8),
    "sequence is unknown, got 7": lambda c: c.free(7),
    "tokens is negative, got -1": lambda c: c.extend(0, -1),
    "length is out of range, got 6; expected 0 to 5": lambda c: c.truncate(0, 6),
    r"key does not fit, got \(1, 3, 16\)": lambda c: c.append(0, tokens(1, 3), tokens(1)),
    "value does not fit.*torch.float32": lambda c: c.append(0, tokens(1), tokens(1, dtype=torch.float32)),
    r"shapes \(2, 1, 2, 16\)": lambda c: c.append(0, tokens(1).expand(2, -1, -1, -1), tokens(1).expand(2, -1, -1, -1)),
    "token_ids has the wrong length, got 2; expected 1": lambda c: c.append(0, tokens(1), tokens(1), [1, 2]),
    "layer is out of range, got 1": lambda c: c.read(0, 1),
    "tokens 0 to 9 are not those of sequence 0": lambda c: c.slot_mapping(0, 0, 9),
    r"query has shape \(1, 3, 16\)": lambda c: c.attention(tokens(1, 3), [0]),
    "query_lengths does not fit, got": lambda c: c.attention(tokens(2, N), [0]),
    "query_lengths exceed the sequences": lambda c: c.attention(tokens(6, N), [0], query_lengths=[6]),
    "window is not positive, got 0": lambda c: c.attention(tokens(1, N), [0], window=0),
}


@pytest.mark.parametrize("message", ILLEGAL)
def test_illegal_calls(message):
    cache = PagedKVCache(4, 4, NKV, D)
    cache.append(cache.create(), tokens(5), tokens(5))
    before = cache.usage()
    with pytest.raises(ValueError, match=message):
        ILLEGAL[message](cache)
    assert cache.usage() == before
