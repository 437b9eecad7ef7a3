"""Source lines with what was found at them and the time they cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from .._kernel_report import HOT_SITES, KernelReport
from ..kernel import Finding
from .parts import link, microseconds

CONTEXT = 5
FINDINGS_SHOWN = 100
_LONGEST_LINE = 300


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return []


class Sources:
    """The lines worth showing: those with findings or expensive statements, and what stands around them."""

    def __init__(self, findings: Sequence[Finding], kernels: Sequence[KernelReport]):
        # Problems are not pushed out by notes.
        self._findings = sorted(findings, key=lambda finding: finding.note)[:FINDINGS_SHOWN]
        self._left_out = len(findings) - len(self._findings)
        self._cost: dict[tuple[str, int], float] = {}
        for kernel in kernels:
            for site in kernel.hot[:HOT_SITES]:
                self._cost[site.file, site.line] = self._cost.get((site.file, site.line), 0.0) + site.pipe_us
        places = {(finding.file, finding.line) for finding in self._findings} | set(self._cost)
        # Those with findings first; the others are worth showing only where there is text.
        with_findings = [finding.file for finding in self._findings]
        self._text = {file: _lines(file) for file in [*with_findings, *sorted(file for file, _ in places)]}
        self._files = [file for file, text in self._text.items() if text or file in with_findings]
        self._shown = {file: self._around(file, {line for f, line in places if f == file}) for file in self._files}

    def _around(self, file: str, lines: set[int]) -> list[int]:
        """Numbers of the lines to show; a line that the text does not have stays, without text."""
        last = len(self._text[file])
        near = {n for line in lines for n in range(line - CONTEXT, line + CONTEXT + 1) if 1 <= n <= last}
        return sorted(near | lines)

    def anchor(self, file: str, line: int) -> str:
        """Id of the line on the page; empty where it is not shown."""
        if file not in self._shown or line not in self._shown[file]:
            return ""
        return f"file{self._files.index(file) + 1}-line{line}"

    def finding_list(self, findings: Sequence[Finding]) -> str:
        """Short, with links to the lines."""
        items = []
        for finding in findings[:FINDINGS_SHOWN]:
            place = escape(f"{os.path.basename(finding.file)}:{finding.line}")
            kind = f"note: {finding.check}" if finding.note else finding.check
            what = f"{finding.instruction} {finding.operand}".strip()
            place = link(self.anchor(finding.file, finding.line), place)
            items.append(f"<li>{escape(kind)} in {escape(finding.kernel)} at {place}: {escape(what)}</li>")
        if self._left_out:
            items.append(f"<li>… and {self._left_out} more, which this page leaves out</li>")
        return f"<ul>{''.join(items)}</ul>" if items else ""

    def html(self) -> str:
        if not self._files:
            return ""
        about = "Lines with findings and the statements that cost most. µs: modelled time on their pipes, of all cores."
        head = f'<h2>Source</h2>\n<p class="soft">{about}</p>'
        return "\n".join([head, *map(self._file, self._files)])

    def _file(self, file: str) -> str:
        rows, previous = [], 0
        for number in self._shown[file]:
            if number > previous + 1 and self._text[file]:
                rows.append('<tr class="gap"><td class="at">⋮</td><td></td><td></td></tr>')
            rows.append(self._row(file, number))
            previous = number
        missing = "" if self._text[file] else '<p class="thinned">This file cannot be read here.</p>'
        table = '<div class="scroll"><table class="source">\n' + "\n".join(rows) + "\n</table></div>"
        return f"<h3>{escape(file)}</h3>{missing}\n{table}"

    def _row(self, file: str, number: int) -> str:
        found = [finding for finding in self._findings if (finding.file, finding.line) == (file, number)]
        kind = "" if not found else "problem" if any(not finding.note for finding in found) else "note"
        text = self._text[file][number - 1] if 0 < number <= len(self._text[file]) else ""
        if len(text) > _LONGEST_LINE:
            text = text[:_LONGEST_LINE] + " …"
        row = (
            f'<tr id="{self.anchor(file, number)}" class="{kind}"><td class="at">{number}</td>'
            f'{self._cost_cell(file, number)}<td class="text">{escape(text)}</td></tr>'
        )
        if not found:
            return row
        return row + '<tr><td></td><td></td><td>' + "".join(map(_finding, found)) + "</td></tr>"

    def _cost_cell(self, file: str, number: int) -> str:
        cost = self._cost.get((file, number))
        if cost is None:
            return '<td class="cost"></td>'
        width = 100 * cost / (max(self._cost.values()) or 1.0)
        return f'<td class="cost"><b style="width:{width:.0f}%"></b>{microseconds(cost)} µs</td>'


def _finding(finding: Finding) -> str:
    kind = "note" if finding.note else "problem"
    operand = f" {finding.operand}" if finding.operand else ""
    space = f" in {finding.space}" if finding.space else ""
    times = f", {finding.count:,} times" if finding.count > 1 else ""
    where = f"{finding.instruction}{operand}{space}; {finding.kernel}, {finding.core}{times}"
    advice = f"<p>→ {escape(finding.advice)}</p>" if finding.advice else ""
    return (
        f'<div class="finding {kind}"><span class="check">{kind}: {escape(finding.check)}</span> '
        f'<span class="soft">{escape(where)}</span><p>{escape(finding.message)}</p>{advice}</div>'
    )
