"""npu_prompt_flash_attention against the float64 reference."""

import pytest
import torch

from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import place
from cases.inference import MASK_DTYPES, inference_case

LAYOUTS = ("BSH", "BSND", "BNSD", "BNSD_BSND")


def prompt(layout="BNSD", batch=2, heads=4, kv_heads=2, sq=33, skv=40, dim=32, value_dim=None, dtype=torch.float16,
           seed=0, **kw):
    d, part = Draw(seed), layout.split("_")[0]
    q, k = d.normal((batch, heads, sq, dim), dtype), d.normal((batch, kv_heads, skv, dim), dtype)
    v = d.normal((batch, kv_heads, skv, value_dim or dim), dtype)
    return inference_case("prompt", dict(
        query=place(q, part), key=place(k, part), value=place(v, part), num_heads=heads, num_key_value_heads=kv_heads,
        input_layout=layout, scale_value=dim ** -0.5, **kw))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", range(5))
def test_layout_and_sparse_mode(layout, dtype, mode):
    for seed in range(6):
        random_case("prompt", seed, layout=layout, dtype=dtype, sparse_mode=mode).verify()


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 16, 31, 40, 64, 72, 80, 128, 192, 256, 512])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_head_dim(dim, dtype):
    prompt(dim=dim, dtype=dtype, sparse_mode=3).verify()
    prompt("BSH", dim=dim, value_dim=(dim + 1) // 2, dtype=dtype).verify()


def test_defaults():
    """Layout BSH, one head, key/value heads equal to query heads, next_tokens 0 (only with a mask)."""
    d = Draw(1)
    q, k, v = d.normal((2, 9, 16)), d.normal((2, 12, 16)), d.normal((2, 12, 16))
    inference_case("prompt", dict(query=q, key=k, value=v)).verify()
    inference_case("prompt", dict(query=q, key=k, value=v, num_heads=4)).verify()
    mask = torch.zeros(9, 12, dtype=torch.bool)
    inference_case("prompt", dict(query=q, key=k, value=v, num_heads=4, atten_mask=mask)).verify()


@pytest.mark.parametrize("kind", MASK_DTYPES, ids=str)
@pytest.mark.parametrize("extra", [0, 7])
@pytest.mark.parametrize("lead", [(), (2,), (1,), (2, 1), (1, 1), (2, 4)], ids=str)
def test_mask_shapes(lead, extra, kind):
    mask = Draw(3).mask((*lead, 33 + extra, 40 + extra), kind)
    for mode in (0, 1):
        prompt(atten_mask=mask, sparse_mode=mode, pre_tokens=20, next_tokens=9).verify()


@pytest.mark.parametrize("lengths", [[33], [7], [0], [33, 5], [0, 12], [1, 2, 99]], ids=str)
@pytest.mark.parametrize("kv_lengths", [None, [40], [3], [0], [40, 1], [0, 25], [5, 6, 70, 80]], ids=str)
@pytest.mark.parametrize("mode", [0, 2, 3])
def test_lengths(lengths, kv_lengths, mode):
    prompt(actual_seq_lengths=lengths, actual_seq_lengths_kv=kv_lengths, sparse_mode=mode).verify()


@pytest.mark.parametrize("shape", [(2, 4, 33, 40), (1, 4, 33, 40), (2, 4, 1, 40), (2, 4, 50, 64)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pse_shift(shape, dtype):
    prompt(dtype=dtype, pse_shift=Draw(2).normal(shape, dtype), sparse_mode=3).verify()


def test_pse_shift_is_added_after_scaling():
    pse = torch.full((1, 4, 33, 40), 0.5, dtype=torch.float16)
    pse[..., 0] = 3.0
    prompt(pse_shift=pse).verify()


def test_compressed_alibi():
    pse = Draw(1).normal((1, 1, 1024, 1030), torch.float32)
    prompt(batch=1, heads=1, kv_heads=1, sq=1030, skv=1030, dim=8, dtype=torch.float32, pse_shift=pse,
           sparse_mode=3).verify()


@pytest.mark.parametrize("pre,nxt", [(3, 5), (-2, 8), (8, -2), (-50, 0), (2 ** 63 - 1, 2 ** 63 - 1)])
@pytest.mark.parametrize("lengths", [None, [20, 33]])
def test_bands(pre, nxt, lengths):
    prompt(sparse_mode=4, pre_tokens=pre, next_tokens=nxt, actual_seq_lengths=lengths).verify()


@pytest.mark.parametrize("sq,skv", [(700, 900), (900, 700)])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_long_sequences(sq, skv, dtype):
    prompt(batch=1, heads=2, kv_heads=1, sq=sq, skv=skv, dim=64, dtype=dtype, sparse_mode=3).verify()


def test_single_query_token_obeys_modes():
    """Unlike fused_infer, prompt has no decode path: mode 0 with a mask keeps j <= i + next_tokens."""
    mask = torch.zeros(1, 40, dtype=torch.bool)
    out = prompt(sq=1, atten_mask=mask).verify()
    assert torch.equal(out, prompt(sq=1, sparse_mode=2).verify())


def test_outputs_are_float_like_the_query():
    for dtype in FLOATS:
        assert prompt(dtype=dtype).verify().dtype == dtype
