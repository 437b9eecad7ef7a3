"""The operators' kernels with one mistake each: the checks report it, or the numbers are wrong.

By default a sample of the mistakes, all of them with `-m slow`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from npufa import sim
from npufa.sim._native import LIBRARY_DIR
from sim.checks.mutant_worker import MutantWorker
from sim.checks.mutation import HEADER, Instrumented, Mutation
from sim.checks.operator_calls import CALLS

OP_KERNEL = Path(__file__).resolve().parents[3] / "op_kernel"
SAMPLE = 12  # one mistake of so many

ROOM = "room that larger calls need"
ORDERED_ANYWAY = "barriers or waits that follow order the same accesses"
ONE_ROW = "the distance between rows of a single row"
ONE_MATRIX = "the distance between matrices of one matrix"
ZERO_ROWS = "more zeros than needed in a tile of one row"
LAST_TURN = "the queue has a buffer for every turn of these calls"
EMPTY_PART = "a part of a cut tile without keys, which none of these calls has"
BARRIER = "AscendC::PipeBarrier<PIPE_V>();"

# (file, kind, text of the statement): how often this mistake does no harm, and why.
HARMLESS: dict[tuple[str, str, str], tuple[int, str]] = {
    ("accumulator.h", "shorten", "pipe.InitBuffer(sums_"): (1, ROOM),
    ("alibi.h", "shorten", "pipe.InitBuffer(distances_"): (1, ROOM),
    ("backward_output.h", "shorten", "pipe.InitBuffer(copyQueue_"): (1, ROOM),
    ("backward_preparation.h", "shorten", "pipe.InitBuffer(partial_"): (1, ROOM),
    ("bias_gradient.h", "shorten", "pipe.InitBuffer"): (4, ROOM),
    ("bias_gradient_output.h", "shorten", "pipe.InitBuffer"): (4, ROOM),
    ("conversion.h", "shorten", "pipe.InitBuffer(rawQueue_"): (1, ROOM),
    ("cube_tiles.h", "shorten", "pipe.InitBuffer(sum_"): (1, ROOM),
    ("forward.h", "shorten", "pipe.InitBuffer"): (1, ROOM),
    ("scaled_queries.h", "shorten", "pipe.InitBuffer"): (5, ROOM),
    ("row_output.h", "shorten", "pipe.InitBuffer(halves_"): (1, ROOM),
    ("sink_gradient.h", "shorten", "pipe.InitBuffer"): (2, ROOM),
    ("softmax.h", "shorten", "pipe.InitBuffer(partial_"): (1, ROOM),
    ("alibi.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("antiquant_scales.h", "delete", BARRIER): (3, ORDERED_ANYWAY),
    ("backward_preparation.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("bias_gradient.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("bias_gradient_output.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("combine.h", "delete", BARRIER): (2, ORDERED_ANYWAY),
    ("forward_vector.h", "delete", BARRIER): (3, ORDERED_ANYWAY),
    ("mask.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("scaled_queries.h", "delete", BARRIER): (4, ORDERED_ANYWAY),
    ("query_scale.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("row_output.h", "delete", BARRIER): (3, ORDERED_ANYWAY),
    ("sink_gradient.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("softmax.h", "delete", BARRIER): (1, ORDERED_ANYWAY),
    ("forward.h", "delete", "AscendC::PipeBarrier<PIPE_ALL>();"): (1, "SyncAll waits for all pipes as well"),
    ("backward_output.h", "fewer", "LoadRows("): (2, ONE_ROW),
    ("backward_vector.h", "fewer", "LoadRows(statistics"): (3, ONE_ROW),
    ("sink_gradient.h", "fewer", "LoadRows(share"): (3, ONE_ROW),
    ("accumulator.h", "delete", "outQueue_->FreeTensor(out);"): (2, LAST_TURN),
    ("accumulator.h", "delete", "out = outQueue_->template DeQue<float>();"): (2, EMPTY_PART),
    ("bias_gradient_output.h", "delete", "outQueue_.FreeTensor(out);"): (1, LAST_TURN),
    ("dropout_mask.h", "delete", "masks_.FreeTensor(mask);"): (1, LAST_TURN),
    ("forward_cube_wide.h", "delete", "tiles_.Free(probabilities);"): (1, LAST_TURN),
    ("cube_tiles.h", "parameter", "params.ndNum"): (1, "the same matrix once more"),
    ("cube_tiles.h", "parameter", "params.srcNdMatrixStride"): (1, ONE_MATRIX),
    ("cube_tiles.h", "parameter", "params.dstNzMatrixStride"): (1, ONE_MATRIX),
    ("cube_tiles.h", "parameter", "params.kDirectionAlign"): (1, "types other than float32 ignore it"),
    ("cube_tiles.h", "parameter", "params.repeatTimes = 1"): (1, ZERO_ROWS),
    ("cube_tiles.h", "parameter", "params.blockNum"): (1, ZERO_ROWS),
    ("cube_tiles.h", "parameter", "params.dstGap"): (1, ZERO_ROWS),
    ("cube_tiles.h", "parameter", "params.initValue"): (1, "rows of the product that nobody stores"),
}


def harmless(mutation: Mutation) -> tuple[str, str, str] | None:
    """The entry of HARMLESS that covers a mutation."""
    for key in HARMLESS:
        if key[:2] == (mutation.file, mutation.kind) and mutation.text.strip().startswith(key[2]):
            return key
    return None


def included(source: Path) -> set[str]:
    """Names of the headers that a source of op_kernel reaches."""
    found, open_files = set(), [source]
    while open_files:
        file = open_files.pop()
        for name in re.findall(r'#include "([^"]+)"', file.read_text()):
            header = next((p for p in (file.parent / name, OP_KERNEL / name) if p.exists()), None)
            if header and header.name not in found:
                found.add(header.name)
                open_files.append(header)
    return found


@dataclasses.dataclass
class Mutants:
    worker: MutantWorker
    mutations: list[Mutation]
    reached: dict[str, set[str]]  # by kernel: names of its headers

    def missed(self, mutations: list[Mutation]) -> list[Mutation]:
        """Those that no call shows."""
        for kernel in CALLS:
            shown = self.worker.shown(0, [kernel])
            assert shown is None, f"without a mistake: {shown}"
        return [m for m in mutations if self.worker.shown(m.number, self._operators(m)) is None]

    def _operators(self, mutation: Mutation) -> list[str]:
        return [kernel for kernel, headers in self.reached.items() if mutation.file in headers]


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    """Kernels that contain all mistakes, in place of those of the installed operators."""
    directory = tmp_path_factory.mktemp("operators")
    sources, root = directory / "op_kernel", directory / "lib"
    shutil.copytree(LIBRARY_DIR, root, ignore=shutil.ignore_patterns("include"))
    numbers, mutations = itertools.count(1), []
    reached = {kernel: included(OP_KERNEL / f"{kernel}.cpp") for kernel in CALLS}
    for path in sorted(OP_KERNEL.rglob("*.h")):
        source = Instrumented(path.read_text(), path.name, numbers)
        target = sources / path.relative_to(OP_KERNEL)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.text)
        (target.parent / "mutation.h").write_text(HEADER)
        mutations += [m for m in source.mutations if any(m.file in headers for headers in reached.values())]
    programs = [p for kernel in CALLS for p in _compile(kernel, sources, root / "sim" / "kernels")]
    worker = MutantWorker(root, programs)
    yield Mutants(worker, mutations, reached)
    worker.close()


def _compile(kernel: str, sources: Path, target: Path) -> list[Path]:
    entry = sources / f"{kernel}.cpp"
    entry.write_text((OP_KERNEL / entry.name).read_text())
    library = sim.compile_kernel(entry, include=[sources], directory=sources, optimise=False)
    return [
        Path(shutil.copy(program, target / f"{kernel}.{core}.so"))
        for core, program in (("aic", library.cube), ("aiv", library.vector))
    ]


def verify_caught(mutants: Mutants, mutations: list[Mutation]) -> None:
    missed = mutants.missed(mutations)
    counts = Counter(harmless(mutation) for mutation in missed)
    unknown = [str(m) for m in missed if counts[harmless(m)] > HARMLESS.get(harmless(m), (0, ""))[0]]
    assert not unknown, "\n".join(unknown)


def test_sampled_mutants_are_caught(mutants):
    assert len(mutants.mutations) > 500
    verify_caught(mutants, mutants.mutations[::SAMPLE])


@pytest.mark.slow(group="limits")
@pytest.mark.timeout(1800)
def test_all_mutants_are_caught(mutants):
    verify_caught(mutants, mutants.mutations)
