"""Correct pipelined kernels with one mistake each: the checks report it, or the numbers are wrong."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from npufa import sim
from sim.checks.mutation import HEADER, Instrumented, chooser

PIPELINES = Path(__file__).parent / "pipelines"
RNG_SEED = 11


class Pipeline:
    """A kernel with its arguments; `expected` is what it computes of x and y."""

    def __init__(self, name, x, y, z, expected, block_dim=2, workspace=0):
        self.name, self.block_dim, self.workspace = name, block_dim, workspace
        rng = np.random.default_rng(RNG_SEED)
        self.x, self.y = (rng.integers(-4, 5, shape).astype(dtype) for shape, dtype in (x, y))
        self.z_shape = z
        self.expected = expected(self.x.astype(np.float64), self.y.astype(np.float64))
        self.path = PIPELINES / f"{name}.cpp"

    def run(self, library: sim.KernelLibrary) -> tuple[bool, list[sim.Finding]]:
        """Whether z is right, and the findings."""
        z = np.zeros(self.z_shape, np.float32)
        arguments = [self.x, self.y, sim.Output(z, written=False)]
        if self.workspace:
            arguments.append(sim.Output(np.zeros(self.workspace, np.uint8)))
        findings = library.launch(self.name, arguments, block_dim=self.block_dim, threads=1, raise_on_findings=False)
        return np.array_equal(z, self.expected), findings


def attention(x, y):
    return np.concatenate([sum(np.maximum(q @ k, 0) @ k for k in y) for q in x])


PIPELINE_LIST = [
    Pipeline("add_queue", ((1024,), np.float32), ((1024,), np.float32), 1024, lambda x, y: x + y + 1),
    Pipeline("add_flags", ((1280,), np.float32), ((1280,), np.float32), 1280,
             lambda x, y: x + y + np.repeat(x[::640], 640)),
    Pipeline("matmul", ((2, 32, 160), np.float16), ((160, 32), np.float16), (2, 32, 32), lambda x, y: x @ y),
    Pipeline("attention", ((2, 16, 16), np.float16), ((5, 16, 16), np.float16), (32, 16), attention, workspace=8192),
]  # fmt: skip


@functools.cache
def instrumented(name: str) -> Instrumented:
    path = PIPELINES / f"{name}.cpp"
    return Instrumented(path.read_text(), str(path))


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    """Compiles the mutants of a pipeline and returns them as (library, function that chooses one)."""
    directory = tmp_path_factory.mktemp("mutants")
    (directory / "mutation.h").write_text(HEADER)

    @functools.cache
    def build(name: str):
        source = directory / f"{name}.cpp"
        source.write_text(instrumented(name).text)
        library = sim.compile_kernel(source, include=[directory], directory=directory, optimise=False)
        return library, chooser(library)

    return build


_each = pytest.mark.parametrize("pipeline", PIPELINE_LIST, ids=[p.name for p in PIPELINE_LIST])


@_each
def test_unmutated_kernel_is_right(pipeline):
    library = sim.compile_kernel(pipeline.path, optimise=False)
    right, findings = pipeline.run(library)
    assert right and not findings


@_each
def test_mutants_are_caught(pipeline, mutants):
    library, choose = mutants(pipeline.name)
    choose(0)
    assert pipeline.run(library) == (True, []), "instrumenting changed the kernel"
    survivors = set()
    for mutation in instrumented(pipeline.name).mutations:
        choose(mutation.number)
        right, findings = pipeline.run(library)
        if right and not findings:
            survivors.add((mutation.line, mutation.kind))
    missed = [str(m) for m in instrumented(pipeline.name).mutations if (m.line, m.kind) in survivors]
    assert survivors == instrumented(pipeline.name).survivors, "\n".join(missed)
