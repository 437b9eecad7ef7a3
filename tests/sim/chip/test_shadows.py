"""What the checks remember: many accesses at once, and nothing of the launch before."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from npufa import sim

SOURCE = Path(__file__).resolve().parents[1] / "kernels" / "shadows.cpp"
COUNT, PIECE = 4096, 8
NOTHING, BEFORE_STORE, BEFORE_LOAD = range(3)


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(SOURCE)


def pieces(kernels, rounds, missing=NOTHING, piece=0):
    """Whether z is x, and the findings as (check, operand, space, message)."""
    x = np.arange(COUNT, dtype=np.float32)
    z, workspace = np.zeros_like(x), sim.Output(np.zeros_like(x), written=False)
    tiling = struct.pack("III", rounds, missing, piece)
    arguments = [x, workspace, sim.Output(z, written=False)]
    findings = kernels.launch("pieces", arguments, tiling=tiling, raise_on_findings=False)
    return np.array_equal(x, z), [(f.check, f.operand, f.space, f.message) for f in findings]


@pytest.mark.parametrize("rounds", [1, 2, 9])
def test_accesses_in_order(kernels, rounds):
    """512 cells with an access of their own, up to nine times over."""
    assert pieces(kernels, rounds) == (True, [])


@pytest.mark.parametrize("rounds", [1, 9])
@pytest.mark.parametrize("piece", [0, 300, 511])
def test_one_access_too_early(kernels, rounds, piece):
    """The cell that raced is named, in local memory and in global memory."""
    _, [(check, operand, space, message)] = pieces(kernels, rounds, BEFORE_STORE, piece)
    assert (check, operand, space) == ("race", "src", "UB")
    assert f"read after write at {piece * PIECE * 4} is not ordered after DataCopy on pipe MTE2" in message
    _, [(check, operand, space, message)] = pieces(kernels, rounds, BEFORE_LOAD, piece)
    assert (check, operand, space) == ("race", "src", "GM")
    place = f"{piece * PIECE * 4} of argument 1"
    assert f"read after write at {place} is not ordered after DataCopy on pipe MTE3" in message


@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_left_of_the_launch_before(kernels, check):
    assert pieces(kernels, 1) == (True, [])
    z, workspace = np.zeros(COUNT, np.float32), np.zeros(COUNT, np.float32)
    arguments = [sim.Output(workspace, written=False), sim.Output(z, written=False)]
    findings = kernels.launch("stale", arguments, check=check, raise_on_findings=False)
    assert np.isnan(z).all()
    assert [(f.check, f.space) for f in findings] == [("unwritten", "UB"), ("unwritten", "GM")][: 2 * check]
