"""The forward kernel with one mistake each: the checks report it, or the numbers are wrong."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from npufa import sim
from sim.checks.forward_call import KERNEL, OP_KERNEL, ForwardCall
from sim.checks.mutation import HEADER, Instrumented, Mutation, chooser

CALLS = {
    "full tiles": ForwardCall(1, 128, 600, 128, 128, tile=128, step=256, mask=True, bias_rows=128),
    "long steps": ForwardCall(1, 64, 1100, 32, 32, tile=64, step=1024),
    "heads": ForwardCall(2, 72, 700, 48, 32, tile=32, step=128, mask=True, bias_rows=72),
    "one bias row": ForwardCall(2, 40, 150, 32, 32, tile=32, step=64, bias_rows=1),
    "deep causal": ForwardCall(1, 40, 270, 200, 144, tile=32, step=128, causal=True),
    "rows without keys": ForwardCall(1, 72, 40, 32, 32, tile=32, step=64, causal=True),
    "one row": ForwardCall(1, 1, 150, 32, 32, tile=32, step=64, bias_rows=1),
}

ORDERED_ANYWAY = "barriers or waits that follow order the same accesses"
ONE_MATRIX = "strides between matrices of a copy of one matrix"
ZERO_ROWS = "more zeros than needed in a tile of one row"
SPARE_FRACTAL = "one more fractal fits into the buffer, and nothing uses it"

# (file, kind, text of the statement): how often this mistake does no harm, and why.
HARMLESS = {
    ("accumulator.h", "delete", "AscendC::PipeBarrier<PIPE_V>();"): (1, ORDERED_ANYWAY),
    ("additions.h", "delete", "AscendC::PipeBarrier<PIPE_V>();"): (1, ORDERED_ANYWAY),
    ("softmax.h", "delete", "AscendC::PipeBarrier<PIPE_V>();"): (1, ORDERED_ANYWAY),
    ("cube_tiles.h", "parameter", "params.ndNum"): (1, "the same matrix once more"),
    ("cube_tiles.h", "parameter", "params.srcNdMatrixStride"): (1, ONE_MATRIX),
    ("cube_tiles.h", "parameter", "params.dstNzMatrixStride"): (1, ONE_MATRIX),
    ("cube_tiles.h", "parameter", "params.repeatTimes = static_cast<uint8_t>(CeilDiv(columns"): (1, SPARE_FRACTAL),
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


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    """(library with all mutants, function that chooses one, mutations)"""
    directory = tmp_path_factory.mktemp("forward")
    headers = directory / "attention"
    headers.mkdir()
    (directory / "mutation.h").write_text(HEADER)
    numbers, mutations = itertools.count(1), []
    for path in sorted((OP_KERNEL / "attention").glob("*.h")):
        source = Instrumented(path.read_text(), path.name, numbers)
        (headers / path.name).write_text(source.text)
        mutations += source.mutations
    entry = directory / f"{KERNEL}.cpp"
    entry.write_text((OP_KERNEL / entry.name).read_text())
    library = sim.compile_kernel(entry, include=[directory, headers], directory=directory, optimise=False)
    return library, chooser(library), mutations


def test_forward_mutants_are_caught(mutants):
    library, choose, mutations = mutants
    for name, call in CALLS.items():
        assert call.run(library) == (True, []), name
    assert len(mutations) > 150
    missed = []
    for mutation in mutations:
        choose(mutation.number)
        results = (call.run(library) for call in CALLS.values())
        if all(right and not findings for right, findings in results):
            missed.append(mutation)
    counts = Counter(harmless(mutation) for mutation in missed)
    unknown = [str(m) for m in missed if counts[harmless(m)] > HARMLESS.get(harmless(m), (0, ""))[0]]
    assert not unknown, "\n".join(unknown)
