"""npu_fused_infer_attention_score against the float64 reference."""

import pytest
import torch

from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import compressed_mask, place
from cases.inference import FUSED_LAYOUTS, inference_case

DENSE = [name for name in FUSED_LAYOUTS if "T" not in name.split("_")[0]]
PACKED = [name for name in FUSED_LAYOUTS if "T" in name.split("_")[0]]


def fused(layout="BNSD", batch=2, heads=4, kv_heads=2, sq=9, skv=40, dim=32, value_dim=None, dtype=torch.float16,
          seed=0, **kw):
    d, part = Draw(seed), layout.split("_")[0]
    q, k = d.normal((batch, heads, sq, dim), dtype), d.normal((batch, kv_heads, skv, dim), dtype)
    v = d.normal((batch, kv_heads, skv, value_dim or dim), dtype)
    return inference_case("fused_infer", dict(
        query=place(q, part), key=place(k, part), value=place(v, part), num_heads=heads, num_key_value_heads=kv_heads,
        input_layout=layout, **{"scale": dim ** -0.5, "softmax_lse_flag": True, **kw}))


@pytest.mark.parametrize("layout", DENSE)
@pytest.mark.parametrize("kind", ["plain", "paged", "padding", "prefix", "rope", "int8"])
@pytest.mark.parametrize("sq", [None, 1])
def test_dense_layouts(layout, kind, sq):
    for seed in range(12):
        random_case("fused_infer", seed, layout=layout, kind=kind, sq=sq).verify()


@pytest.mark.parametrize("layout", PACKED)
@pytest.mark.parametrize("kind", ["plain", "paged", "rope"])
@pytest.mark.parametrize("sq", [None, 1])
def test_packed_layouts(layout, kind, sq):
    for seed in range(12):
        random_case("fused_infer", seed, layout=layout, kind=kind, sq=sq).verify()


@pytest.mark.parametrize("layout", FUSED_LAYOUTS)
@pytest.mark.parametrize("mode", range(5))
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sparse_modes(layout, mode, dtype):
    for seed in range(3):
        random_case("fused_infer", seed, layout=layout, sparse_mode=mode, dtype=dtype, kind="plain",
                    cache="float").verify()


@pytest.mark.parametrize("dim", [1, 7, 8, 16, 31, 64, 72, 128, 192, 256, 512])
@pytest.mark.parametrize("sq", [1, 9])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_head_dim(dim, sq, dtype):
    fused(dim=dim, sq=sq, dtype=dtype, value_dim=(dim + 1) // 2).verify()


@pytest.mark.parametrize("sq", [1, 9])
@pytest.mark.parametrize("layout", DENSE)
def test_lse_shape_is_the_same_for_every_layout(layout, sq):
    _, lse = fused(layout, sq=sq).verify()
    assert lse.shape == (2, 4, sq, 1) and lse.dtype == torch.float32
    _, off = fused(layout, sq=sq, softmax_lse_flag=False).verify()
    assert off.shape == (0,)


def test_ring_attention_merges_by_lse():
    whole = fused(batch=1, sq=17, skv=64, dtype=torch.float32)
    parts = []
    for start in (0, 24):
        stop = 24 if start == 0 else 64
        kw = {**whole.kwargs, **{n: whole.kwargs[n][:, :, start:stop] for n in ("key", "value")}}
        parts.append(inference_case("fused_infer", kw).verify())
    lse = torch.stack([p[1] for p in parts])
    weight = (lse - lse.logsumexp(0)).exp()
    merged = sum(w * p[0] for w, p in zip(weight, parts))
    torch.testing.assert_close(merged, whole.call()[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", range(5))
def test_single_token_sees_every_key_but_in_a_band(mode):
    want = fused(sq=1).verify()
    mask = compressed_mask() if mode in (2, 3, 4) else torch.zeros(2, 40, dtype=torch.bool)
    got = fused(sq=1, sparse_mode=mode, atten_mask=mask, pre_tokens=3, next_tokens=0).verify()
    assert torch.allclose(got[0], want[0], atol=1e-3) == (mode != 4)


@pytest.mark.parametrize("shape", [(2, 40), (1, 40), (2, 1, 40), (2, 1, 1, 40), (1, 1, 1, 40), (2, 64)], ids=str)
def test_single_token_masks(shape):
    fused(sq=1, atten_mask=Draw(1).mask(shape, torch.bool), actual_seq_lengths_kv=[40, 13]).verify()


@pytest.mark.parametrize("mode", [0, 2, 3, 4])
def test_single_token_with_rope_obeys_modes(mode):
    d = Draw(2)
    ropes = dict(query_rope=d.normal((2, 4, 1, 64), torch.float16, 0.3),
                 key_rope=d.normal((2, 2, 40, 64), torch.float16, 0.3))
    fused(sq=1, sparse_mode=mode, pre_tokens=3, next_tokens=1, actual_seq_lengths_kv=[40, 20], **ropes).verify()


@pytest.mark.parametrize("sq", [1, 2, 5])
@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD", "BNSD_NBSD", "BSH_NBSD"])
def test_latent_attention(sq, layout):
    """MLA: one key/value head of 512 with a rope part of 64."""
    d, part = Draw(3), layout.split("_")[0]
    ropes = dict(query_rope=place(d.normal((2, 16, sq, 64), torch.bfloat16, 0.3), part),
                 key_rope=place(d.normal((2, 1, 70, 64), torch.bfloat16, 0.3), part))
    fused(layout, heads=16, kv_heads=1, sq=sq, skv=70, dim=512, dtype=torch.bfloat16, sparse_mode=3, **ropes).verify()


@pytest.mark.parametrize("layout", PACKED)
@pytest.mark.parametrize("lengths,kv_lengths,total,kv_total", [
    ([3, 9], [20, 40], 9, 40), ([3, 3, 9], [20, 20, 40], 9, 40), ([0, 9], [0, 40], 9, 40), ([3, 9], [20, 40], 12, 44),
    ([1, 2, 3], [5, 12, 30], 3, 30)], ids=str)
@pytest.mark.parametrize("mode", [0, 3, 4])
def test_packed_lengths(layout, lengths, kv_lengths, total, kv_total, mode):
    d = Draw(4)
    shape = (lambda n, t: (n, t, 16)) if layout.startswith("NTD") else (lambda n, t: (t, n, 16))
    kw = dict(query=d.normal(shape(4, total)), key=d.normal(shape(2, kv_total)), value=d.normal(shape(2, kv_total)),
              num_heads=4, num_key_value_heads=2, input_layout=layout, scale=0.25, softmax_lse_flag=True,
              sparse_mode=mode, pre_tokens=4, next_tokens=0, actual_seq_lengths=lengths,
              actual_seq_lengths_kv=kv_lengths)
    out, lse = inference_case("fused_infer", kw).verify()
    assert lse.shape == (total, 4, 1)
    assert out.shape == ((4, total, 16) if layout.endswith("NTD") else (total, 4, 16))


def test_packed_compressed_alibi():
    d = Draw(5)
    q, k, v = (d.normal((1056, 1, 8)) for _ in range(3))
    inference_case("fused_infer", dict(
        query=q, key=k, value=v, num_heads=1, input_layout="TND", scale=0.3, sparse_mode=3,
        actual_seq_lengths=[20, 1056], actual_seq_lengths_kv=[20, 1056],
        pse_shift=d.normal((1, 1, 1024, 1036)))).verify()


def pages(d, used, block_size, blocks):
    """A block table for `used` lengths with -1 behind each sequence."""
    width = -(-max(used) // block_size)
    order = torch.randperm(blocks, generator=d.generator).to(torch.int32)
    table = torch.full((len(used), width), -1, dtype=torch.int32)
    at = 0
    for b, n in enumerate(used):
        count = -(-n // block_size)
        table[b, :count], at = order[at:at + count], at + count
    return table


@pytest.mark.parametrize("layout", ["TND", "NTD", "TND_NTD", "NTD_TND"])
@pytest.mark.parametrize("cache", ["three", "heads_first", "block_first"])
def test_packed_queries_over_pages(layout, cache):
    """Lengths of paged keys are per sequence, not cumulative; the 4-D form is recognised by its shape."""
    d, used = Draw(6), [37, 5, 64]
    table = pages(d, used, 16, 12)
    shape = {"three": (12, 16, 32), "heads_first": (12, 2, 16, 16), "block_first": (12, 16, 2, 16)}[cache]
    query = d.normal((4, 11, 16) if layout.startswith("NTD") else (11, 4, 16), torch.float16)
    inference_case("fused_infer", dict(
        query=query, key=d.normal(shape, torch.float16), value=d.normal(shape, torch.float16), num_heads=4,
        num_key_value_heads=2, input_layout=layout, scale=0.25, sparse_mode=3, actual_seq_lengths=[1, 4, 11],
        actual_seq_lengths_kv=used, block_table=table, block_size=16, softmax_lse_flag=True)).verify()


def test_equal_extents_mean_block_first():
    d, used = Draw(7), [6, 3]
    table = pages(d, used, 2, 6)
    kw = dict(query=d.normal((5, 4, 8)), key=d.normal((6, 2, 2, 8)), value=d.normal((6, 2, 2, 8)), num_heads=4,
              num_key_value_heads=2, input_layout="TND", actual_seq_lengths=[2, 5], actual_seq_lengths_kv=used,
              block_table=table, block_size=2)
    inference_case("fused_infer", kw).verify()


@pytest.mark.parametrize("sq", [1, 6])
@pytest.mark.parametrize("block_size", [1, 7, 16, 128])
def test_paged_masks_cover_whole_blocks(sq, block_size):
    d, used = Draw(8), [33, 50]
    table = pages(d, used, block_size, 110)
    columns = table.shape[1] * block_size
    mask = d.mask((2, columns) if sq == 1 else (2, 1, sq, columns))
    shape = (110, 2, block_size, 16)
    inference_case("fused_infer", dict(
        query=d.normal((2, 4, sq, 16), torch.bfloat16), key=d.normal(shape, torch.bfloat16),
        value=d.normal(shape, torch.bfloat16), num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale=0.25,
        atten_mask=mask, pse_shift=d.normal((2, 4, sq, columns), torch.bfloat16), actual_seq_lengths_kv=used,
        block_table=table, block_size=block_size, softmax_lse_flag=True)).verify()


@pytest.mark.parametrize("sq", [1, 12])
@pytest.mark.parametrize("length", [None, [20], [1], [0]], ids=str)
@pytest.mark.parametrize("layout", ["BNSD", "BSND", "BSH"])
def test_shared_prefix(sq, length, layout):
    d = Draw(9)
    prefix = [place(d.normal((1, 2, 20, 32), torch.float16), layout) for _ in range(2)]
    columns = 40 + (20 if length is None else length[0])
    mask = d.mask((2, columns) if sq == 1 else (sq, columns))
    kw = dict(key_shared_prefix=prefix[0], value_shared_prefix=prefix[1], actual_shared_prefix_len=length)
    fused(layout, sq=sq, atten_mask=mask, pse_shift=d.normal((1, 4, sq, columns), torch.float16), **kw).verify()
    for mode in (2, 3, 4):
        fused(layout, sq=sq, sparse_mode=mode, pre_tokens=25, next_tokens=3, actual_seq_lengths_kv=[40, 7],
              **kw).verify()


@pytest.mark.parametrize("mode", range(5))
@pytest.mark.parametrize("query_padding,kv_padding", [
    (0, 0), (2, 9), (5, 3), (None, 11), (4, None), (20, 0), (0, 50), (-3, -3)])
def test_left_padding(mode, query_padding, kv_padding):
    d = Draw(10)
    kw = dict(sparse_mode=mode, pre_tokens=6, next_tokens=25, actual_seq_lengths=[4, 9], actual_seq_lengths_kv=[20, 31])
    if mode < 2:
        kw["atten_mask"] = d.mask((2, 9, 40))
    if query_padding is not None:
        kw["query_padding_size"] = torch.tensor([query_padding])
    if kv_padding is not None:
        kw["kv_padding_size"] = torch.tensor([kv_padding])
    fused(pse_shift=d.normal((2, 4, 9, 40), torch.float16), **kw).verify()


def test_padding_sizes_without_lengths_are_ignored():
    want = fused().call()
    got = fused(query_padding_size=torch.tensor([3]), kv_padding_size=torch.tensor([3])).call()
    assert all(torch.equal(a, b) for a, b in zip(got, want))


@pytest.mark.parametrize("sq", [1, 9])
def test_rows_beyond_the_lengths(sq):
    out, lse = fused(sq=sq, actual_seq_lengths=None if sq == 1 else [3, 9], actual_seq_lengths_kv=[0, 40]).verify()
    assert bool((out[0] == 0).all()) and bool(lse[0].isposinf().all())


@pytest.mark.parametrize("sq", [300, 1])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_long_sequences(sq, dtype):
    fused(batch=1, heads=8, kv_heads=1, sq=sq, skv=3000, dim=64, dtype=dtype, sparse_mode=3,
          actual_seq_lengths_kv=[2900]).verify()


def test_wrapper_accepts_the_older_spelling_of_scale():
    import npufa

    case = fused(scale=0.11, softmax_lse_flag=False)
    kw = dict(case.kwargs)
    kw["scale_value"] = kw.pop("scale")
    assert torch.equal(npufa.npu_fused_infer_attention_score(**kw)[0], case.call()[0])
