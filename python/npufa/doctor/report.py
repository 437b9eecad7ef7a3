"""What the doctor finds, as data and as text."""

from __future__ import annotations

import dataclasses
import json
import textwrap

OK, MISSING, WRONG = "ok", "missing", "wrong"
WIDTH = 120
# Parts that are not needed everywhere.
TITLES = {"CANN": "CANN, needed for real NPUs only", "operator package": "operator package, needed for real NPUs only"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        part: group it belongs to: machine, Python, CANN, operator package, simulator.
        name: what was looked for.
        state: OK, MISSING or WRONG (there, but not as it must be).
        value: what was found.
        advice: what to do, one sentence; empty when there is nothing to do.
    """

    part: str
    name: str
    state: str
    value: str
    advice: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """A way to run npufa.

    Attributes:
        name: key for `--require` and JSON: cpu, npu, sim, graph, aclgraph.
        title: the same for people.
        works: whether it works on this machine.
        note: how it works, or what is missing first.
    """

    name: str
    title: str
    works: bool
    note: str


@dataclasses.dataclass(frozen=True)
class Report:
    findings: list[Finding]
    targets: list[Target]

    def works(self, target: str) -> bool:
        return next(entry.works for entry in self.targets if entry.name == target)

    def as_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    def as_text(self) -> str:
        lines: list[str] = []
        part = ""
        for finding in self.findings:
            if finding.part != part:
                part = finding.part
                lines += ["", TITLES.get(part, part)]
            mark = "" if finding.state == OK else f"{finding.state}: "
            lines += _entry(f"  {finding.name}", mark + finding.value)
            if finding.advice:
                lines += _entry("", "-> " + finding.advice)
        lines += ["", "what runs here"]
        for target in self.targets:
            lines += _entry(f"  {target.title}", ("yes: " if target.works else "no: ") + target.note)
        return "\n".join(lines[1:])


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{name:<26}", subsequent_indent=" " * 26,
                         break_long_words=False, break_on_hyphens=False) or [name]
