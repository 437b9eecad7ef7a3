"""The broken kernels of `kernels/`: what each must be reported for, and what its correct twin computes.

A kernel has two entries, `<name>_broken` and `<name>_correct`, with the arguments x, y (inputs), z (output) and a
workspace with undefined contents. The statement a report must name carries the comment `// BUG <name> ...`, behind it
or on the line before.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from npufa import sim

KERNELS = Path(__file__).parent / "kernels"
TILE = 256  # elements: the size of x, y and z in tiles, and a matrix of 16 x 16

Expected = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """`words` must all occur in the report of the broken kernel, `at` is "instruction operand space"."""

    file: str
    name: str
    check: str
    at: str
    words: str
    expected: Expected
    dtype: type = np.float32
    tiles: int = 1
    block_dim: int = 1
    z_written: bool = False
    seeds: tuple[int, ...] = (0,)  # of what the hardware leaves open; one of them must show the bug

    def inputs(self) -> list[np.ndarray]:
        """x and y: small integers, exact in every type and sum."""
        rng = np.random.default_rng(7)
        return [rng.integers(-4, 5, self.tiles * TILE).astype(self.dtype) for _ in "xy"]

    def launch(self, variant: str, seed: int) -> tuple[np.ndarray, list[sim.Finding]]:
        """z and the findings of the broken or the correct entry."""
        z = np.zeros(self.tiles * TILE, np.float32)
        workspace = np.zeros(16 * TILE, np.float32)
        findings = library(self.file).launch(
            f"{self.name}_{variant}",
            [*self.inputs(), sim.Output(z, written=self.z_written), sim.Output(workspace)],
            block_dim=self.block_dim,
            shuffle=seed,
            raise_on_findings=False,
        )
        return z, findings

    def lines(self) -> list[int]:
        """Lines of the source that are marked for this kernel."""
        return [i for i, names in markers(self.file) if self.name in names]


@functools.cache
def library(file: str) -> sim.KernelLibrary:
    return sim.compile_kernel(KERNELS / file, include=[KERNELS], optimise=False)


def markers(file: str) -> list[tuple[int, list[str]]]:
    """Line numbers and kernel names of the BUG comments of a source."""
    found = []
    for number, line in enumerate((KERNELS / file).read_text().splitlines(), 1):
        if match := re.search(r"// BUG (.*)", line):
            alone = line.lstrip().startswith("//")
            found.append((number + alone, match[1].split()))
    return found


def zeros(x, y):
    return np.zeros_like(x)


def x_itself(x, y):
    return x


def y_itself(x, y):
    return y


def x_plus_one(x, y):
    return x + 1


def tiles_of_64(count: int) -> Expected:
    return lambda x, y: np.where(np.arange(len(x)) < count * 64, x, 0)


def matrices(flat: np.ndarray) -> np.ndarray:
    return flat.astype(np.float32).reshape(-1, 16, 16)


def products(x, y):
    return (matrices(x) @ matrices(y)).ravel()


def products_with_transposed(x, y):
    return (matrices(x) @ matrices(y).transpose(0, 2, 1)).ravel()


def first_tile(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix.ravel(), np.zeros(TILE, np.float32)])


def sum_of_products(x, y):
    return first_tile((matrices(x) @ matrices(y)).sum(0))


def product_of_three(x, y):
    return first_tile(matrices(x)[0] @ matrices(y)[0] @ matrices(y)[1])


def first_product(x, y):
    return first_tile(matrices(x)[0] @ matrices(y)[0])


def products_of_x_plus_one(x, y):
    return (matrices(x + 1) @ matrices(y)[0]).ravel()


def other_tile(x, y):
    return np.concatenate([x[TILE:], x[:TILE]])


CASES: list[Case] = []


def _add(file: str, expected: Expected, *rows: tuple, **options) -> None:
    for row in rows:
        name, check, at, words, *own = row
        CASES.append(Case(file, name, check, at, words, own[0] if own else expected, **options))


_add(
    "vector_pipes.cpp", x_plus_one,
    ("missing_mte2_v", "race", "Adds src UB", "DataCopy MTE2_V"),
    ("missing_v_mte2", "race", "DataCopy dst UB", "Adds V_MTE2"),
    ("missing_v_mte3", "race", "DataCopy src UB", "Adds V_MTE3"),
    ("missing_mte3_v", "race", "Adds dst UB", "DataCopy MTE3_V"),
    ("missing_mte2_mte3", "race", "DataCopy src UB", "DataCopy MTE2_MTE3", x_itself),
    ("missing_mte3_mte2", "race", "DataCopy dst UB", "DataCopy MTE3_MTE2", x_itself),
    ("missing_mte3_mte2_in_gm", "race", "DataCopy src GM", "DataCopy MTE3_MTE2"),
    ("missing_mte2_s", "race", "GetValue src UB", "DataCopy MTE2_S"),
    ("missing_s_mte2", "race", "DataCopy dst UB", "GetValue S_MTE2",
     lambda x, y: y if x[0] == 0 else x),
    ("missing_s_v", "race", "Adds src UB", "SetValue S_V"),
    ("missing_v_s", "race", "GetValue src UB", "Adds V_S"),
    ("missing_s_mte3", "race", "DataCopy src UB", "SetValue S_MTE3"),
    ("missing_mte3_s", "race", "SetValue dst UB", "DataCopy MTE3_S"),
    ("missing_barrier_v", "race", "Muls src UB", "Adds PipeBarrier<PIPE_V>", lambda x, y: 2 * (x + 1)),
    ("missing_barrier_mte2", "race", "DataCopy dst UB", "PipeBarrier<PIPE_MTE2>",
     lambda x, y: np.concatenate([x[:128], y[128:]])),
    ("missing_barrier_mte3", "race", "DataCopy dst GM", "PipeBarrier<PIPE_MTE3>",
     lambda x, y: np.concatenate([x[:128], y[128:]])),
    ("swapped_double_buffers", "race", "Adds src UB", "DataCopy MTE2"),
)  # fmt: skip

_add(
    "cube_pipes.cpp", products,
    ("missing_mte2_mte1", "race", "LoadData src L1", "DataCopy MTE2_MTE1"),
    ("missing_mte1_mte2", "race", "DataCopy dst L1", "LoadData MTE1_MTE2"),
    ("missing_mte1_m", "race", "Mmad fm L0A", "LoadData MTE1_M"),
    ("missing_m_mte1", "race", "LoadData dst L0A", "Mmad M_MTE1"),
    ("missing_m_fix", "race", "Fixpipe src L0C", "Mmad M_FIX"),
    ("missing_fix_m", "race", "Mmad dst L0C", "Fixpipe FIX_M"),
    ("missing_barrier_m", "race", "Mmad dst L0C", "PipeBarrier<PIPE_M>", sum_of_products),
    ("missing_fix_mte2", "race", "DataCopy src GM", "Fixpipe FIX_MTE2", product_of_three),
    ("missing_barrier_fix", "race", "DataCopy dst GM", "PipeBarrier<PIPE_FIX>", first_product),
    dtype=np.float16, tiles=2,
)  # fmt: skip

_add(
    "queues.cpp", x_plus_one,
    ("missing_enque", "queue", "DeQue", "empty EnQue"),
    ("missing_deque", "race", "Adds src UB", "DataCopy MTE2_V"),
    ("double_free", "queue", "FreeTensor", "once"),
    ("free_before_use", "race", "DataCopy dst UB", "Adds V_MTE2"),
    ("missing_free_tensor", "queue", "AllocTensor", "every buffer FreeTensor"),
    ("foreign_tensor", "queue", "EnQue", "does not come from this queue"),
    ("enque_before_write", "race", "DataCopy src UB", "Adds V_MTE3"),
    ("enque_twice", "queue", "EnQue", "not allocated once"),
    ("deque_twice", "queue", "DeQue", "empty"),
    ("alloc_beyond_buffers", "queue", "AllocTensor", "every buffer InitBuffer", tiles_of_64(3)),
    ("queue_too_shallow", "queue", "EnQue", "full depth", tiles_of_64(2)),
    ("event_ids_used_up", "event-ids", "AllocEventID", "all 8 release"),
    ("too_many_buffers", "over-allocation", "InitBuffer", "64 buffers GetWithOffset", x_itself),
    ("over_allocation_ub", "over-allocation", "InitBuffer UB", "98336 98304", x_itself),
    ("over_allocation_l1", "over-allocation", "InitBuffer L1", "262048 262016 524032", zeros),
    ("l1_reserve", "over-allocation", "InitBuffer L1", "524288 524032", zeros),
    ("kept_event_ids", "event-ids", "AllocEventID", "all 8 release", zeros),
    ("kept_event_id_by_hand", "flag-set-twice", "SetFlag", "M_MTE1 id 0", zeros),
    ("over_allocation_l0a", "over-allocation", "InitBuffer L0A", "32800 32768 65536", zeros),
    ("over_allocation_l0c", "over-allocation", "InitBuffer L0C", "65568 65536 131072", zeros),
)  # fmt: skip

_add(
    "flags.cpp", x_plus_one,
    ("flag_set_twice", "flag-set-twice", "SetFlag", "MTE2_V id 0 flags.cpp:"),
    ("event_id_reuse", "flag-set-twice", "SetFlag", "MTE2_V id 0 another event id"),
    ("event_id_range", "parameter", "SetFlag", "event id 8"),
    ("flag_left_set", "flag-left-set", "SetFlag", "V_MTE3 id 0 WaitFlag"),
    ("flag_set_too_early", "race", "Adds src UB", "DataCopy MTE2_V"),
    ("wait_without_set", "deadlock", "WaitFlag", "MTE2_V id 0"),
    ("wait_for_wrong_id", "deadlock", "WaitFlag", "MTE2_V id 2"),
    ("wait_for_wrong_pipes", "deadlock", "WaitFlag", "MTE2_MTE3 id 0"),
    ("wait_twice", "deadlock", "WaitFlag", "MTE2_V once for each"),
)  # fmt: skip

_add(
    "cross_core.cpp", products_of_x_plus_one,
    ("missing_vector_to_cube", "unwritten", "DataCopy src GM", "bytes at 0 CrossCoreWaitFlag"),
    ("missing_cube_to_vector", "race", "DataCopy src GM", "Fixpipe cube cross-core"),
    ("missing_answer_between_cores", "race", "DataCopy src GM", "DataCopy vector MTE3 cross-core"),
    ("one_vector_forgets", "deadlock", "CrossCoreWaitFlag", "flag 0 only vector 0 of 2"),
    ("wrong_cross_core_flag", "deadlock", "CrossCoreWaitFlag", "flag 2"),
    ("cross_core_flag_left_set", "flag-left-set", "CrossCoreSetFlag", "flag 3 did not wait"),
    ("wrong_pipe_of_cross_core_flag", "race", "DataCopy src GM", "DataCopy vector MTE3"),
    ("cross_core_flag_too_early", "race", "DataCopy src GM", "DataCopy vector MTE3"),
    dtype=np.float16, tiles=2,
)  # fmt: skip
_add(
    "cross_core.cpp", zeros,
    ("cross_core_flag_overflow", "flag-overflow", "CrossCoreSetFlag", "flag 0 15 times"),
    ("flag_overflow_of_one_core", "flag-overflow", "CrossCoreSetFlag", "flag 0 15 times"),
    ("cross_core_deadlock", "deadlock", "CrossCoreWaitFlag", "flag 1"),
    ("incomplete_cross_core_flag", "flag-left-set", "CrossCoreSetFlag", "flag 3 only vector 0 of 2"),
    block_dim=3,
)  # fmt: skip
_add(
    "cross_core.cpp", products,
    ("flags_out_of_order", "race", "DataCopy src GM", "DataCopy vector MTE3 cross-core"),
    dtype=np.float16, seeds=tuple(range(1, 9)),
)  # fmt: skip
_add(
    "cross_core.cpp", other_tile,
    ("missing_sync_all", "race", "DataCopy src GM", "DataCopy MTE3 SyncAll"),
    ("sync_all_on_some_cores", "deadlock", "SyncAll", "only vector 0 of 2"),
    ("all_cores_flag_left_set", "flag-left-set", "CrossCoreSetFlag", "flag 5 did not wait"),
    ("sync_all_without_scheduler", "task-type", "SyncAll", "KERNEL_TYPE_MIX_AIV_1_0", zeros),
    tiles=2, block_dim=2,
)  # fmt: skip
_add(
    "cross_core.cpp", lambda x, y: first_tile(x[:TILE] + x[TILE:]),
    ("atomic_and_plain_write", "race", "DataCopy dst GM", "DataCopy MTE3 vector"),
    tiles=2, block_dim=2, z_written=True,
)  # fmt: skip
# The correct kernel writes neighbouring elements of one 32-byte block from all cores.
_add(
    "cross_core.cpp", lambda x, y: (np.arange(TILE) < 40).astype(np.float32),
    ("gm_race", "race", "DataCopyPad dst GM", "write after write DataCopyPad MTE3 group"),
    block_dim=40,
)  # fmt: skip

_add(
    "bounds.cpp", x_plus_one,
    ("off_by_one_gm_read", "out-of-bounds", "DataCopy src GM", "[996, 1028) 1024"),
    ("off_by_one_gm_write", "out-of-bounds", "DataCopyPad dst GM", "[996, 1028) 1024"),
    ("off_by_one_set_global_buffer", "out-of-bounds", "DataCopy src GM", "[992, 1024) SetGlobalBuffer 992"),
    ("off_by_one_ub", "out-of-bounds", "DataCopy dst UB", "[992, 1056) 1024"),
    ("off_by_one_ub_read", "out-of-bounds", "DataCopy src UB", "[1024, 1056) 1024"),
    ("off_by_one_vector", "out-of-bounds", "Adds dst UB", "[0, 1028) 1024"),
    ("write_to_input", "out-of-bounds", "DataCopy dst GM", "argument 0 input read-only"),
    ("null_tensor", "out-of-bounds", "DataCopy src GM", "no argument null"),
    ("misaligned_ub_address", "misaligned", "DataCopy dst UB", "988 32"),
    ("length_not_whole_blocks", "parameter", "DataCopy", "count 28 32 DataCopyPad"),
    ("misaligned_vector_operand", "misaligned", "Adds src UB", "4 32"),
    ("vector_on_l1", "wrong-memory", "Adds", "L1 VECIN"),
    ("no_path_from_ub_to_l1", "unsupported", "DataCopy", "UB to L1", x_itself),
)  # fmt: skip
_add(
    "bounds.cpp", products,
    ("off_by_one_l1_read", "out-of-bounds", "LoadData src L1", "[512, 1024) 512"),
    ("off_by_one_l0a", "out-of-bounds", "LoadData dst L0A", "[0, 1024) 512"),
    ("off_by_one_l0b", "out-of-bounds", "LoadData dst L0B", "[0, 1024) 512"),
    ("off_by_one_l0c", "out-of-bounds", "Mmad dst L0C", "[1024, 2048) 1024"),
    ("mmad_beyond_l0a", "out-of-bounds", "Mmad fm L0A", "512"),
    ("mmad_beyond_l0b", "out-of-bounds", "Mmad filter L0B", "512"),
    ("misaligned_l0a", "misaligned", "LoadData dst L0A", "32 512"),
    ("wrong_memory_of_mmad", "unsupported", "Mmad", "left L0A"),
    ("fixpipe_beyond_l0c", "out-of-bounds", "Fixpipe src L0C", "1088 1024"),
    ("fixpipe_beyond_gm", "out-of-bounds", "Fixpipe dst GM", "[4, 1028) 1024"),
    dtype=np.float16,
)  # fmt: skip

_add("bounds.cpp", first_product, ("off_by_one_l1", "out-of-bounds", "DataCopy dst L1", "[0, 544) 512"),
     dtype=np.float16, tiles=2)  # fmt: skip

_add(
    "unwritten.cpp", x_plus_one,
    ("unwritten_ub_tail", "unwritten", "Adds src UB", "992"),
    ("unwritten_ub_store", "unwritten", "DataCopy src UB", "1792"),
    ("stale_tile_tail", "unwritten", "Adds src UB", "480"),
    ("unwritten_accumulator", "unwritten", "Add src0 UB", "1024"),
    ("unwritten_scalar", "unwritten", "GetValue src UB", "1020", lambda x, y: np.full_like(x, x[-1])),
    ("unwritten_workspace", "unwritten", "DataCopy src GM", "992", x_itself),
    ("unwritten_atomic_target", "unwritten", "DataCopy dst GM", "bytes at 0", x_itself),
)  # fmt: skip
_add(
    "unwritten.cpp", products,
    ("unwritten_l0c", "unwritten", "Mmad dst L0C", "bytes at 0"),
    ("unwritten_l1_rows", "unwritten", "Mmad fm L0A", "480"),
    ("unwritten_l0b", "unwritten", "Mmad filter L0B", "bytes at 0"),
    ("mmad_k_too_long", "unwritten", "Mmad fm L0A", "512"),
    ("unwritten_l0c_columns", "unwritten", "Fixpipe src L0C", "60"),
    dtype=np.float16,
)  # fmt: skip

_add("modes.cpp", products_with_transposed, ("inherited_hf32", "inherited-mode", "Mmad", "HF32 SetHF32Mode"),
     seeds=(1,))
_add("modes.cpp", x_itself, ("inherited_integer_mode", "inherited-mode", "Adds", "integer 53"), dtype=np.int32,
     seeds=(1,))  # fmt: skip
_add("modes.cpp", products, ("nan_of_unwritten_memory", "nan", "Mmad fm L0A", "30 nobody whole"), dtype=np.float16)

_add(
    "parameters.cpp", lambda x, y: x + y,
    ("repeat_too_large", "parameter", "Add", "repeatTime 256 255"),
    ("repeat_stride_too_large", "parameter", "Add", "dst repeat stride 256 255"),
    ("mask_too_long", "parameter", "Add", "mask 65"),
    ("block_stride_zero", "parameter", "Add", "dst block stride 0"),
    ("overlapping_repeats", "overlap", "Add", "dst src0"),
    ("block_count_too_large", "parameter", "DataCopy", "blockCount 4096 4095"),
    ("block_gap_too_large", "parameter", "DataCopy", "srcStride 65536 65535"),
    ("copy_length_too_large", "parameter", "DataCopyPad", "blockLen 2097152 2097151"),
    ("padding_too_long", "parameter", "DataCopyPad", "rightPadding 36 32"),
    ("atomic_of_other_type", "parameter", "DataCopy", "float SetAtomicNone"),
    ("gather_beyond_buffer", "out-of-bounds", "Gather src UB", "[1024, 1028) 1024"),
    ("compare_count", "parameter", "Compare", "count 60 256"),
    ("cast_rounding", "parameter", "Cast", "roundMode"),
)  # fmt: skip
_add(
    "parameters.cpp", products,
    ("mmad_m_too_large", "parameter", "Mmad", "m 4096 4095"),
    ("mmad_k_negative", "parameter", "Mmad", "k -1"),
    ("load_repeat_too_large", "parameter", "LoadData", "repeatTimes 256 255"),
    ("fixpipe_columns", "parameter", "Fixpipe", "nSize 4096 4095"),
    ("fixpipe_rows_overlap", "parameter", "Fixpipe", "dstStride 15 nSize"),
    ("fixpipe_rows", "parameter", "Fixpipe", "mSize 8193 8192"),
    ("fixpipe_type", "parameter", "Fixpipe", "quantPre type"),
    ("nz_stride_too_large", "parameter", "DataCopy", "dstNzC0Stride 16385 16384"),
    ("nz_rows_too_many", "parameter", "DataCopy", "nValue 16385 16384"),
    ("cross_core_flag_range", "parameter", "CrossCoreSetFlag", "flag 16 15", zeros),
    dtype=np.float16,
)  # fmt: skip
