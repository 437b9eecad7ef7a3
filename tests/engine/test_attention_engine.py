"""AttentionEngine against a float64 reference written from SPEC sections 3 and 4, and its detection of layouts."""

import math

import pytest
import torch

from cases.device import on_device
from npufa.engine import AttentionEngine

N, NKV, D = 4, 2, 16
LAYOUTS = ["BSH", "BSND", "BNSD"]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def reference(query, key, value, lengths=None, causal=True):
    """BSND in, BSND and log-sum-exp (B, N, Sq, 1) out; the last query row of a sequence stands at its last key."""
    query, key, value = (t.double() for t in (query, key, value))
    batch, rows, heads, size = query.shape
    output = torch.zeros(batch, rows, heads, value.shape[-1], dtype=torch.float64)
    lse = torch.full((batch, heads, rows, 1), math.inf, dtype=torch.float64)
    for b in range(batch):
        length = key.shape[1] if lengths is None else lengths[b]
        valid = min(rows, length)
        for head in range(heads):
            kv = head // (heads // key.shape[2])
            for i in range(valid):
                end = length - valid + i + 1 if causal else length
                scores = key[b, :end, kv] @ query[b, i, head] / math.sqrt(size)
                output[b, i, head] = torch.softmax(scores, 0) @ value[b, :end, kv]
                lse[b, head, i, 0] = torch.logsumexp(scores, 0)
    return output, lse


def arranged(tensor, layout):
    """A BSND tensor in another layout, without copying where strides suffice."""
    return {"BSND": tensor, "BNSD": tensor.transpose(1, 2), "BSH": tensor.flatten(2)}[layout]


def inputs(batch=2, rows=5, keys=9, heads=N, kv_heads=NKV, size=D, value_size=D):
    return (draw(batch, rows, heads, size), draw(batch, keys, kv_heads, size, seed=1),
            draw(batch, keys, kv_heads, value_size, seed=2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows, keys", [(1, 9), (5, 9), (9, 9), (17, 129)])
def test_prefill_and_decode_in_every_layout(layout, rows, keys):
    query, key, value = inputs(rows=rows, keys=keys)
    expected, expected_lse = reference(query, key, value)
    output, lse = AttentionEngine(N, D, NKV)(*(arranged(t, layout) for t in (query, key, value)), return_lse=True)
    torch.testing.assert_close(output.double(), arranged(expected, layout), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse.double(), expected_lse, atol=1e-5, rtol=1e-5)


def test_packed_batch():
    engine = AttentionEngine(N, D, NKV)
    query, key, value = inputs(batch=1, rows=6, keys=10)
    output = engine(query[0], key[0], value[0], actual_seq_lengths=[2, 6], actual_seq_lengths_kv=[5, 10])
    parts = [reference(query[:, :2], key[:, :5], value[:, :5])[0], reference(query[:, 2:], key[:, 5:], value[:, 5:])[0]]
    torch.testing.assert_close(output.double(), torch.cat(parts, 1)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows, lengths", [(1, [7, 1]), (5, [9, 6]), (5, [3, 0])])
def test_unified_inference(layout, rows, lengths):
    query, key, value = inputs(rows=rows)
    for b, length in enumerate(lengths):
        key[b, length:], value[b, length:] = math.nan, math.nan
    expected, expected_lse = reference(query, key, value, lengths)
    output, lse = AttentionEngine(N, D, NKV).unified_inference(
        *(arranged(t, layout) for t in (query, key, value)), lengths)
    torch.testing.assert_close(output.double(), arranged(expected, layout), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse.double(), expected_lse, atol=1e-5, rtol=1e-5)


def test_the_example_of_the_guide():
    """Guide section 2.2 names BNSD and passes BSND; prefill of 64 tokens, then one at a length of 65."""
    engine = AttentionEngine(num_heads=8, head_dim=64)
    key_cache, value_cache = draw(1, 128, 8, 64).half(), draw(1, 128, 8, 64, seed=3).half()
    query = draw(1, 64, 8, 64, seed=4).half()
    output, lse = engine.unified_inference(query, key_cache[:, :64], value_cache[:, :64], 64)
    expected, expected_lse = reference(query, key_cache[:, :64], value_cache[:, :64])
    torch.testing.assert_close(output.double(), expected, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(lse.double(), expected_lse, atol=2e-3, rtol=2e-3)
    step = draw(1, 1, 8, 64, seed=5).half()
    output, _ = engine.unified_inference(step, key_cache, value_cache, 65)
    torch.testing.assert_close(output.double(), reference(step, key_cache, value_cache, [65])[0], atol=2e-3, rtol=2e-3)


def test_scale_rules_and_value_head_dim():
    query, key, value = inputs(rows=9, value_size=8)
    doubled = AttentionEngine(N, D, NKV, scale=2 / math.sqrt(D))(query, key, value)
    torch.testing.assert_close(doubled.double(), reference(2 * query, key, value)[0], atol=1e-5, rtol=1e-5)
    engine = AttentionEngine(N, D, NKV)
    full = reference(query, key, value, causal=False)[0]
    torch.testing.assert_close(engine(query, key, value, causal=False).double(), full, atol=1e-5, rtol=1e-5)
    later = torch.ones(9, 9, dtype=torch.bool).triu(1)
    torch.testing.assert_close(engine(query, key, value, atten_mask=later), engine(query, key, value))
    torch.testing.assert_close(engine(query, key, value, sparse_mode=0).double(), full, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="atten_mask is another rule than causal=True"):
        engine(query, key, value, causal=True, atten_mask=later)


def test_paged_and_quantised_caches_go_through():
    query, key, value = inputs(batch=1, rows=3, keys=16)
    engine = AttentionEngine(N, D, NKV)
    table = torch.tensor([[2, 0]], dtype=torch.int32)
    pool = [torch.full((4, 8, NKV, D), math.nan) for _ in range(2)]
    for cache, tokens in zip(pool, (key, value)):
        cache[2], cache[0] = tokens[0, :8], tokens[0, 8:]
    settings = {"block_table": table, "block_size": 8, "actual_seq_lengths_kv": [13]}
    output = engine(query, *(cache.flatten(2) for cache in pool), **settings)
    expected = reference(query, key, value, [13])[0]
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)
    output, _ = engine.unified_inference(query, *(cache.flatten(2) for cache in pool), 13, block_table=table,
                                         block_size=8)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)
    int8 = [t.mul(40).round().clamp(-127, 127).to(torch.int8) for t in (key, value)]
    scale = torch.full((2,), 1 / 40)
    output = engine(query.half(), *int8, antiquant_scale=scale.half())
    torch.testing.assert_close(output.double(), reference(query.half(), *(t.double() / 40 for t in int8))[0],
                               atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("layout", ["BNSD_BSND", "BSH_NBSD"])
def test_transposing_layouts_are_named(layout):
    query, key, value = inputs()
    expected = reference(query, key, value)[0]
    output = AttentionEngine(N, D, NKV, input_layout=layout)(
        *(arranged(t, layout.partition("_")[0]) for t in (query, key, value)))
    expected = expected if layout == "BNSD_BSND" else expected.permute(2, 0, 1, 3)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)


def test_key_tells_what_query_leaves_open():
    query, key, value = inputs(rows=N)  # N == Sq
    output = AttentionEngine(N, D, NKV)(query, key, value)
    torch.testing.assert_close(output.double(), reference(query, key, value)[0], atol=1e-5, rtol=1e-5)


SHAPES = {
    "ambiguous": ((1, N, N, D), (1, NKV, NKV, D), None, "fit BSND and BNSD; expected input_layout to name one"),
    "guide": ((1, 64, N, D), (1, 64, NKV, D), "BNSD", r'query does not have layout BNSD.*looks like BSND: pass input'),
    "no layout": ((2, 5, N + 1, D), (2, 5, NKV, D), None, r"no layout of 4 heads of 16, got shape \(2, 5, 5,"),
    "key": ((2, 5, N, D), (2, NKV + 1, 5, D), None, r"key does not have layout BSND.*got shape \(2, 3, 5, 16\)"),
    "named key": ((2, N, 5, D), (2, 5, NKV, D), "BNSD", "key does not have layout BNSD of query"),
    "dims": ((5, D), (5, D), None, "query has no layout"),
    "unknown": ((2, 5, N, D), (2, 5, NKV, D), "SBH", "input_layout is unknown, got 'SBH'"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_disagree_raise(name):
    query, key, layout, message = SHAPES[name]
    with pytest.raises(ValueError, match=message):
        AttentionEngine(N, D, NKV)(torch.zeros(query), torch.zeros(key), torch.zeros(key), input_layout=layout)
    if layout != "SBH" and layout is not None:
        with pytest.raises(ValueError, match=message):
            AttentionEngine(N, D, NKV, input_layout=layout)(torch.zeros(query), torch.zeros(key), torch.zeros(key))


def test_one_head_bsh_or_tnd_must_be_named():
    """(5, 1, 16) with one head is 5 sequences of a token or 5 tokens."""
    query = draw(5, 1, D)
    with pytest.raises(ValueError, match="fit BSH and TND"):
        AttentionEngine(1, D)(query, query, query)
    output = AttentionEngine(1, D)(query, query, query, input_layout="BSH")
    torch.testing.assert_close(output, query)


@pytest.mark.parametrize("arguments, message", [
    ((0, 16), "num_heads is not positive, got 0"), ((4, 0), "head_dim is not positive"),
    ((4, 16, 3), "num_kv_heads does not divide num_heads, got 3; expected a divisor of 4"),
])
def test_illegal_engines(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttentionEngine(*arguments)


def test_packed_unified_inference_raises():
    tensor = torch.zeros(6, N, D)
    with pytest.raises(ValueError, match="no lengths of packed queries, got TND"):
        AttentionEngine(N, D).unified_inference(tensor, tensor, tensor, 3)


@on_device
def test_on_npu():
    query, key, value = inputs(rows=3)
    expected = reference(query, key, value, [9, 6])[0]
    output, _ = AttentionEngine(N, D, NKV).unified_inference(*(t.half().npu() for t in (query, key, value)), [9, 6])
    assert output.device.type == "npu"
    torch.testing.assert_close(output.cpu().double(), expected, atol=3e-3, rtol=3e-3)
