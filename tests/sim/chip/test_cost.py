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
    "element_bytes,per_element",  # the fixpipe handles 20.3 elements per cycle, its way into L2 86 bytes
    [(4, 1 / 20.3), (2, 1 / 20.3), (8, 8 / 86)],
)
def test_l0c_to_gm(element_bytes, per_element):
    elements = 128 * 128
    row = 128 * element_bytes
    size = elements * element_bytes
    cycles, latency = cost(Record(Op.l0c_to_gm, Pipe.FIX, size, 128, row, row * 4, GM, element_bytes))
    assert cycles == pytest.approx(32 + elements * per_element)
    assert latency == 96


# Measured on 910B3, r repeats of 256 bytes at the start of a stream.
@pytest.mark.parametrize(
    "op,start,per_repeat",
    [
        (Op.vec_add, 24, 2), (Op.vec_mul, 25, 2), (Op.vec_scalar, 24, 1), (Op.vec_div, 31, 4), (Op.vec_cast, 27, 1),
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
    assert size / cost(load(GM, size))[0] == pytest.approx(0.9 * parameter("gm_to_ub"), rel=0.02)
    assert 512 / cost(load(GM, 512))[0] < 0.3 * parameter("gm_to_ub")


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
        return cost(Record(Op.gm_to_l1, Pipe.MTE2, 64 * size, 64, size, stride, address))[0]

    assert strided(256, 2560) == strided(256, 5120)
    assert strided(256, 2560 + 128) > strided(256, 2560)
    assert strided(128, 1280 + 32) > strided(128, 1280)
    assert strided(512, 5120 + 256) > strided(512, 5120)
    assert strided(256, 5120, GM + 32) > strided(256, 5120)


def test_bursts_move_whole_granules():
    def strided(size):
        return cost(Record(Op.gm_to_l1, Pipe.MTE2, 64 * size, 64, size, 4096, GM))[0]

    assert strided(32) == strided(128) < strided(160) == strided(256)


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
