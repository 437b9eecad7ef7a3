"""Calls that give a core group many tiles, sequences or chunks of rows, on a chip with few groups."""

import pytest
import torch

from cases import Draw
from cases.device import core_groups, on_device
from cases.fusion import forward_case, grad_case
from cases.inference import inference_case
from cases.on_npu import on_npu

HALF, FLOAT = torch.float16, torch.float32


def verify(case, groups=1):
    with core_groups(groups):
        return on_npu(case).verify()


def tensors(d, batch=1, heads=1, kv_heads=None, sq=1, skv=1, dim=16, dtype=HALF):
    key = (batch, kv_heads or heads, skv, dim)
    return {"query": d.normal((batch, heads, sq, dim), dtype), "key": d.normal(key, dtype),
            "value": d.normal(key, dtype)}


def training(d, **sizes):
    call = tensors(d, **sizes)
    heads, dim = call["query"].shape[1], call["query"].shape[3]
    return call | {"head_num": heads, "input_layout": "BNSD", "scale": dim**-0.5}


def decode(d, heads, kv_heads, **sizes):
    call = tensors(d, heads=heads, kv_heads=kv_heads, **sizes)
    return call | dict(num_heads=heads, num_key_value_heads=kv_heads, input_layout="BNSD", softmax_lse_flag=True,
                       scale=call["query"].shape[3] ** -0.5)  # fmt: skip


def int8_cache(d, call, dtype=HALF):
    """The same with int8 keys and values of other scales and offsets in each head."""
    shape = (call["num_key_value_heads"], call["key"].shape[3])
    for name in ("key", "value"):
        call[name] = d.integers(call[name].shape, -100, 100)
        call[f"{name}_antiquant_scale"] = d.uniform(shape, 0.008, 0.02, dtype)
        call[f"{name}_antiquant_offset"] = d.uniform(shape, -20.0, 20.0, dtype)
    return call


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("sq, dim, dtype", [(1, 64, HALF), (28, 64, HALF), (28, 72, HALF), (5, 64, FLOAT)])
@on_device
def test_digits_of_int8_caches(sq, dim, dtype, groups):
    d = Draw(1)
    call = int8_cache(d, decode(d, 7, 7, batch=2, sq=sq, skv=150, dim=dim, dtype=dtype), dtype)
    call["query"][1, 2] = 0
    verify(inference_case("fused_infer", call, antiquant=True), groups)


@on_device
def test_second_chunk_of_rows_in_a_later_step():
    verify(forward_case(training(Draw(1), sq=128, skv=1300, dim=256)))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("kind", [2, 3])
@on_device
def test_slopes_of_each_batch(kind, heads):
    d = Draw(1)
    call = training(d, batch=3, heads=heads, sq=20, skv=30) | {"pse_type": kind, "pse": d.uniform((3, heads), 0.0, 0.5)}
    verify(forward_case(call, 2))
    verify(grad_case(call, 2, d))


@pytest.mark.parametrize("kind", [2, 3])
@on_device
def test_slopes_of_many_rows(kind):
    """Distances to both sides: under a causal mask a constant error of a row's distances has no gradient."""
    d = Draw(1)
    call = training(d, sq=300, skv=300, dtype=FLOAT) | {"pse_type": kind, "pse": torch.tensor([0.2])}
    verify(grad_case(call, 2, d))


@pytest.mark.parametrize("batch, skv, groups", [(3, 1000, 2), (3, 1000, 7), (2, 3000, 3)])
@on_device
def test_cuts_within_sequences_of_one_tile(batch, skv, groups):
    verify(inference_case("fused_infer", decode(Draw(1), 1, 1, batch=batch, skv=skv)), groups)


@on_device
def test_parts_of_wide_values_are_merged():
    verify(inference_case("fused_infer", decode(Draw(1), 1, 1, skv=3000, dim=320)), 3)


@pytest.mark.parametrize("length", [1, 30, 40])
@on_device
def test_left_padding_that_just_fits(length):
    call = decode(Draw(1), 2, 1, batch=2, sq=40, skv=40)
    padding = torch.tensor([40 - length])
    verify(inference_case("fused_infer", call | dict(actual_seq_lengths=[length], query_padding_size=padding)))
    verify(inference_case("fused_infer", call | dict(actual_seq_lengths_kv=[length], kv_padding_size=padding)))


@on_device
def test_gradients_of_heads_that_two_groups_share():
    """A group ends a head that the other began, and has another one of the same sequence."""
    d = Draw(1)
    verify(grad_case(training(d, heads=3, sq=20, skv=600), 1, d), 2)
    call = dict(head_num=3, input_layout="TND", scale=0.25, actual_seq_qlen=[10, 90], actual_seq_kvlen=[60, 660])
    call |= {name: d.normal((tokens, 3, 16), HALF) for name, tokens in (("query", 90), ("key", 660), ("value", 660))}
    verify(grad_case(call, 1, d), 2)


@on_device
def test_steps_of_several_tiles():
    d = Draw(1)
    verify(inference_case("fused_infer", decode(d, 4, 4, sq=5, skv=2100)))
    verify(forward_case(training(d, heads=4, sq=5, skv=2100)))


@pytest.mark.parametrize("heads, kv_heads, int8", [(150, 1, False), (280, 2, False), (70, 1, True), (140, 2, True)])
@on_device
def test_groups_of_more_heads_than_a_tile_has_rows(heads, kv_heads, int8):
    d = Draw(1)
    call = decode(d, heads, kv_heads, batch=2, skv=70)
    verify(inference_case("fused_infer", int8_cache(d, call) if int8 else call, antiquant=int8))


@on_device
def test_window_of_many_heads():
    call = training(Draw(1), heads=150, kv_heads=1, sq=2, skv=90)
    verify(forward_case(call | dict(sparse_mode=4, pre_tokens=20, next_tokens=0)))


@pytest.mark.parametrize("dim, rope, dtype", [(32, 200, HALF), (32, 100, FLOAT), (512, 200, HALF)])
@on_device
def test_deep_rope(dim, rope, dtype):
    d = Draw(1)
    call = training(d, heads=2, sq=130, skv=40, dim=dim, dtype=dtype)
    call |= {"query_rope": d.normal((1, 2, 130, rope), dtype, 0.3), "key_rope": d.normal((1, 2, 40, rope), dtype, 0.3)}
    verify(forward_case(call, 2))
    verify(grad_case(call, 2, d))


@on_device
def test_many_sequences():
    """Of a padded batch, and of a packed one with a bias that they share and many tokens behind the last."""
    d = Draw(1)
    verify(grad_case(training(d, batch=7, heads=2, kv_heads=1, sq=20, skv=30), 1, d), 2)
    tokens, ends = 300, [20, 21, 45, 46, 60, 75, 90]
    call = dict(head_num=2, input_layout="TND", scale=0.25, actual_seq_qlen=ends, actual_seq_kvlen=ends,
                pse=d.normal((1, 2, 24, 24), HALF)) | {
        name: d.normal((tokens, 2, 16), HALF) for name in ("query", "key", "value")}  # fmt: skip
    verify(forward_case(call), 2)
    verify(grad_case(call, 1, d), 2)


@on_device
def test_long_shared_prefix():
    d = Draw(1)
    call = decode(d, 4, 2, batch=2, sq=5, skv=40) | {
        f"{name}_shared_prefix": d.normal((1, 2, 1100, 16), HALF) for name in ("key", "value")}  # fmt: skip
    verify(inference_case("fused_infer", call))


@pytest.mark.parametrize("size, columns", [(4, 275), (128, 5)])
@on_device
def test_long_block_tables_and_high_blocks(size, columns):
    """More columns than a byte counts; scales of more blocks than 16 bits count elements."""
    d, blocks = Draw(1), 70_000 // size
    call = decode(d, 2, 1, sq=1, skv=1) | dict(
        block_size=size, block_table=blocks - 1 - torch.arange(columns, dtype=torch.int32)[None],
        actual_seq_lengths_kv=[size * columns - 1])
    for name in ("key", "value"):
        call |= {name: d.integers((blocks, size, 16), -100, 100), f"{name}_antiquant_mode": 4,
                 f"{name}_antiquant_scale": d.uniform((blocks, size), 0.008, 0.02)}
    verify(inference_case("fused_infer", call, antiquant=True), 2)


@on_device
def test_scales_per_token_of_long_steps():
    d = Draw(1)
    call = decode(d, 2, 1, sq=70, skv=700)
    for name in ("key", "value"):
        call |= {name: d.integers(call[name].shape, -100, 100), f"{name}_antiquant_mode": 1,
                 f"{name}_antiquant_scale": d.uniform((1, 700), 0.008, 0.02)}
    verify(inference_case("fused_infer", call, antiquant=True))
