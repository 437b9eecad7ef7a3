"""Pieces of HTML that several sections use. What callers hand over is HTML already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def grid(left: Sequence[str], right: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table: titles of columns with text, then of those with numbers; rows of cells."""

    def row(tag: str, cells: Sequence[str]) -> str:
        texts = (f"<{tag}>{cell}</{tag}>" for cell in cells[: len(left)])
        numbers = (f'<{tag} class="number">{cell}</{tag}>' for cell in cells[len(left) :])
        return f"<tr>{''.join((*texts, *numbers))}</tr>"

    body = "\n".join([row("th", [*left, *right]), *(row("td", cells) for cells in rows)])
    return f'<div class="scroll"><table class="grid {kind}">{body}</table></div>'


def link(anchor: str, text: str) -> str:
    """To a place on the page; only the text where there is none."""
    return f'<a href="#{anchor}">{text}</a>' if anchor else text


def swatch(colour: str, text: str) -> str:
    return f'<span><i style="background:{colour}"></i>{text}</span>'


def microseconds(us: float) -> str:
    return f"{us:.2f}" if us >= 1 else f"{us:.2g}"
