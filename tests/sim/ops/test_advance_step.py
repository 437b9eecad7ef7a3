"""npu_advance_step_flashattn on the simulated NPU: random request states, and values that only the device sees."""

import pytest
import torch

import reference
from cases import random_case
from cases.advance import IN_PLACE
from cases.device import core_groups, on_device
from cases.model import operator
from cases.on_npu import in_place_on_npu, to_npu
from sim.ops.random_calls import few_or_all_groups

OP = "npu_advance_step_flashattn"


def verify(seed, **fixed):
    case = random_case("advance_step", seed, **fixed)
    with few_or_all_groups(seed):
        assert in_place_on_npu(case).verify() in (None, ())


@pytest.mark.parametrize("speculative", [False, True])
@on_device
def test_random_states(speculative):
    for seed in range(1000, 1150):
        verify(seed, speculative=speculative)


@pytest.mark.parametrize("speculative", [False, True])
@on_device
def test_many_requests(speculative):
    """Several cores."""
    for seed in range(20):
        verify(seed, long=True, speculative=speculative)


def state(requests, *, spec=0, columns=20, block_size=16):
    """A batch with legal values everywhere."""
    size = requests * (1 + spec)
    entries = torch.arange(size)
    kw = dict(
        input_tokens=entries + 7, sampled_token_ids=torch.arange(size).view(requests, 1 + spec) + 100,
        input_positions=entries % 90, seq_lens=entries % 100, slot_mapping=entries + 1000,
        block_tables=torch.arange(requests * columns).view(requests, columns), num_seqs=requests,
        num_queries=requests, block_size=block_size)
    if spec:
        kw |= dict(spec_token=torch.arange(requests * spec).view(requests, spec) + 5000,
                   accepted_num=torch.arange(requests) % (1 + spec))
    return kw


def run(kw):
    """The four tensors after the call, on the CPU."""
    arguments = {name: to_npu(value) for name, value in kw.items()}
    operator(OP)(**arguments)
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and name not in IN_PLACE:
            assert torch.equal(value.cpu(), kw[name]), name
    return {name: arguments[name].cpu() for name in IN_PLACE}


def verify_one_request_stays(kw, illegal, request):
    """The request keeps its values and has no slot; the others are as in the legal call."""
    want, got, width = run(kw), run(kw | illegal), len(kw["seq_lens"]) // kw["num_seqs"]
    rows = slice(request * width, (request + 1) * width)
    for name in IN_PLACE:
        want[name][rows] = -1 if name == "slot_mapping" else (kw | illegal)[name][rows]
        assert torch.equal(got[name], want[name]), name


def changed(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


@pytest.mark.parametrize("position", [20 * 16, 2**31, 2**62, 2**63 - 1, -1, -(2**63)])
@on_device
def test_a_length_beyond_the_table(position):
    kw = state(5)
    verify_one_request_stays(kw, {"seq_lens": changed(kw["seq_lens"], 3, position)}, 3)


@pytest.mark.parametrize("entry", [0, 1, 2])
@pytest.mark.parametrize("position", [20 * 16 - 2, 2**62, 2**63 - 1, -3, -4, -(2**63)])
@on_device
def test_a_position_beyond_the_table(position, entry):
    kw = state(5, spec=2)
    kw["accepted_num"][3] = 1
    verify_one_request_stays(kw, {"input_positions": changed(kw["input_positions"], 3 * 3 + entry, position)}, 3)


@pytest.mark.parametrize("accepted", [-1, 3, 2**40, -(2**63), 2**63 - 1])
@on_device
def test_a_number_of_accepted_tokens_out_of_range(accepted):
    kw = state(4, spec=2)
    verify_one_request_stays(kw, {"accepted_num": changed(kw["accepted_num"], 2, accepted)}, 2)


@on_device
def test_no_sampled_token():
    kw = state(4, spec=2)
    verify_one_request_stays(kw, {"sampled_token_ids": changed(kw["sampled_token_ids"], (1, 0), -1)}, 1)


@pytest.mark.parametrize("spec", [0, 2])
@on_device
def test_a_negative_block(spec):
    kw = state(4, spec=spec)
    verify_one_request_stays(kw, {"block_tables": changed(kw["block_tables"], (2, slice(None)), -1)}, 2)


@pytest.mark.parametrize("entry", [0, 1, 2])
@on_device
def test_a_negative_block_of_one_position(entry):
    kw = state(4, spec=2)
    kw["input_positions"][6:9] = torch.tensor([10, 40, 100])
    column = (int(kw["input_positions"][6 + entry]) + 1 + int(kw["accepted_num"][2])) // 16
    verify_one_request_stays(kw, {"block_tables": changed(kw["block_tables"], (2, column), -1)}, 2)


@on_device
def test_slots_beyond_32_bits():
    kw = state(3)
    kw["block_tables"] += 2**33
    assert torch.equal(run(kw)["slot_mapping"], (kw["block_tables"][:, 0] + kw["seq_lens"] // 16) * 16
                       + kw["seq_lens"] % 16)


@on_device
def test_tokens_behind_a_gap_do_not_count():
    kw = state(2, spec=3)
    kw["sampled_token_ids"][0] = torch.tensor([5, 6, -1, 8])
    assert run(kw)["input_tokens"][0] == 6


@pytest.mark.parametrize("spec", [0, 2])
@on_device
def test_more_units_of_requests_than_cores(spec):
    """2700 requests are 43 units, for 40 vector cores; 300 are five, for two."""
    for requests, groups in ((2700, 20), (300, 1)):
        kw = state(requests, spec=spec)
        want = reference.advance_step(**kw)
        with core_groups(groups):
            got = run(kw)
        assert all(torch.equal(got[name], values) for name, values in zip(IN_PLACE, want, strict=True))


@on_device
def test_the_ends_of_the_table_are_reachable():
    kw = state(2, spec=1)
    kw["accepted_num"][:] = 1
    kw["input_positions"][:] = torch.tensor([20 * 16 - 3, -2, 0, 5])
    got = run(kw)
    assert got["slot_mapping"].tolist() == [20 * 16 - 1, 0, 20 * 16 + 2, 20 * 16 + 7]
    assert got["seq_lens"].tolist() == [20 * 16, 1, 3, 8]


@pytest.mark.parametrize("requests, spec", [(3, 1791), (70, 40), (130, 27)])
@on_device
def test_many_proposed_tokens(requests, spec):
    """Fewer requests in the local memory at a time than a core has."""
    kw = state(requests, spec=spec)
    got, accepted = run(kw), kw["accepted_num"].repeat_interleave(1 + spec)
    positions = kw["input_positions"] + 1 + accepted
    valid = (positions.view(requests, -1) < 20 * 16).all(1).repeat_interleave(1 + spec)
    rows = torch.arange(requests).repeat_interleave(1 + spec)
    assert torch.equal(got["input_positions"], torch.where(valid, positions, kw["input_positions"]))
    slots = (rows * 20 + positions // 16) * 16 + positions % 16
    assert torch.equal(got["slot_mapping"], torch.where(valid, slots, -1))
    assert valid.any()


@on_device
def test_too_many_proposed_tokens():
    message = "spec_token has more columns than the NPU kernel takes, got 1792; expected at most 1791"
    with pytest.raises(RuntimeError, match=message):
        run(state(1, spec=1792))


@on_device
def test_views_with_strides_are_written_in_place():
    wide = torch.arange(20).view(10, 2).npu()
    kw = {name: to_npu(value) for name, value in state(10).items()}
    tokens = torch.zeros(10, 3, dtype=torch.int64).npu()
    operator(OP)(**kw | {"seq_lens": wide[:, 0], "input_tokens": tokens[:, 1]})
    assert wide[:, 0].tolist() == [2 * i + 1 for i in range(10)] and wide[:, 1].tolist() == list(range(1, 20, 2))
    assert tokens[:, 1].tolist() == list(range(100, 110)) and not tokens[:, ::2].any()


@on_device
def test_illegal_calls_write_nothing():
    kw = {name: to_npu(value) for name, value in state(4).items()}
    before = {name: kw[name].cpu() for name in IN_PLACE}
    illegal = [({"block_size": 0}, "block_size is not positive"), ({"num_queries": 5}, "num_queries is larger"),
               ({"num_seqs": 5}, "input_tokens has the wrong shape"), ({"seq_lens": kw["seq_lens"].int()}, "seq_lens")]
    for change, message in illegal:
        with pytest.raises(RuntimeError, match=message):
            operator(OP)(**kw | change)
    assert all(torch.equal(kw[name].cpu(), before[name]) for name in IN_PLACE)
