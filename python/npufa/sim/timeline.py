"""A kernel's timeline as a picture: one row per pipe of every core, the darker the busier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from ._kernel_report import KernelReport

COLOURS = {
    "HBM": (90, 90, 90),
    "L2": (140, 140, 140),
    "S": (60, 70, 85),
    "M": (192, 40, 40),
    "V": (30, 100, 190),
    "MTE1": (214, 140, 30),
    "MTE2": (30, 140, 80),
    "MTE3": (120, 70, 170),
    "FIX": (200, 70, 140),
}
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 130, 60, 58, 34, 3
_TALL, _LOW, _MANY_ROWS = 12, 5, 80
_TICKS = 8


def _require_pillow() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError("a timeline picture needs Pillow: pip install 'npufa[sim]'") from error
    return Image, ImageDraw, ImageFont


def _step(span: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 ... (and their tenths) that leaves at most _TICKS marks on the axis."""
    decade = 1e-3
    while True:
        for factor in (1, 2, 5):
            if span <= _TICKS * factor * decade:
                return factor * decade
        decade *= 10


def _strip(draw: ImageDraw.ImageDraw, top: int, height: int, shares: list[int], colour: tuple[int, ...]) -> None:
    for x, share in enumerate(shares):
        if share > 0:
            shade = tuple(255 - (255 - c) * share // 100 for c in colour)
            draw.line([(_LEFT + x, top), (_LEFT + x, top + height - 1)], fill=shade)


def _legend(canvas: ImageDraw.ImageDraw, font: Any, pipes: set[str]) -> None:
    x = 10
    for pipe in [p for p in COLOURS if p in pipes]:
        canvas.rectangle([x, 30, x + 12, 42], fill=COLOURS[pipe])
        canvas.text((x + 16, 29), pipe, "black", font)
        x += 70


def _axis(canvas: ImageDraw.ImageDraw, font: Any, us: float, width: int, bottom: int) -> None:
    step = _step(us)
    for mark in range(int(us / step) + 1):
        x = _LEFT + int(mark * step / us * width)
        canvas.line([(x, _TOP), (x, bottom + 4)], fill=(205, 205, 205))
        canvas.text((x + 2, bottom + 6), f"{mark * step:g} us", "black", font)


def draw(kernel: KernelReport, data: dict[str, Any]) -> Image.Image:
    """The picture of `kernel` from the simulator's bins (percent busy per slice of time)."""
    Image, ImageDraw, ImageFont = _require_pillow()
    font = ImageFont.load_default(size=12)
    rows, width = data["rows"], data["bins"]
    height = _TALL if len(rows) <= _MANY_ROWS else _LOW
    cores = {(row["kind"], row["group"], row["index"]) for row in rows}
    bottom = _TOP + 2 * (_TALL + _GAP) + len(rows) * height + len(cores) * _GAP
    image = Image.new("RGB", (_LEFT + width + _RIGHT, bottom + _BOTTOM), "white")
    canvas = ImageDraw.Draw(image)
    _axis(canvas, font, max(data["us"], 1e-6), width, bottom)
    canvas.text((10, 8), f"{kernel.name} on {kernel.soc}: {kernel.us:.1f} us (modelled, not measured)", "black", font)
    _legend(canvas, font, {row["pipe"] for row in rows})
    y = _TOP
    for name in ("HBM", "L2"):
        canvas.text((10, y - 1), name, "black", font)
        _strip(canvas, y, _TALL, data[name.lower()], COLOURS[name])
        y += _TALL + _GAP
    previous = None
    for row in rows:
        core = (row["kind"], row["group"], row["index"])
        if core != previous:
            y += _GAP
            suffix = f" {row['index']}" if row["kind"] == "vector" else ""
            canvas.text((10, y - 1), f"group {row['group']} {row['kind']}{suffix}", "black", font)
            previous = core
        _strip(canvas, y, height - 1, row["busy"], COLOURS[row["pipe"]])
        y += height
    return image
