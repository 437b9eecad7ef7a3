"""Bank conflicts of the unified buffer: the cases of the vendor's example bank_conflict_ub, and what they cost."""

import npufa_test_time as time_model
import pytest

from sim.chip.traces import CHIP, Op, Pipe, Record, parameter

REPEATS = 64


def operand(address, write=False, block=32, repeat=256, blocks=8, read=None):
    return (address, block, repeat, blocks, not write if read is None else read, write)


def banks(*operands, repeats=REPEATS):
    cycles, read_write, _ = time_model.banks(list(operands), repeats)
    return cycles, read_write


@pytest.mark.parametrize(
    "src0,src1,dst,expected",  # cycles of 64 repeats, repeats with a read-write conflict
    [
        (0, 0x10100, 0x20000, (64, 0)),
        (0, 0x4000, 0x10000, (128, 0)),    # one bank
        (0, 0x10000, 0x14100, (128, 0)),   # one bank group
        (0, 0x10100, 0x4000, (64, 0)),     # block for block: written a repeat later
        (0, 0x10100, 0x4020, (64, 64)),    # shifted by a block: a bank is read and written
        (0, 0x10100, 0x10100, (64, 0)),
    ],
)  # fmt: skip
def test_addresses(src0, src1, dst, expected):
    assert banks(operand(src0), operand(src1), operand(dst, write=True)) == expected


def test_a_block_that_stays_is_read_once():
    others = operand(0x10100), operand(0x10100, write=True)
    assert banks(operand(0, block=0, repeat=32), *others) == (96, 0)  # every second repeat meets src1
    assert banks(operand(0, block=0, repeat=256), *others) == (64, 0)


@pytest.mark.parametrize("write", [False, True])
def test_eight_blocks_of_one_group_take_eight_cycles(write):
    assert banks(operand(0, write, block=144 * 32, repeat=32))[0] == 8 * REPEATS
    assert banks(operand(0, write, block=145 * 32, repeat=32))[0] == REPEATS


def test_writing_later_does_not_help_where_every_repeat_uses_the_same_groups():
    in_place = operand(0, repeat=4096), operand(0, write=True, repeat=4096)
    assert banks(*in_place) == (REPEATS, REPEATS - REPEATS // 16)  # nothing was written before the first


def test_third_source_takes_a_third_cycle():
    three = [operand(at) for at in (0, 0x4000, 0x8000)]
    assert banks(*three)[0] == 3 * REPEATS


def test_narrow_operands_take_fewer_blocks():
    assert banks(operand(0, blocks=4), operand(0x80, blocks=4)) == (REPEATS, 0)


def test_no_repeats():
    assert banks(operand(0), repeats=0) == (0, 0)


def busy(op, *operands):
    packed = time_model.banks(list(operands), REPEATS)[2]
    return time_model.cost(CHIP, Record(op, Pipe.V, REPEATS, 4096, 4, packed))[0]


def test_cost():
    free = operand(0), operand(0x10100), operand(0x20000, write=True)
    read_read = operand(0), operand(0x4000), operand(0x10000, write=True)
    read_write = operand(0), operand(0x10100), operand(0x4020, write=True)
    assert busy(Op.vec_add, *free) == REPEATS
    assert busy(Op.vec_add, *read_read) == 2 * REPEATS
    assert busy(Op.vec_add, *read_write) == pytest.approx(parameter("ub_read_write") * REPEATS)


def test_slow_instructions_hide_conflicts():
    read_read = operand(0), operand(0x4000), operand(0x10000, write=True)
    assert busy(Op.vec_reduce_repeat, *read_read) == busy(Op.vec_reduce_repeat) == 7 * REPEATS
    assert busy(Op.vec_exp, *read_read) == 2 * REPEATS
