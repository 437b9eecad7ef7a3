"""npu_fusion_attention, _v2 and _v3 against the float64 reference."""

import subprocess
import sys

import pytest
import torch

from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import LAYOUTS, UNLIMITED, compressed_mask, forward_case, place
from cases.model import operator

DENSE = [name for name in LAYOUTS if name != "TND"]
MODES = {"TND": (0, 1, 2, 3, 4, 6, 7, 8), **{name: (0, 1, 2, 3, 4, 5, 6) for name in DENSE}}


def dense(layout, batch, heads, kv_heads, sq, skv, dim, value_dim=None, dtype=torch.float32, seed=0, version=1, **kw):
    """A dense call with chosen sizes."""
    d = Draw(seed)
    q, k = d.normal((batch, heads, sq, dim), dtype), d.normal((batch, kv_heads, skv, dim), dtype)
    v = d.normal((batch, kv_heads, skv, value_dim or dim), dtype)
    kw = {"scale": dim ** -0.5, **kw}
    return forward_case(dict(query=place(q, layout), key=place(k, layout), value=place(v, layout), head_num=heads,
                             input_layout=layout, **kw), version)


def packed(q_lengths, k_lengths, q_total, k_total, heads=2, kv_heads=1, dim=16, dtype=torch.float32, version=1, **kw):
    """A packed call with chosen length lists."""
    d = Draw(1)
    return forward_case(dict(
        query=d.normal((q_total, heads, dim), dtype), key=d.normal((k_total, kv_heads, dim), dtype),
        value=d.normal((k_total, kv_heads, dim), dtype), head_num=heads, input_layout="TND", actual_seq_qlen=q_lengths,
        actual_seq_kvlen=k_lengths, scale=0.25, **kw), version)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout,mode", [(name, mode) for name in LAYOUTS for mode in MODES[name]])
def test_layout_and_sparse_mode(layout, mode, dtype, version):
    for seed in range(4):
        random_case("fusion", seed, layout=layout, sparse_mode=mode, dtype=dtype, version=version).verify()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dim", [1, 2, 7, 8, 15, 16, 31, 40, 64, 72, 80, 96, 128, 160, 192, 256, 320, 512, 767, 768])
def test_head_dim(dim, dtype):
    dense("BNSD", 1, 2, 1, 33, 35, dim, dtype=dtype, sparse_mode=3).verify()
    dense("BSH", 2, 4, 4, 5, 19, dim, value_dim=max(1, dim // 2), dtype=dtype).verify()


@pytest.mark.parametrize("sq", [1, 17, 64, 127, 128, 129, 257])
@pytest.mark.parametrize("skv", [1, 17, 127, 128, 129, 255, 513])
def test_lengths_around_tiles(sq, skv):
    for mode in (0, 2, 3):
        dense("BNSD", 1, 2, 1, sq, skv, 24, sparse_mode=mode).verify()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", [0, 3, 4])
def test_long_sequences(mode, dtype):
    dense("BSND", 1, 2, 1, 700, 1100, 64, dtype=dtype, sparse_mode=mode, pre_tokens=150, next_tokens=40).verify()


@pytest.mark.parametrize("heads,kv_heads", [(1, 1), (4, 4), (4, 1), (6, 2), (7, 7), (71, 1), (40, 8)])
@pytest.mark.parametrize("layout", DENSE)
def test_grouped_heads(layout, heads, kv_heads):
    dense(layout, 2, heads, kv_heads, 9, 21, 8, dtype=torch.bfloat16, sparse_mode=2).verify()


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8], ids=str)
@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("lead", [(), (2,), (1,), (2, 1), (1, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("mode", [0, 1, 5])
def test_mask_shapes(mode, lead, extra, kind):
    mask = Draw(3).mask((*lead, 19 + extra, 23 + extra), kind, 0.4)
    dense("BNSD", 2, 3, 3, 19, 23, 16, atten_mask=mask, sparse_mode=mode, prefix=[3, 20], pre_tokens=9,
          next_tokens=12).verify()


@pytest.mark.parametrize("mode", [2, 3, 4])
@pytest.mark.parametrize("shape", [(2048, 2048), (1, 2048, 2048), (1, 1, 2048, 2048)], ids=str)
def test_compressed_mask_content_is_not_read(mode, shape):
    inverted = (~compressed_mask()).view(shape)
    kw = dict(sparse_mode=mode, pre_tokens=6, next_tokens=3)
    with_mask = dense("BNSD", 1, 2, 2, 40, 50, 16, atten_mask=inverted, **kw).verify()
    without = dense("BNSD", 1, 2, 2, 40, 50, 16, **kw).verify()
    assert torch.equal(with_mask[0], without[0])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(2, 4, 33, 40), (1, 4, 33, 40), (2, 4, 1, 40), (2, 4, 36, 48), (1, 4, 40, 40)],
                         ids=str)
def test_pse_shapes(shape, dtype):
    dense("BNSD", 2, 4, 2, 33, 40, 32, dtype=dtype, pse=Draw(5).normal(shape, dtype)).verify()


@pytest.mark.parametrize("layout", ["BNSD", "BSH", "TND"])
@pytest.mark.parametrize("pse_type", [0, 1, 2, 3])
def test_pse_types(pse_type, layout):
    for seed in range(6):
        d = Draw(seed)
        start = dict(q_start_idx=[d.integer(-9, 9)], kv_start_idx=[d.integer(-9, 9)]) if pse_type > 1 else {}
        slopes = d.uniform((2,), 0.0, 0.6)
        bias = slopes if pse_type > 1 else d.normal((1, 2, 30, 40))
        kw = dict(pse=bias, pse_type=pse_type, sparse_mode=seed % 4 + (seed % 4 == 1), version=2, **start)
        if layout == "TND":
            packed([7, 30], [20, 40], 30, 40, **kw).verify()
        else:
            dense(layout, 2, 2, 1, 30, 40, 16, seed=seed, **kw).verify()


@pytest.mark.parametrize("layout", ["BNSD", "SBH"])
@pytest.mark.parametrize("lead", [1, 2])
def test_compressed_alibi(layout, lead):
    size = 1040
    d = Draw(2)
    q, k, v = (d.normal((2, 1, size, 8)) for _ in range(3))
    forward_case(dict(
        query=place(q, layout), key=place(k, layout), value=place(v, layout), head_num=1, input_layout=layout,
        pse=d.normal((lead, 1, 1024, size)), sparse_mode=3, scale=0.3)).verify()


def test_compressed_alibi_packed():
    pse = Draw(2).normal((1, 2, 1024, 1031))
    packed([5, 1036, 1050], [5, 1036, 1050], 1050, 1050, kv_heads=2, dim=4, pse=pse, sparse_mode=2).verify()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sink(layout):
    sink = torch.tensor([3.0, -50.0])
    if layout == "TND":
        packed([3, 9], [11, 30], 9, 30, sink=sink, sparse_mode=3).verify()
    else:
        dense(layout, 2, 2, 2, 9, 30, 16, sink=sink, sparse_mode=2).verify()


@pytest.mark.parametrize("q_lengths,q_total,k_lengths,k_total", [
    ([2, 5, 9], 9, [4, 5, 30], 30),
    ([2, 5, 9, 0, 0], 9, [4, 5, 30, 0, 0], 30),          # trailing sequences that take no part
    ([0, 2, 2, 9], 9, [3, 3, 8, 30], 30),                # sequences without queries or keys
    ([2, 5, 9], 12, [4, 5, 30], 37),                     # padding behind the last sequence
    ([4, 3, 2], 9, [4, 1, 25], 30),                      # plain lengths
    ([9], 9, [30], 30),
    ([1, 2, 3], 3, [1, 2, 3], 3),
], ids=str)
@pytest.mark.parametrize("softmax_layout", ["", "TND"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_packed_lengths(q_lengths, q_total, k_lengths, k_total, softmax_layout, version):
    if version == 3:
        if q_lengths == [4, 3, 2]:
            pytest.skip("tensors are cumulative")
        q_lengths, k_lengths = torch.tensor(q_lengths), torch.tensor(k_lengths)
    for mode in (0, 2, 3, 7, 8):
        packed(q_lengths, k_lengths, q_total, k_total, sparse_mode=mode, pre_tokens=1, next_tokens=1,
               softmax_layout=softmax_layout, version=version).verify()


PLAIN_LENGTHS = """
import torch, npufa
x = torch.randn(95, 1, 8)
for _ in range(3):
    torch.ops.npufa.npu_fusion_attention(x, x, x, 1, "TND", actual_seq_qlen=[40, 30, 25], actual_seq_kvlen=[40, 30, 25])
"""


def test_plain_lengths_warn_once():
    result = subprocess.run([sys.executable, "-c", PLAIN_LENGTHS], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("arning") == 1 and "cumulative" in result.stderr, result.stderr


@pytest.mark.parametrize("pre,nxt", [
    (UNLIMITED, UNLIMITED), (0, 0), (5, -2), (-3, 9), (-30, 5), (5, -60), (2 ** 62, 2 ** 62),
    (2 ** 63 - 1, 2 ** 63 - 1), (-2 ** 62, 2 ** 62), (1, 2 ** 63 - 1)])
@pytest.mark.parametrize("sq,skv", [(33, 33), (40, 20), (20, 40)])
def test_bands(sq, skv, pre, nxt):
    dense("BNSD", 1, 1, 1, sq, skv, 8, sparse_mode=4, pre_tokens=pre, next_tokens=nxt).verify()
    mask = torch.zeros(sq, skv, dtype=torch.bool)
    dense("BNSD", 1, 1, 1, sq, skv, 8, atten_mask=mask, pre_tokens=pre, next_tokens=nxt).verify()
    dense("BNSD", 1, 1, 1, sq, skv, 8, pre_tokens=pre, next_tokens=nxt).verify()


@pytest.mark.parametrize("sq,skv", [(33, 33), (40, 20), (20, 40)])
@pytest.mark.parametrize("mode", [5, 6])
def test_prefix(mode, sq, skv):
    for prefix in ([0, skv], [7, 13], [skv, 1]):
        dense("BSND", 2, 2, 1, sq, skv, 16, sparse_mode=mode, prefix=prefix).verify()
    dense("BSND", 2, 2, 1, sq, skv, 16, sparse_mode=6, prefix=[4, 5], atten_mask=compressed_mask(3072, 2048)).verify()


def test_prefix_packed():
    packed([9, 20], [15, 40], 20, 40, sparse_mode=6, prefix=[12, 0]).verify()


@pytest.mark.parametrize("scale", [0.0, -0.7, 1e-4, 5.0])
def test_scale(scale):
    dense("BNSD", 1, 2, 2, 20, 30, 16, scale=scale, pse=Draw(0).normal((1, 2, 20, 30))).verify()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rope(dtype):
    d = Draw(9)
    for layout in DENSE:
        ropes = [place(d.normal(s, dtype, 0.3), layout) for s in ((2, 4, 9, 64), (2, 1, 21, 64))]
        dense(layout, 2, 4, 1, 9, 21, 40, value_dim=24, dtype=dtype, version=2, sparse_mode=3, query_rope=ropes[0],
              key_rope=ropes[1]).verify()


@pytest.mark.parametrize("layout", DENSE)
def test_versions_agree(layout):
    calls = [dense(layout, 2, 4, 2, 40, 70, 32, version=v, sparse_mode=3) for v in (1, 2, 3)]
    first, *others = [case.verify() for case in calls]
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first[:4], other[:4]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_large_scores_do_not_overflow(dtype):
    """Integers keep the scores exact (beyond the range of float16), so only the softmax is at stake."""
    d = Draw(4)
    q, k, v = (d.integers((1, 2, 33, 16), -250, 250, dtype) for _ in range(3))
    forward_case(dict(query=q, key=k, value=v, head_num=2, input_layout="BNSD", scale=1.0)).verify()


def test_ignored_arguments_change_nothing():
    case = dense("BNSD", 1, 2, 2, 20, 30, 16)
    want = case.call()
    for change in (dict(inner_precise=2), dict(gen_mask_parallel=False), dict(sync=True)):
        assert torch.equal(case.call(**change)[0], want[0]), change


def test_positional_arguments_follow_the_schema():
    case = dense("BNSD", 1, 2, 2, 20, 30, 16, sparse_mode=3)
    kw = case.kwargs
    got = operator(case.op)(kw["query"], kw["key"], kw["value"], 2, "BNSD", None, None, None, kw["scale"], 1.0,
                            UNLIMITED, UNLIMITED, 0, None, None, None, 3)
    assert torch.equal(got[0], case.call()[0])
