"""Draws the figures of docs/speed.md from what the benchmarks recorded in docs/records: SVG for light and dark pages.

    python benchmarks/npu_model.py --json docs/records/npu_model.json
    python benchmarks/attention.py --quick --json docs/records/cpu_quick.json
    python benchmarks/plots.py

Needs nothing but Python; the same records give the same files (tests/docs/test_plots.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROW, TOP, LABELS, WIDTH, VALUES = 22, 74, 350, 880, 70
STYLE = """
text{font:13px Helvetica,Arial,sans-serif;fill:#1f2328} .title{font-size:17px;font-weight:bold}
.soft{fill:#59636e;font-size:12px} .end{text-anchor:end} .middle{text-anchor:middle} .page{fill:#fff}
.grid{stroke:#d1d9e0} .bar{stroke:#1f2328;stroke-width:2}
.a{fill:#3b7dd8} .b{fill:#2e9e6b} .c{fill:#d98324} .d{fill:#9156c4}
@media (prefers-color-scheme: dark){
text{fill:#e6edf3} .soft{fill:#9198a1} .page{fill:#151b23} .grid{stroke:#3d444d} .bar{stroke:#e6edf3}}
"""


class Bar(NamedTuple):
    """One bar; `least` is what a benchmark demands, 0 for nothing; `kind` chooses the colour: a, b, c or d."""

    label: str
    value: float
    kind: str
    least: float = 0.0


class Axis(NamedTuple):
    """Where values end, where lines are drawn, and what stands behind a number."""

    end: float
    marks: Sequence[float]
    unit: str


def chart(title: str, subtitle: str, legend: Iterable[tuple[str, str]], bars: Sequence[Bar], axis: Axis) -> str:
    """Horizontal bars below each other; a bar beyond the axis' end is cut there and keeps its number."""
    height = TOP + ROW * len(bars) + 30
    room = WIDTH - LABELS - VALUES

    def x(value: float) -> float:
        return round(LABELS + room * min(value, axis.end) / axis.end, 1)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img"><title>{escape(title)}</title><style>{STYLE}</style>',
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="soft" x="16" y="45">{escape(subtitle)}</text>',
    ]
    at = 16.0
    for kind, words in legend:
        lines.append(f'<rect class="{kind}" x="{at}" y="54" width="11" height="11"/>'
                     f'<text class="soft" x="{at + 16}" y="64">{escape(words)}</text>')
        at += 34 + 6.6 * len(words)
    bottom = TOP + ROW * len(bars)
    for mark in axis.marks:
        lines.append(f'<path class="grid" d="M{x(mark)} {TOP - 2}V{bottom}"/>'
                     f'<text class="soft middle" x="{x(mark)}" y="{bottom + 16}">{mark:g}{axis.unit}</text>')
    for index, bar in enumerate(bars):
        y = TOP + ROW * index
        lines.append(f'<text class="end" x="{LABELS - 8}" y="{y + 15}">{escape(bar.label)}</text>'
                     f'<rect class="{bar.kind}" x="{LABELS}" y="{y + 3}" width="{round(x(bar.value) - LABELS, 1)}" '
                     f'height="{ROW - 6}"/>'
                     f'<text x="{x(bar.value) + 6}" y="{y + 15}">{bar.value:.3g}{axis.unit}</text>')
        if bar.least:
            lines.append(f'<path class="bar" d="M{x(bar.least)} {y + 1}v{ROW - 2}"/>')
    return "\n".join([*lines, "</svg>\n"])


OF = {"cube": ("a", "of the cube's peak"), "copy": ("b", "of a plain copy of the cache"),
      "HBM": ("c", "of HBM's bandwidth"), "bound": ("d", "busy: what binds it")}


def npu(record: dict) -> str:
    """Share of what bounds each case on the modelled chip."""
    environment = record["environment"]
    rows = [row for row in record["rows"] if "percent" in row]
    bars = [Bar(row["name"], row["percent"], OF[row["of"]][0], row["bar"]) for row in rows]
    return chart(f"Kernels on {environment['soc']}: modelled, not measured",
                 f"benchmarks/npu_model.py, npufa {environment['npufa']}, {environment['date']}; black lines: bars",
                 OF.values(), bars, Axis(160, (0, 25, 50, 75, 100, 150), " %"))


AGAINST = {"SDPA": "a", "ONNX Runtime": "c", "plain read": "b"}


def cpu(record: dict) -> str:
    """Time of another side over npufa's, for the cases against something else than npufa."""
    environment = record["environment"]
    rows = [row for row in record["rows"] if any(row["against"].startswith(name) for name in AGAINST)]
    bars = []
    for row in rows:
        kind = next(kind for name, kind in AGAINST.items() if row["against"].startswith(name))
        bars.append(Bar(f"{row['group']} {row['problem']} {row['dtype']}", round(row["ratio"], 2), kind))
    return chart("CPU tensors: how many times as fast as another side, measured",
                 f"{environment['machine']}, load {environment['load']}, torch {environment['torch']}, "
                 f"{environment['date']}",
                 [(kind, f"torch {name}" if name == "SDPA" else name) for name, kind in AGAINST.items()], bars,
                 Axis(6, range(7), "x"))


FIGURES = {"npu_model": npu, "cpu_quick": cpu}


def main() -> None:
    for record in sorted((DOCS / "records").glob("*.json")):
        record.with_suffix(".svg").write_text(FIGURES[record.stem](json.loads(record.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
