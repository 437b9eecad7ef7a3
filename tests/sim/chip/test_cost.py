"""Cycles of single instructions from the documented formulas: (on the pipe, further cycles until the result)."""

import npufa_test_time as time_model
import pytest

from sim.chip.traces import CHIP, GM, Op, Pipe, Record, load, mmad, parameter, store, vector

MmadType = time_model.MmadType


def cost(record):
    return time_model.cost(CHIP, record)


@pytest.mark.parametrize(
    "m,n,k,dtype,blocks",
    [
        (128, 128, 128, MmadType.half, 8 * 8 * 8),
        (128, 256, 64, MmadType.bfloat16, 8 * 16 * 4),
        (1, 1, 1, MmadType.half, 1),
        (17, 16, 16, MmadType.half, 2),
        (16, 16, 33, MmadType.int8, 2),
        (16, 16, 33, MmadType.float32, 9),
        (16, 16, 65, MmadType.int4, 2),
        (16, 16, 33, MmadType.hf32, 5),
    ],
)
def test_mmad(m, n, k, dtype, blocks):
    assert cost(mmad(m, n, k, dtype)) == (21 + blocks, 0)


@pytest.mark.parametrize(
    "op,size,cycles",
    [(Op.load_l0a, 32768, 28 + 128), (Op.load_l0b, 32768, 28 + 256), (Op.load_table, 1024, 20 + 32)],
)
def test_loads_of_l0(op, size, cycles):
    assert cost(Record(op, Pipe.MTE1, size)) == (cycles, 0)


def test_l0c_to_l1():
    assert cost(Record(Op.l0c_to_l1, Pipe.FIX, 2 * 16384, 16384)) == (20 + 256, 0)


@pytest.mark.parametrize(
    "element_bytes,per_element",  # 67 bytes per cycle on the way into L2; the fixpipe handles 64 elements
    [(4, 4 / 67), (2, 2 / 67), (1, 1 / 64)],
)
def test_l0c_to_gm(element_bytes, per_element):
    rows, columns = 32, 1024
    elements, row = rows * columns, columns * element_bytes
    cycles, latency = cost(Record(Op.l0c_to_gm, Pipe.FIX, rows * row, rows, row, row * 4, GM, element_bytes))
    assert cycles == pytest.approx(parameter("gm_start") + elements * per_element)
    assert latency == 96


# Measured or documented: r repeats of 256 bytes at the start of a stream, without bank conflicts.
@pytest.mark.parametrize(
    "op,start,per_repeat",
    [
        (Op.vec_add, 24, 1), (Op.vec_mul, 25, 1), (Op.vec_scalar, 24, 1), (Op.vec_div, 31, 4), (Op.vec_cast, 27, 1),
        (Op.vec_reduce_block, 31, 1), (Op.vec_reduce_repeat, 46, 7), (Op.vec_exp, 33, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("repeats", [1, 7, 128])
def test_vector(op, start, per_repeat, repeats):
    busy, latency = cost(vector(repeats, op))
    assert busy + latency == start + per_repeat * repeats
    assert busy == per_repeat * repeats


def test_exp_of_half_runs_at_32_elements_per_cycle():
    assert cost(vector(10, Op.vec_exp, element_bytes=2))[0] == 10 * 128 / 32


def test_gather_runs_element_by_element():
    assert cost(Record(Op.vec_gather, Pipe.V, 4, 1000, 2))[0] == 200


def test_sixteen_kilobytes_reach_good_bandwidth():
    """The documentation: transfers of 16 KB and more; small ones do not."""
    size = 16384
    assert size / cost(load(GM, size))[0] == pytest.approx(0.95 * parameter("gm_to_ub"), rel=0.02)
    assert 512 / cost(load(GM, 512))[0] < 0.4 * parameter("gm_to_ub")


def test_one_short_copy_takes_twenty_cycles():
    assert cost(load(GM, 128))[0] == pytest.approx(20.6)


def rows(count, size, stride, address=GM, op=Op.gm_to_ub, **kwargs):
    return Record(op, Pipe.MTE2, count * size, count, size, stride, address, **kwargs)


def test_a_short_row_costs_as_much_as_a_longer_one():
    short, long = cost(rows(64, 128, 4096))[0], cost(rows(64, 1024, 4096))[0]
    assert short == cost(rows(64, 256, 4096))[0] == pytest.approx(parameter("gm_start") + 64 * parameter("gm_burst"))
    assert long == pytest.approx(parameter("gm_start") + 64 * 1024 / parameter("gm_to_ub"))


def test_rows_that_follow_each_other_are_one_burst():
    record = time_model.bursts(GM, [(256, 64, 256, 1, 0)])
    assert cost(record)[0] == pytest.approx(parameter("gm_start") + 64 * 256 / parameter("gm_to_l1"))


def test_rows_past_l2_cost_more():
    plain, past = rows(64, 128, 4096), rows(64, 128, 4096, manner=time_model.Manner.past_l2)
    assert cost(past)[0] - cost(plain)[0] == pytest.approx(
        64 * (parameter("gm_burst_past_l2") - parameter("gm_burst"))
    )


@pytest.mark.parametrize("make,rate", [(load, "gm_to_ub"), (store, "ub_to_gm")])
def test_unaligned_addresses_cost_up_to_thirty_percent(make, rate):
    size = 1 << 20
    aligned, _ = cost(make(GM, size))
    unaligned, _ = cost(make(GM + 32, size))
    start = parameter("gm_start")
    assert aligned - start == pytest.approx(size / parameter(rate))
    assert (aligned - start) / (unaligned - start) == pytest.approx(0.7)


def test_short_bursts_need_only_their_own_alignment():
    def strided(size, stride, address=GM):
        return cost(rows(64, size, stride, address))[0]

    assert strided(256, 2560) == strided(256, 5120)
    assert strided(256, 2560 + 128) > strided(256, 2560)
    assert strided(512, 5120 + 256) > strided(512, 5120)
    assert strided(256, 5120, GM + 32) > strided(256, 5120)


def test_bursts_move_whole_granules():
    def strided(size):
        return cost(rows(64, size, 4096))[0]

    assert strided(544) == strided(640) < strided(672) == strided(768)


def test_latency_depends_on_direction():
    assert cost(load(GM, 512))[1] == 241
    assert cost(store(GM, 512))[1] == 96


@pytest.mark.parametrize(
    "extent,bursts",  # bytes, blocks, block stride, rows, row stride -> number, bytes, stride
    [
        ((256, 1, 0, 1, 0), (1, 256, 0)),
        ((256, 4, 256, 1, 0), (1, 1024, 0)),
        ((256, 4, 1024, 1, 0), (4, 256, 1024)),
        ((256, 1, 0, 8, 4096), (8, 256, 4096)),
        ((256, 4, 256, 8, 4096), (8, 1024, 4096)),
        ((256, 4, 256, 8, 1024), (1, 8192, 0)),
        ((256, 4, 1024, 8, 4096), (32, 256, 1024)),
    ],
)
def test_gm_side_of_an_extent(extent, bursts):
    record = time_model.bursts(GM, [extent])
    assert (record.b, record.c, record.event) == bursts
    assert record.a == extent[0] * extent[1] * extent[3]
    assert record.gm_address == GM


def test_two_operands_of_one_transfer_add_up():
    record = time_model.bursts(GM, [(256, 4, 1024, 1, 0), (128, 4, 1024, 1, 0)])
    assert (record.a, record.b, record.gm_address) == (4 * 384, 8, GM)


# The scalar unit.


def test_issue_counts_what_the_scalar_unit_does_besides():
    manner, issue = time_model.Manner, lambda record: time_model.issue(CHIP, record)
    plain = parameter("issue")
    assert issue(vector(4)) == plain
    assert issue(Record(Op.vec_add, Pipe.V, 4, manner=manner.masked)) == plain + parameter("mask_issue")
    assert issue(Record(Op.vec_add, Pipe.V, 4, manner=manner.counted)) == plain + parameter("counter_issue")
    assert issue(Record(Op.set_flag, Pipe.V)) == parameter("flag_issue")
    queued = Record(Op.set_flag, Pipe.V, manner=manner.queued)
    assert issue(queued) == parameter("flag_issue") + parameter("queue_issue")
    assert issue(Record(Op.scalar, Pipe.S, 1)) == 0
