"""Modelled time of the kernels a call launches on the simulated chip.

    report = npufa.sim.profile(torch.ops.npufa.npu_prompt_flash_attention, query, key, value, num_heads=8)
    print(report)
    report.save_trace("attention.json")      # ui.perfetto.dev or chrome://tracing
    report.save_timeline("attention.png")
    report.save_html("attention.html")       # both, and findings beside the source, in any browser

docs/time_model.md says what the model contains, where its numbers come from and what it leaves out.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ._kernel_report import CoreReport, HotSite, KernelReport, PipeReport
from ._native import native
from .kernel import Finding
from .page import build
from .timeline import draw

PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX")


class ProfileError(RuntimeError):
    """The simulator could not profile, or no longer has what is asked for."""


@dataclasses.dataclass(frozen=True)
class ProfileReport:
    """What `profile` returns. `result` is the value of the profiled call.

    `not_modelled` counts calls of CANN's other operators, which torch computes (docs/cann_operators.md): they launch no
    kernel and are in no time here. Replays of a captured graph do not count again.
    """

    kernels: tuple[KernelReport, ...]
    result: Any = None
    useful_flop: float | None = None
    findings: tuple[Finding, ...] = ()  # of all its kernels, also of those that did not come to their end
    not_modelled: Mapping[str, int] = dataclasses.field(default_factory=dict)
    _id: int = dataclasses.field(default=0, repr=False)

    @property
    def us(self) -> float:
        """Time inside the kernels, one after the other."""
        return sum(kernel.us for kernel in self.kernels)

    @property
    def launch_us(self) -> float:
        """Launch overhead of all kernels, which is not part of `us`."""
        return sum(kernel.launch_us for kernel in self.kernels)

    @property
    def useful_tflops(self) -> float | None:
        """`useful_flop` over `us`, launches left out."""
        return None if self.useful_flop is None or not self.us else self.useful_flop / self.us * 1e-6

    @property
    def useful_percent_of_peak(self) -> float | None:
        return None if self.useful_tflops is None else 100 * self.useful_tflops / self.kernels[0].cube_peak_tflops

    def save_trace(self, path: str | os.PathLike[str], max_events: int = 500_000) -> None:
        """Write a trace that ui.perfetto.dev and chrome://tracing open: a process per core, a thread per pipe.

        Args:
            path: file to write, JSON.
            max_events: of more events only the earliest are written; the file notes it.

        Raises:
            ProfileError: no kernel was launched, or the file cannot be written.
        """
        _call("npufa_sim_profile_trace", self._id, os.fsencode(path), max_events)

    def save_timeline(self, path: str | os.PathLike[str], kernel: int | None = None, width: int = 1600) -> None:
        """Draw one kernel as PNG: a row per pipe of every core, the darker the busier, HBM and L2 on top.

        Args:
            path: file to write; its suffix chooses the format.
            kernel: index into `kernels`; the longest by default.
            width: of the time axis in pixels.

        Raises:
            ImportError: Pillow is missing (pip install npufa[sim]).
            ProfileError: no kernel was launched.
        """
        if kernel is None:
            kernel = max(range(len(self.kernels)), key=lambda i: self.kernels[i].us, default=0)
        data = json.loads(_call("npufa_sim_profile_timeline", self._id, kernel, width))
        draw(self.kernels[kernel], data).save(path)

    def save_html(self, path: str | os.PathLike[str], title: str = "npufa simulator", max_spans: int = 12_000) -> None:
        """Write one page for a browser, with nothing loaded from elsewhere: timelines, pipes, findings at their lines.

        Args:
            path: file to write.
            title: heading of the page.
            max_spans: of more instructions neighbours are joined, and the page says so.

        Raises:
            ProfileError: the file cannot be written.
        """
        def spans(kernel: int, most: int) -> dict[str, Any]:
            return json.loads(_call("npufa_sim_profile_spans", self._id, kernel, most))

        text = build(self.kernels, self.findings, title, spans, max_spans)
        try:
            Path(path).write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise ProfileError(f"cannot write {path}: {error.strerror}") from None

    def __str__(self) -> str:
        parts = [str(kernel) for kernel in self.kernels] or ["no kernel was launched on the simulated chip"]
        if len(self.kernels) > 1:
            parts.append(
                f"{len(self.kernels)} kernels: {self.us:.2f} us, and about {self.launch_us:.0f} us of launches"
            )
        if self.useful_flop is not None:
            parts.append(
                f"useful work: {self.useful_flop * 1e-9:.2f} GFLOP, {self.useful_tflops or 0:.1f} TFLOP/s, "
                f"{self.useful_percent_of_peak or 0:.1f} % of cube peak"
            )
        if self.not_modelled:
            calls = ", ".join(f"{name} {count}" for name, count in sorted(self.not_modelled.items()))
            parts.append(f"not modelled, computed by torch on the CPU: {calls}")
        return "\n\n".join(parts)


def _scalar_slack(core: dict[str, Any]) -> float:
    instructions = sum(use["instructions"] for pipe, use in core["pipes"].items() if pipe != "S")
    spare = core["finish"] - core["pipes"].get("S", {"busy": 0.0})["busy"]
    return max(0.0, spare) / instructions if instructions else math.inf


def _pipes(data: dict[str, Any]) -> tuple[PipeReport, ...]:
    reports = []
    cycles = data["cycles"] or 1.0
    for kind in dict.fromkeys(core["kind"] for core in data["cores"]):
        cores = [core["pipes"] for core in data["cores"] if core["kind"] == kind]
        for pipe in PIPES:
            uses = [core[pipe] for core in cores if pipe in core]
            if not uses:
                continue

            def percent(key: str) -> float:
                return 100 * sum(use[key] for use in uses) / len(cores) / cycles

            parts = {key: percent(key) for key in ("busy", "bandwidth", "flag", "cross", "barrier", "issue")}
            reports.append(
                PipeReport(
                    kind=kind,
                    pipe=pipe,
                    cores=len(cores),
                    instructions=int(sum(use["instructions"] for use in uses)),
                    busy_percent=parts["busy"],
                    busy_max_percent=100 * max(use["busy"] for use in uses) / cycles,
                    bandwidth_percent=parts["bandwidth"],
                    flag_percent=parts["flag"],
                    cross_core_percent=parts["cross"],
                    barrier_percent=parts["barrier"],
                    empty_percent=parts["issue"],
                    idle_percent=max(0.0, 100 - sum(parts.values())),
                )
            )
    return tuple(reports)


def kernel_report(data: dict[str, Any], trace_kept: bool = True) -> KernelReport:
    """A report from the simulator's JSON."""
    us = data["us"]
    seconds = us * 1e-6 or 1.0
    clock = data["clock_mhz"]
    hbm = (data["hbm_read_bytes"] + data["hbm_written_bytes"]) / seconds
    return KernelReport(
        name=data["kernel"],
        soc=data["chip"],
        block_dim=int(data["block_dim"]),
        clock_mhz=clock,
        cycles=data["cycles"],
        us=us,
        launch_us=data["launch_us"],
        cube_flop=data["cube_flop"],
        cube_tflops=data["cube_flop"] / seconds * 1e-12,
        cube_peak_tflops=data["cube_peak_flops"] * 1e-12,
        cube_percent_of_peak=100 * data["cube_peak_cycles"] / ((data["cycles"] or 1.0) * data["aic_count"]),
        vector_elements=data["vector_elements"],
        gm_read_bytes=data["gm_read_bytes"],
        gm_written_bytes=data["gm_written_bytes"],
        hbm_read_bytes=data["hbm_read_bytes"],
        hbm_written_bytes=data["hbm_written_bytes"],
        hbm_gb_per_s=hbm * 1e-9,
        hbm_percent=100 * hbm / data["hbm_bandwidth"],
        l2_bytes=data["l2_bytes"],
        l2_percent=100 * data["l2_bytes"] / seconds / data["l2_bandwidth"],
        l2_hit_percent=100 * (1 - data["l2_missed"] / data["l2_lines"]) if data["l2_lines"] else 0.0,
        bound=data["bound"],
        bound_percent=100 * data["bound_share"],
        instructions=int(data["records"]),
        pipes=_pipes(data),
        cores=tuple(
            CoreReport(
                core["kind"], int(core["group"]), int(core["index"]), core["finish"] / clock,
                {pipe: use["busy"] / clock for pipe, use in core["pipes"].items()}, _scalar_slack(core),
            )
            for core in data["cores"]
        ),
        hot=tuple(
            HotSite(
                site["instruction"], site["file"], int(site["line"]), site["kind"], site["pipe"], int(site["count"]),
                site["cycles"] / clock,
            )
            for site in data["hot"]
        ),
        trace_kept=trace_kept,
    )  # fmt: skip


def _merged(findings: list[dict[str, Any]]) -> tuple[Finding, ...]:
    """One for each statement and kind, as within a launch."""
    merged: dict[tuple[Any, ...], Finding] = {}
    for finding in (Finding(**data) for data in findings):
        key = (finding.kernel, finding.check, finding.file, finding.line, finding.instruction, finding.operand)
        known = merged.get(key)
        merged[key] = dataclasses.replace(known, count=known.count + finding.count) if known else finding
    return tuple(merged.values())


def _call(function: str, *arguments: Any) -> Any:
    library = native()
    answer = getattr(library, function)(*arguments)
    if answer is None or answer == -1:
        raise ProfileError(library.npufa_sim_profile_error().decode())
    return answer


def _synchronize() -> None:
    if "torch_npu" in sys.modules:
        sys.modules["torch"].npu.synchronize()


def _calls() -> collections.Counter[str]:
    """Of operators that are not modelled, so far; none before torch_npu runs on the simulator."""
    operators = sys.modules.get("npufa.sim.operators")
    return collections.Counter(operators.calls if operators else ())


def _collect(result: Any, useful_flop: float | None, calls: collections.Counter[str]) -> ProfileReport:
    data = json.loads(_call("npufa_sim_profile_end"))
    kernels = tuple(kernel_report(kernel["report"], kernel["trace_kept"]) for kernel in data["kernels"])
    report = ProfileReport(kernels, result, useful_flop, _merged(data["findings"]), _calls() - calls, data["profile"])
    weakref.finalize(report, native().npufa_sim_profile_free, data["profile"])
    return report


def profile(
    fn: Callable[..., Any],
    *args: Any,
    useful_flop: float | None = None,
    model: Mapping[str, float] | None = None,
    **kwargs: Any,
) -> ProfileReport:
    """Call ``fn(*args, **kwargs)`` and model the time of every kernel it launches on the simulated chip.

    Args:
        fn: launches kernels; runs once.
        useful_flop: operations that count as useful, to report a rate beside that of the cube's own work (a causal
            kernel computes more than its answer needs).
        model: changed parameters of the time model, by their names in sim/chip/chips.json.

    Returns:
        The report; its numbers are modelled, not measured.

    Raises:
        ProfileError: another profile is running, or a parameter is unknown.
    """
    _synchronize()
    changes = ",".join(f"{name}={float(value)!r}" for name, value in (model or {}).items())
    _call("npufa_sim_profile_begin", changes.encode())
    calls = _calls()
    try:
        result = fn(*args, **kwargs)
        _synchronize()
    except BaseException:
        _collect(None, None, calls)
        raise
    return _collect(result, useful_flop, calls)
