"""The report of one kernel: what its cores and pipes did, and that as text."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

COLUMNS = (
    ("busy", "busy_percent"),
    ("most", "busy_max_percent"),
    ("bandwidth", "bandwidth_percent"),
    ("flag", "flag_percent"),
    ("cross-core", "cross_core_percent"),
    ("barrier", "barrier_percent"),
    ("empty", "empty_percent"),
    ("idle", "idle_percent"),
)
_WAITS = {
    "bandwidth_percent": "bandwidth of HBM or L2",
    "flag_percent": "flags of other pipes",
    "cross_core_percent": "other cores",
    "barrier_percent": "its own barriers",
    "empty_percent": "instructions to be issued",
    "idle_percent": "nothing: it has finished",
}
HOT_SITES = 8
_CLEARLY_BOUND = 75.0


@dataclasses.dataclass(frozen=True)
class PipeReport:
    """One pipe of all cores of a kind; percentages of the kernel's time, mean over the cores that ran.

    `busy` is execution at the pipe's own rate, `bandwidth` what sharing HBM and L2 adds, `flag`, `cross_core` and
    `barrier` waiting for other pipes, other cores and the pipe itself, `empty` time before an instruction was issued
    (for the scalar unit S: stopped by a full queue), `idle` time after the last instruction.
    """

    kind: str
    pipe: str
    cores: int
    instructions: int
    busy_percent: float
    busy_max_percent: float
    bandwidth_percent: float
    flag_percent: float
    cross_core_percent: float
    barrier_percent: float
    empty_percent: float
    idle_percent: float


@dataclasses.dataclass(frozen=True)
class CoreReport:
    """One core: when it finished, and how long each of its pipes was busy, both in microseconds.

    `scalar_slack`: cycles that the scalar code of each of its data instructions could take beyond what the model
    charges before the scalar unit fills all of the core's time.
    """

    kind: str
    group: int
    index: int
    finish_us: float
    busy_us: Mapping[str, float]
    scalar_slack: float

    @property
    def busiest_us(self) -> float:
        """Of all pipes but the scalar unit."""
        return max((us for pipe, us in self.busy_us.items() if pipe != "S"), default=0.0)


@dataclasses.dataclass(frozen=True)
class Balance:
    """How evenly the cores of a kind worked, in microseconds: (least, mean, most)."""

    kind: str
    busy_us: tuple[float, float, float]
    finish_us: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class HotSite:
    """A kernel statement: executions and time on its pipe, all cores together."""

    instruction: str
    file: str
    line: int
    kind: str
    pipe: str
    count: int
    pipe_us: float


@dataclasses.dataclass(frozen=True)
class KernelReport:
    """One kernel launch on the modelled chip. Times are the kernel's own; `launch_us` comes on top of each launch."""

    name: str
    soc: str
    block_dim: int
    clock_mhz: float
    cycles: float
    us: float
    launch_us: float
    cube_flop: float
    cube_tflops: float
    cube_peak_tflops: float
    cube_percent_of_peak: float
    vector_elements: float
    gm_read_bytes: float
    gm_written_bytes: float
    hbm_read_bytes: float
    hbm_written_bytes: float
    hbm_gb_per_s: float
    hbm_percent: float
    l2_bytes: float
    l2_percent: float
    l2_hit_percent: float
    bound: str
    bound_percent: float
    instructions: int
    pipes: tuple[PipeReport, ...]
    cores: tuple[CoreReport, ...]
    hot: tuple[HotSite, ...]
    trace_kept: bool

    def pipe(self, kind: str, pipe: str) -> PipeReport:
        """The pipe ("M", "V", "MTE2" ...) of the "cube" or "vector" cores; KeyError when it did nothing."""
        for report in self.pipes:
            if (report.kind, report.pipe) == (kind, pipe):
                return report
        raise KeyError(f"{kind} {pipe}")

    def scalar_slack(self) -> dict[str, float]:
        """Of the core of each kind that has least to spare."""
        kinds = dict.fromkeys(core.kind for core in self.cores)
        return {kind: min(core.scalar_slack for core in self.cores if core.kind == kind) for kind in kinds}

    def balance(self) -> tuple[Balance, ...]:
        kinds = dict.fromkeys(core.kind for core in self.cores)
        return tuple(_balance(kind, [core for core in self.cores if core.kind == kind]) for kind in kinds)

    def __str__(self) -> str:
        return _table(self)


def _balance(kind: str, cores: list[CoreReport]) -> Balance:
    def spread(values: list[float]) -> tuple[float, float, float]:
        return min(values), sum(values) / len(values), max(values)

    return Balance(kind, spread([core.busiest_us for core in cores]), spread([core.finish_us for core in cores]))


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1000
    return ""


def _grid(rows: list[list[str]], left: int) -> list[str]:
    """Columns of one width each; the first `left` are flush left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  " + "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]


def _bound(kernel: KernelReport) -> str:
    text = f"{kernel.bound or 'nothing'}, busy {kernel.bound_percent:.1f} % of the time"
    kind, _, pipe = kernel.bound.partition(" ")
    if kernel.bound_percent >= _CLEARLY_BOUND or not pipe:
        return text
    report = kernel.pipe(kind, pipe)
    wait = max(_WAITS, key=lambda name: getattr(report, name))
    return f"{text}; it waits mostly for {_WAITS[wait]} ({getattr(report, wait):.1f} %)"


def _pipe_row(report: PipeReport) -> list[str]:
    return [report.kind, report.pipe, *(f"{getattr(report, name):.1f}" for _, name in COLUMNS)]


def _spread(values: tuple[float, float, float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def summary_rows(kernel: KernelReport) -> list[list[str]]:
    """What and how much, in a few words each."""
    kinds = [core.kind for core in kernel.cores]
    cores = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    rows = [
        ["time", f"{kernel.us:.2f} us, {kernel.cycles:,.0f} cycles at {kernel.clock_mhz:.0f} MHz on {cores} cores"],
        ["launch", f"about {kernel.launch_us:.0f} us more"],
    ]
    if kernel.cube_flop:
        rows.append(
            ["cube", f"{kernel.cube_flop * 1e-9:.2f} GFLOP, {kernel.cube_tflops:.1f} TFLOP/s, "
                     f"{kernel.cube_percent_of_peak:.1f} % of peak ({kernel.cube_peak_tflops:.1f} in fp16)"]
        )  # fmt: skip
    if kernel.vector_elements:
        rows.append(["vector", f"{kernel.vector_elements * 1e-6:.1f} M elements"])
    rows += [
        ["GM", f"{_bytes(kernel.gm_read_bytes)} read, {_bytes(kernel.gm_written_bytes)} written"],
        ["HBM", f"{_bytes(kernel.hbm_read_bytes)} read, {_bytes(kernel.hbm_written_bytes)} written, "
                f"{kernel.hbm_gb_per_s:.0f} GB/s, {kernel.hbm_percent:.1f} % of its bandwidth"],
        ["L2", f"{kernel.l2_percent:.1f} % of its bandwidth, {kernel.l2_hit_percent:.1f} % of lines read were in it"],
        ["bound", _bound(kernel)],
        ["scalar", ", ".join(f"{kind} {cycles:.0f}" for kind, cycles in kernel.scalar_slack().items())
                   + " cycles more per instruction would fill a core"],
    ]  # fmt: skip
    return rows


def _table(kernel: KernelReport) -> str:
    """One kernel: totals, pipes, balance, most expensive statements."""
    lines = [f"{kernel.name} on {kernel.soc} (modelled, not measured)", *_grid(summary_rows(kernel), 2), ""]
    lines += ["  pipes, % of the kernel's time"]
    lines += _grid([["core", "pipe", *(title for title, _ in COLUMNS)], *map(_pipe_row, kernel.pipes)], 2)
    lines += ["", "  balance of the cores in us: least / mean / most"]
    rows = [["core", "busiest pipe", "finished"]]
    rows += [[b.kind, _spread(b.busy_us), _spread(b.finish_us)] for b in kernel.balance()]
    lines += _grid(rows, 1)
    if kernel.hot:
        lines += ["", "  statements by time on their pipe: of all cores, and as % of the kernel's time"]
        rows = [["core", "pipe", "instruction", "at", "times", "us", "%"]]
        for site in kernel.hot[:HOT_SITES]:
            available = sum(core.kind == site.kind for core in kernel.cores) * kernel.us
            rows.append(
                [site.kind, site.pipe, site.instruction, f"{os.path.basename(site.file)}:{site.line}",
                 f"{site.count:,}", f"{site.pipe_us:.1f}", f"{100 * site.pipe_us / available:.1f}"]
            )  # fmt: skip
        lines += _grid(rows, 4)
    return "\n".join(lines)
