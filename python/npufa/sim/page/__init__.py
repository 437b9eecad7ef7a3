"""A profile as one page of HTML that needs nothing else: no network, no other file.

Everything on it comes from the profile: its reports, its findings and the instructions that its trace has too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from typing import Any

from .._kernel_report import KernelReport
from ..kernel import Finding
from ..timeline import COLOURS
from .kernel import kernel_section
from .parts import grid, link, microseconds
from .source import Sources

KERNELS_DRAWN = 8
KERNELS_LISTED = 200

Spans = Callable[[int, int], dict[str, Any]]


def build(
    kernels: Sequence[KernelReport], findings: Sequence[Finding], title: str, spans: Spans, max_spans: int
) -> str:
    """The page.

    Args:
        kernels: of the profile, in launch order.
        findings: of all of them, also of those that did not come to their end.
        title: its heading.
        spans: instructions of one kernel, as `npufa_sim_profile_spans` gives them: (kernel, most) to data.
        max_spans: boxes in the timelines of the whole page, more or less.
    """
    drawn = _drawn(kernels)
    sources = Sources(findings, [kernels[i] for i in drawn])
    data = _timelines(kernels, drawn, spans, max_spans)
    body = [_header(kernels, findings, title, sources), _kernel_list(kernels, drawn)]
    body += [kernel_section(kernels, index, data.get(index), sources) for index in drawn]
    body += [sources.html(), _FOOTER]
    for timeline in data.values():
        timeline["sites"] = [_site(sources, *site) for site in timeline["sites"]]
    embedded = {"colours": {pipe: f"rgb{colour}" for pipe, colour in COLOURS.items()}, "kernels": data}
    return _document(title, "\n".join(body), embedded)


def _document(title: str, body: str, data: dict[str, Any]) -> str:
    here = resources.files(__package__)
    script = (here / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Text between <script> tags ends at the first "</script", whatever JSON says.
    embedded = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{(here / "page.css").read_text("utf-8")}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{embedded}</script>
<script>{script}</script>
</body>
</html>
"""


def _drawn(kernels: Sequence[KernelReport]) -> list[int]:
    """Kernels that get a section, in launch order: the longest of each name first, then the longest of the rest."""
    by_time = sorted(range(len(kernels)), key=lambda i: -kernels[i].us)
    longest: dict[str, int] = {}
    for i in by_time:
        longest.setdefault(kernels[i].name, i)
    chosen = sorted(by_time, key=lambda i: longest[kernels[i].name] != i)
    return sorted(chosen[:KERNELS_DRAWN])


def _timelines(kernels: Sequence[KernelReport], drawn: list[int], spans: Spans, most: int) -> dict[int, dict[str, Any]]:
    """Data of the timelines; what a small kernel leaves of its share goes to the larger ones."""
    kept = sorted((i for i in drawn if kernels[i].trace_kept), key=lambda i: kernels[i].instructions)
    data = {}
    for position, i in enumerate(kept):
        data[i] = spans(i, most // (len(kept) - position))
        most -= sum(row["spans"].count(";") + 1 for row in data[i]["rows"])
    return {i: data[i] for i in drawn if i in data}


def _site(sources: Sources, instruction: str, file: str, line: int) -> list[str]:
    return [instruction, f"{os.path.basename(file)}:{line}", sources.anchor(file, line)]


def _count(findings: Sequence[Finding], what: str) -> str:
    return f"{len(findings)} {what}" if len(findings) == 1 else f"{len(findings)} {what}s"


def _header(kernels: Sequence[KernelReport], findings: Sequence[Finding], title: str, sources: Sources) -> str:
    socs = ", ".join(dict.fromkeys(kernel.soc for kernel in kernels))
    text = [f"<h1>{escape(title)}</h1>"]
    if kernels:
        text.append(
            f"<p>{len(kernels)} kernel launch{'es' if len(kernels) > 1 else ''} on a simulated "
            f"{escape(socs)}: <b>{sum(kernel.us for kernel in kernels):.2f} µs</b> in kernels, "
            f"about {sum(kernel.launch_us for kernel in kernels):.0f} µs of launches. "
            "<b>All times on this page are modelled, not measured.</b></p>"
        )
    else:
        text.append("<p>No kernel came to its end on the simulated chip, so there are no times.</p>")
    problems = [finding for finding in findings if not finding.note]
    notes = [finding for finding in findings if finding.note]
    verdict = f"{_count(problems, 'problem')}, {_count(notes, 'note')}"
    if not findings:
        verdict = "no problem found by the checks that were on"
    text.append(f'<div class="verdict{" bad" if problems else ""}"><b>{verdict}</b>')
    text.append(sources.finding_list([*problems, *notes]) + "</div>")
    return "\n".join(text)


def _kernel_list(kernels: Sequence[KernelReport], drawn: list[int]) -> str:
    if len(kernels) < 2:
        return ""
    listed = sorted(sorted(range(len(kernels)), key=lambda i: -kernels[i].us)[:KERNELS_LISTED])
    total = sum(kernel.us for kernel in kernels) or 1.0
    names = {i: link(f"kernel-{i + 1}" if i in drawn else "", escape(kernels[i].name)) for i in listed}
    rows = [
        [str(i + 1), f'<span class="name">{names[i]}</span>',
         f"{escape(kernels[i].bound)} {kernels[i].bound_percent:.0f} %", microseconds(kernels[i].us),
         f"{100 * kernels[i].us / total:.1f} %", str(kernels[i].block_dim)]
        for i in listed
    ]  # fmt: skip
    notes = []
    if len(listed) < len(kernels):
        notes.append(f"The {len(listed)} longest of {len(kernels)} launches are listed.")
    if len(drawn) < len(kernels):
        notes.append(f"{len(drawn)} of {len(kernels)} launches have a section: the longest of each kernel first.")
    return f"""<h2>Kernels</h2>
<p class="thinned">{" ".join(notes)}</p>
{grid(("launch", "kernel", "busiest"), ("µs", "share", "blocks"), rows)}"""


_FOOTER = """<footer>Made by the npufa simulator. Times follow a model of the chip (docs/time_model.md says from what),
no measurement; the page is complete in itself and loads nothing.</footer>"""
