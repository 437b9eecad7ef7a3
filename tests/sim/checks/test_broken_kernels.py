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
    findings = [finding for seed in case.seeds for finding in case.launch("broken", seed)[1]]
    lines = case.lines()
    assert lines, f"{case.file} has no line marked BUG {case.name}"
    found = [f for f in findings if f.check == case.check and where(f) == case.at and f.line in lines]
    assert found, f"no {case.check} at {case.at} in line {lines}; found: {findings}"
    report = found[0].message + " " + found[0].advice
    assert found[0].file.endswith(case.file)
    assert not [word for word in case.words.split() if word not in report], report


@_by_name
def test_correct_twin_passes(case):
    for seed in {*case.seeds, 1}:
        z, findings = case.launch("correct", seed)
        assert not findings
        np.testing.assert_array_equal(z, case.expected(*case.inputs()))


_OUT_OF_ORDER = next(case for case in CASES if case.name == "flags_out_of_order")


def test_flags_in_order_hide_the_bug_and_a_seed_repeats():
    assert not _OUT_OF_ORDER.launch("broken", 0)[1]
    first, second = ([bool(_OUT_OF_ORDER.launch("broken", seed)[1]) for seed in range(1, 17)] for _ in range(2))
    assert first == second
    assert 0 < sum(first) < 16


def test_waits_for_all_need_blocks_that_start_together():
    exchange = next(case for case in CASES if case.name == "missing_sync_all")
    arguments = [*exchange.inputs(), sim.Output(np.zeros(2 * 256, np.float32)), sim.Output(np.zeros(4096, np.float32))]
    for together, checks in ((True, set()), (False, {"schedule-mode"})):
        findings = library(exchange.file).launch("missing_sync_all_correct", arguments, block_dim=2, together=together,
                                                 raise_on_findings=False)  # fmt: skip
        assert {finding.check for finding in findings} == checks


def test_a_flag_set_too_often_stops_nothing():
    """The receiver may be quick enough: each set that is too many, on three cubes."""
    case = next(case for case in CASES if case.name == "cross_core_flag_overflow")
    assert [(finding.check, finding.count) for finding in case.launch("broken", 0)[1]] == [("flag-overflow", 9)]


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
