"""Every check of the simulator finds the kernel that breaks its rule, and leaves the correct twin alone."""

from __future__ import annotations

import numpy as np
import pytest

from npufa import sim
from sim.checks.cases import CASES, KERNELS, library, markers

_by_name = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def where(finding: sim.Finding) -> str:
    return " ".join(part for part in (finding.instruction, finding.operand, finding.space) if part)


@_by_name
def test_broken_kernel_is_reported(case):
    _, findings = case.launch("broken")
    lines = case.lines()
    assert lines, f"{case.file} has no line marked BUG {case.name}"
    found = [f for f in findings if f.check == case.check and where(f) == case.at and f.line in lines]
    assert found, f"no {case.check} at {case.at} in line {lines}; found: {findings}"
    report = found[0].message + " " + found[0].advice
    assert found[0].file.endswith(case.file)
    assert not [word for word in case.words.split() if word not in report], report


@_by_name
def test_correct_twin_passes(case):
    z, findings = case.launch("correct")
    assert not findings
    np.testing.assert_array_equal(z, case.expected(*case.inputs()))


def test_every_marked_kernel_has_a_case():
    marked = {name for path in KERNELS.glob("*.cpp") for _, names in markers(path.name) for name in names}
    assert marked == {case.name for case in CASES}


def test_error_carries_report():
    case = next(case for case in CASES if case.name == "missing_mte2_v")
    x, y = case.inputs()
    with pytest.raises(sim.KernelError) as raised:
        library(case.file).launch("missing_mte2_v_broken", [x, y, sim.Output(np.zeros_like(x)), None])
    assert f"{case.file}:{case.lines()[0]}: Adds src in UB (group 0 vector 0)" in str(raised.value)
    assert raised.value.findings[0].check == "race"


def test_unchecked_launch_looks_only_for_what_it_cannot_execute():
    """check=False: races are not looked for, bounds are."""
    race, bounds = (next(case for case in CASES if case.name == name) for name in ("missing_mte2_v", "off_by_one_ub"))
    for case, count in ((race, 0), (bounds, 1)):
        x, y = case.inputs()
        arguments = [x, y, sim.Output(np.zeros_like(x)), None]
        kernel = library(case.file)
        assert len(kernel.launch(f"{case.name}_broken", arguments, check=False, raise_on_findings=False)) == count
