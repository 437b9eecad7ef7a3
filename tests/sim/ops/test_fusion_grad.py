"""Gradients of npu_fusion_attention (v1, v2, v3) on the simulated NPU against autograd of the float64 reference."""

import pytest
import torch

from cases import Draw
from cases.device import on_device
from cases.fusion import grad_case
from cases.on_npu import on_npu
from sim.ops.random_calls import verify_calls

FEATURES = [
    *({"layout": layout, "dtype": dtype} for layout in ("BSH", "SBH", "BSND", "BNSD", "TND")
      for dtype in (torch.float16, torch.bfloat16, torch.float32)),
    *({"layout": "BNSD", "sparse_mode": mode} for mode in range(7)),
    *({"layout": "TND", "sparse_mode": mode} for mode in (0, 1, 2, 3, 4, 6, 7, 8)),
    *({"version": version, feature: True} for version in (1, 2, 3) for feature in ("pse", "sink")),
    {"version": 2, "rope": True},
    *({"version": version, "dropout": True} for version in (1, 2, 3)),
    *({"head_dim": dim} for dim in (1, 17, 128, 129, 256, 320, 512)),
]  # fmt: skip


@pytest.mark.parametrize("fixed", FEATURES, ids=str)
@on_device
def test_features(fixed):
    verify_calls("fusion_grad", 500, 3, **fixed)


def call(heads=2, kv_heads=1, sq=33, skv=40, dim=16, dtype=torch.float16, batch=1, version=1, **more):
    """A call without random choices but its numbers, moved to the NPU."""
    d = Draw(3)
    kw = {"query": d.normal((batch, heads, sq, dim), dtype), "key": d.normal((batch, kv_heads, skv, dim), dtype),
          "value": d.normal((batch, kv_heads, skv, dim), dtype), "head_num": heads, "input_layout": "BNSD",
          "scale": dim ** -0.5} | more  # fmt: skip
    return on_npu(grad_case(kw, version, d))


@pytest.mark.parametrize("sq", [1, 63, 64, 65, 127, 129, 255, 256, 257, 321])
@on_device
def test_rows_around_tile_borders(sq):
    call(sq=sq, skv=sq).verify()


@pytest.mark.parametrize("skv", [1, 15, 64, 65, 127, 129, 255, 257, 511, 513, 641])
@on_device
def test_keys_around_tile_borders(skv):
    call(sq=20, skv=skv).verify()


@pytest.mark.parametrize("dim", [63, 65, 127, 136, 257, 640, 768])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@on_device
def test_head_sizes(dim, dtype):
    call(sq=70, skv=200, dim=dim, dtype=dtype).verify()


@pytest.mark.parametrize("mode", [0, 2, 3])
@on_device
def test_one_head_is_shared_by_many_core_groups(mode):
    case = call(heads=3, kv_heads=1, sq=600, skv=1100, dim=64, sparse_mode=mode)
    first = case.verify()
    for again in (case.call(), case.call()):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@on_device
def test_compressed_alibi_rows_collect_what_they_fed(shared, scaled):
    size, batch = 1100, 2
    pse = Draw(8).normal((1 if shared else batch, 1, 1024, size), torch.float32)
    more = {} if scaled else {"pse_type": 0, "version": 2}
    call(heads=1, sq=size, skv=size, dim=4, dtype=torch.float32, batch=batch, pse=pse, sparse_mode=3, **more).verify()


@pytest.mark.parametrize("shape", [(2, 3, 50, 70), (1, 3, 50, 70), (2, 3, 1, 70), (2, 3, 60, 80), (1, 3, 60, 75)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@on_device
def test_bias_of_every_shape(shape, dtype):
    pse = Draw(9).normal(shape, dtype)
    call(heads=3, kv_heads=3, sq=50, skv=70, batch=2, dtype=dtype, pse=pse, sparse_mode=3).verify()


@pytest.mark.parametrize("kind", [2, 3])
@on_device
def test_slopes(kind):
    slopes = Draw(10).uniform((4,), 0.1, 0.5)
    call(heads=4, kv_heads=2, sq=300, skv=300, batch=2, version=2, pse_type=kind, pse=slopes, sparse_mode=2,
         q_start_idx=[3], kv_start_idx=[-4]).verify()  # fmt: skip


@on_device
def test_rows_without_keys_have_no_gradients():
    """Right-down causal with fewer keys than rows: the first rows keep no key; sinks get nothing from them."""
    result = call(heads=2, kv_heads=2, sq=40, skv=9, sparse_mode=3, sink=torch.tensor([0.5, -0.5])).verify()
    assert not result[0][:, :, :31].any()


@on_device
def test_numbers_beyond_the_lengths_do_not_matter():
    d = Draw(4)
    kw = {name: d.normal((24, 2, 16), torch.float16) for name in ("query", "key", "value")}
    case = on_npu(grad_case(kw | {"head_num": 2, "input_layout": "TND", "actual_seq_qlen": [5, 17],
                                  "actual_seq_kvlen": [9, 20], "scale": 0.25}, 1, d))  # fmt: skip
    expected = case.verify()
    for name, used in (("query", 17), ("dy", 17), ("attention_in", 17), ("key", 20), ("value", 20)):
        case.kwargs[name] = case.kwargs[name].clone()
        case.kwargs[name][used:] = torch.nan
    for found, wanted in zip(case.call()[:3], expected[:3], strict=True):
        assert torch.equal(found, wanted)
