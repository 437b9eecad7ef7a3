"""Masked elements are neither read nor written, so the checks see exactly what an instruction needs and defines; and
the mask register keeps what the chip leaves in it."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.ascendc.vector_model import KERNELS, Call, Form, Mask, fault, launch

FIRST_16 = 2**16 - 1


@pytest.fixture(scope="module")
def kernels():
    return sim.compile_kernel(KERNELS / "vector_extents.cpp", optimise=False)


def finds_unwritten(kernels, kernel: str, mask: Mask, written: int, step: int = 8) -> bool:
    """`written`: elements that exist before, or are used after."""
    x = np.zeros(64, dtype=np.float16)
    bits = Mask(Form.BITS, count=written, bits=mask.bits, repeat=mask.repeat)
    try:
        launch(kernels, kernel, Call(mask=bits, step=(step, step, 8)), x, x, x)
    except sim.KernelError as error:
        assert {f.check for f in error.findings} == {"unwritten"}
        return True
    return False


@pytest.mark.parametrize("kernel", ["read_written", "define_written"])
def test_extents_end_with_the_mask(kernels, kernel):
    reads = kernel == "read_written"
    for bits, repeat, step, elements in [
        (2**100 - 1, 1, 8, 100),
        (2**128 - 1, 2, 8, 256),
        (2**5 - 1, 1, 8, 5),
        (FIRST_16, 4, 1, 64),  # a block per repeat, one after the other
    ]:
        mask = Mask(Form.BITS, bits=bits, repeat=repeat)
        assert not finds_unwritten(kernels, kernel, mask, elements, step)
        more_or_less = elements - 1 if reads else elements + 1
        assert finds_unwritten(kernels, kernel, mask, more_or_less, step)


def test_rows_apart(kernels):
    rows = Mask(Form.BITS, bits=FIRST_16, repeat=4)  # of 16 elements, 32 apart
    assert not finds_unwritten(kernels, "read_written", rows, 3 * 32 + 16, step=2)
    assert finds_unwritten(kernels, "read_written", rows, 3 * 32 + 15, step=2)
    assert not finds_unwritten(kernels, "define_written", rows, 16, step=2)
    assert finds_unwritten(kernels, "define_written", rows, 17, step=2)


def test_gaps_in_the_mask(kernels):
    gap = Mask(Form.BITS, bits=2**128 - 1 ^ 1 << 77)
    assert not finds_unwritten(kernels, "define_written", gap, 77)
    assert finds_unwritten(kernels, "define_written", gap, 78)
    behind = Mask(Form.BITS, bits=1 << 77)
    assert not finds_unwritten(kernels, "read_written", behind, 78)
    assert finds_unwritten(kernels, "read_written", behind, 77)


def test_work_tensors_are_undefined_afterwards(kernels):
    x = np.ones(256, dtype=np.float16)
    finding = fault(kernels, "read_work", Call(mask=Mask(Form.COUNT, count=256)), x, x, x)
    assert (finding.check, finding.operand) == ("unwritten", "src")


@pytest.mark.parametrize("before,elements", list(enumerate([3, 128, 3, 5, 128, 128, 128])))
def test_mask_register(kernels, before, elements):
    """Nothing, a count form, Compare, a mask, Brcb, a count form in counter mode, ResetMask."""
    x = np.zeros(256, dtype=np.float16)
    out = launch(kernels, "show_mask", Call(mode=before), x, x, x).view(np.float16)
    np.testing.assert_array_equal(out, np.arange(256) < elements)
