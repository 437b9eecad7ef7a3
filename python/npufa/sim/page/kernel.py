"""The section of one kernel: what it did, its timeline, its pipes, the statements that cost most."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import Any

from .._kernel_report import COLUMNS, HOT_SITES, HotSite, KernelReport, PipeReport, summary_rows
from ..timeline import COLOURS
from .parts import grid, link, microseconds, swatch
from .source import Sources

# Parts of a pipe's time: title, attribute, colour; None is the pipe's own.
_PARTS = (
    ("busy", "busy_percent", None),
    ("bandwidth", "bandwidth_percent", "#e0b400"),
    ("flag", "flag_percent", "#8f9bab"),
    ("cross-core", "cross_core_percent", "#5c6b80"),
    ("barrier", "barrier_percent", "#b9a3c9"),
    ("empty", "empty_percent", "#d5dbe2"),
    ("idle", "idle_percent", "#eff2f5"),
)
_MEANING = (
    "busy: at its own rate; bandwidth: longer because HBM or L2 are shared; flag, cross-core, barrier: waiting for "
    "other pipes, other cores, itself; empty: nothing issued yet; idle: after its last instruction."
)


def _colour(pipe: str) -> str:
    return f"rgb{COLOURS[pipe]}"


def _us(cycles: float, kernel: KernelReport) -> str:
    return f"{cycles / kernel.clock_mhz:.2g} µs"


def _thinned(kernel: KernelReport, data: dict[str, Any]) -> str:
    """What the timeline joins, in words."""
    coarse, fine, total = data["coarse_cycles"], data["fine_cycles"], f"{data['instructions']:,.0f}"
    group = f"group {data['fine_group']:.0f}, which finishes last"
    if not coarse and not fine:
        return f"Every one of {total} instructions and waits is drawn."
    where = f"within {_us(max(coarse, fine), kernel)}"
    if coarse > fine:
        finer = f"within {_us(fine, kernel)}" if fine else "not at all"
        where = f"within {_us(coarse, kernel)} ({finer} in {group})"
    return (
        f"Thinned: there are {total} instructions and waits, too many to draw each. Neighbours on a pipe are joined "
        f"{where}: the paler a block, the less of it the pipe was busy. Nothing is left out; "
        "save_html(max_spans=...) draws more, --trace has every one."
    )


def _timeline(kernel: KernelReport, index: int, data: dict[str, Any]) -> str:
    pipes = {row["pipe"] for row in data["rows"]}
    buttons = (("in", "+", "zoom in"), ("out", "−", "zoom out"), ("all", "whole kernel", "whole kernel"),
               ("left", "◂", "earlier"), ("right", "▸", "later"), ("open", "open all", "show pipes of all cores"),
               ("close", "close all", "one line per core"))  # fmt: skip
    tools = "".join(f'<button data-act="{act}" title="{hint}">{text}</button>' for act, text, hint in buttons)
    legend = "".join(swatch(_colour(pipe), pipe) for pipe in COLOURS if pipe in pipes)
    return f"""<div class="timeline" data-kernel="{index}">
<div class="tools">{tools}<span class="range"></span></div>
<div class="view"><div class="spacer">
<canvas tabindex="0" aria-label="timeline of {escape(kernel.name)}"></canvas></div></div>
<p class="picked"></p>
<div class="legend">{legend}<span><i class="waiting"></i>waiting</span></div>
<p class="soft">Drag, Ctrl + wheel, double click or + − ← → 0 move and zoom; a click on a core's name opens it.</p>
<p class="thinned">{escape(_thinned(kernel, data))}</p>
<noscript><p>The timeline needs JavaScript; everything else on this page does not.</p></noscript>
</div>"""


def _bar(report: PipeReport) -> str:
    parts = [(title, getattr(report, name), colour or _colour(report.pipe)) for title, name, colour in _PARTS]
    hint = ", ".join(f"{title} {percent:.1f} %" for title, percent, _ in parts)
    bar = "".join(f'<i style="width:{percent:.2f}%;background:{colour}"></i>' for _, percent, colour in parts)
    return f'<div class="stack" title="{hint}">{bar}</div>'


def _pipes(kernel: KernelReport) -> str:
    own = swatch("#4a5a70", "busy (colour of the pipe)")
    legend = own + "".join(swatch(colour, title) for title, _, colour in _PARTS if colour)
    rows = [
        [pipe.kind, f"<b>{pipe.pipe}</b>", _bar(pipe), *(f"{getattr(pipe, name):.1f}" for _, name in COLUMNS),
         f"{pipe.instructions:,}"]
        for pipe in kernel.pipes
    ]  # fmt: skip
    table = grid(("core", "pipe", ""), (*(title for title, _ in COLUMNS), "instructions"), rows, "pipes")
    return f"""<h3>Pipes: where their time went, % of the kernel's time, mean of the cores (modelled)</h3>
{table}
<div class="legend">{legend}</div>
<p class="soft">{_MEANING}</p>"""


def _hot_row(kernel: KernelReport, site: HotSite, sources: Sources) -> list[str]:
    available = sum(core.kind == site.kind for core in kernel.cores) * kernel.us
    place = escape(f"{os.path.basename(site.file)}:{site.line}")
    place = link(sources.anchor(site.file, site.line), place)
    return [
        site.kind, site.pipe, escape(site.instruction), f"<code>{place}</code>",
        f"{site.count:,}", microseconds(site.pipe_us), f"{100 * site.pipe_us / (available or 1.0):.1f}",
    ]  # fmt: skip


def _hot(kernel: KernelReport, sources: Sources) -> str:
    if not kernel.hot:
        return ""
    rows = [_hot_row(kernel, site, sources) for site in kernel.hot[:HOT_SITES]]
    return f"""<h3>Statements by time on their pipe: µs of all cores, and % of the kernel's time (modelled)</h3>
{grid(("core", "pipe", "instruction", "at"), ("times", "µs", "%"), rows)}"""


def kernel_section(
    kernels: Sequence[KernelReport], index: int, data: dict[str, Any] | None, sources: Sources
) -> str:
    """`data` is the timeline's, None where the trace was too large to keep."""
    kernel = kernels[index]
    launches = len(kernels)
    which = f' <span class="soft">launch {index + 1} of {launches}</span>' if launches > 1 else ""
    summary = "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in summary_rows(kernel))
    timeline = '<p class="thinned">The trace of this kernel was too large to keep: there is no timeline.</p>'
    if data is not None:
        timeline = _timeline(kernel, index, data)
    return f"""<section class="kernel" id="kernel-{index + 1}">
<h2>{escape(kernel.name)}{which}</h2>
<p class="soft">on {escape(kernel.soc)}, block dimension {kernel.block_dim}; modelled, not measured</p>
<dl class="summary">{summary}</dl>
{timeline}
{_pipes(kernel)}
{_hot(kernel, sources)}
</section>"""
