"""npu_advance_step_flashattn against the reference."""

import pytest
import torch

from cases import random_case
from cases.model import operator


@pytest.mark.parametrize("speculative", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_random_states(seed, speculative):
    random_case("advance_step", seed, speculative=speculative).verify()


def state(size, **changes):
    kw = dict(
        input_tokens=torch.arange(size), sampled_token_ids=torch.arange(size)[:, None] + 100,
        input_positions=torch.zeros(size, dtype=torch.int64), seq_lens=torch.arange(size) * 7 + 1,
        slot_mapping=torch.zeros(size, dtype=torch.int64), block_tables=torch.arange(size * 20).view(size, 20),
        num_seqs=size, num_queries=size, block_size=16)
    return {**kw, **changes}


def test_returns_nothing_and_writes_in_place():
    kw = state(5)
    before = {n: kw[n].data_ptr() for n in ("input_tokens", "input_positions", "seq_lens", "slot_mapping")}
    assert operator("npu_advance_step_flashattn")(**kw) in (None, ())
    assert {n: kw[n].data_ptr() for n in before} == before
    assert kw["input_tokens"].tolist() == [100, 101, 102, 103, 104]
    assert kw["input_positions"].tolist() == [1, 8, 15, 22, 29] and kw["seq_lens"].tolist() == [2, 9, 16, 23, 30]
    assert kw["slot_mapping"].tolist() == [1, 20 * 16 + 8, 40 * 16 + 15, 61 * 16 + 6, 81 * 16 + 13]


def test_padding_rows():
    kw = state(6, num_queries=2, sampled_token_ids=torch.tensor([[9], [8]]))
    operator("npu_advance_step_flashattn")(**kw)
    assert kw["input_tokens"].tolist() == [9, 8, 0, 0, 0, 0]
    assert kw["input_positions"].tolist() == [1, 8, 0, 0, 0, 0]
    assert kw["slot_mapping"].tolist()[2:] == [-1] * 4 and kw["seq_lens"].tolist() == [2, 9, 15, 22, 29, 36]


def test_repeated_steps_walk_through_blocks():
    kw = state(3, block_size=4, seq_lens=torch.tensor([0, 3, 4]))
    slots = []
    for _ in range(9):
        operator("npu_advance_step_flashattn")(**kw)
        slots.append(kw["slot_mapping"].tolist())
    want = [[(b * 20 + (start + t) // 4) * 4 + (start + t) % 4 for b, start in enumerate((0, 3, 4))] for t in range(9)]
    assert slots == want and kw["seq_lens"].tolist() == [9, 12, 13]


def test_in_place_views_with_strides():
    wide = torch.arange(20).view(10, 2)
    kw = state(10, seq_lens=wide[:, 0], input_tokens=torch.zeros(10, 3, dtype=torch.int64)[:, 1])
    operator("npu_advance_step_flashattn")(**kw)
    assert wide[:, 0].tolist() == [2 * i + 1 for i in range(10)] and wide[:, 1].tolist() == list(range(1, 20, 2))
    assert kw["input_tokens"].tolist() == list(range(100, 110))


def test_the_last_slot_of_the_table_is_reachable():
    kw = state(1, seq_lens=torch.tensor([20 * 16 - 1]))
    operator("npu_advance_step_flashattn")(**kw)
    assert kw["slot_mapping"].tolist() == [19 * 16 + 15]
