"""Profile reports as text."""

from __future__ import annotations

import os

from .profiling import KernelReport, PipeReport, ProfileReport

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


def kernel_table(kernel: KernelReport) -> str:
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


def profile_table(report: ProfileReport) -> str:
    """All kernels of a profile, and their sum when there are several."""
    if not report.kernels:
        return "no kernel was launched on the simulated chip"
    parts = [kernel_table(kernel) for kernel in report.kernels]
    if len(report.kernels) > 1:
        parts.append(
            f"{len(report.kernels)} kernels: {report.us:.2f} us, and about {report.launch_us:.0f} us of launches"
        )
    if report.useful_flop is not None:
        parts.append(
            f"useful work: {report.useful_flop * 1e-9:.2f} GFLOP, {report.useful_tflops or 0:.1f} TFLOP/s, "
            f"{report.useful_percent_of_peak or 0:.1f} % of cube peak"
        )
    return "\n\n".join(parts)
