"""The page in a real browser, where there is one: Debian's chromium, driven by its own command line."""

import os
import re
import shutil
import subprocess
from html import unescape

import pytest

from npufa.sim import timeline
from sim.chip.profiles import attention_like, use_test_module
from sim.page.test_page import HOSTILE, finding, many, page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium: apt install chromium")

# What somebody with a mouse and a keyboard would do; the answers go into an attribute of the page.
PROBE = """
const seen = {};
const [view] = timelines;
const range = () => { view.paint(); return view.figure.querySelector(".range").textContent; };
const tell = (event) => view.canvas.dispatchEvent(event);
const mouse = (type, x, y) => tell(new PointerEvent(type, {clientX: x, clientY: y, bubbles: true}));
view.canvas.setPointerCapture = () => {};
seen.whole = range();
seen.overflow = document.documentElement.scrollWidth - window.innerWidth;
view.figure.querySelector("[data-act=close]").click();
seen.closed = view.lanes.length;
view.figure.querySelector("[data-act=open]").click();
seen.opened = view.lanes.length;
const shown = view.lanes.filter((lane) => lane.inner && lane.rows[0].pipe === SHOWN);
const joins = (span) => span.count > 1;
const lane = shown.find((lane) => lane.rows[0].spans.some(joins)) || shown[0];
const span = lane.rows[0].spans.find(joins) || lane.rows[0].spans.find((span) => !span.waits);
const box = view.canvas.getBoundingClientRect();
const x = box.left + view.x((span.start + span.end) / 2), y = box.top + lane.y - view.view.scrollTop + 8;
mouse("pointermove", x, y);
seen.tip = view.tip.hidden ? "" : view.tip.textContent;
mouse("pointerdown", x, y);
mouse("pointerup", x, y);
seen.picked = view.figure.querySelector(".picked").textContent;
tell(new KeyboardEvent("keydown", {key: "+", bubbles: true}));
tell(new WheelEvent("wheel", {deltaY: -100, ctrlKey: true, clientX: x, bubbles: true, cancelable: true}));
seen.near = range();
mouse("pointerdown", x, y);
mouse("pointermove", x - 40, y);
mouse("pointerup", x - 40, y);
seen.moved = range();
seen.title = document.title;
for (const key in seen) document.body.dataset[key] = seen[key];
"""


def browse(path, *options, size=(1400, 900)):
    profile = path.parent / f"browser-{os.urandom(4).hex()}"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
               f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", *options, path.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=110)
    shutil.rmtree(profile, ignore_errors=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def probe(path, pipe, **options):
    """The page as it is after PROBE: attributes of its body, and the whole document."""
    text = path.read_text("utf-8")
    script = f"<script>const SHOWN = '{pipe}';{PROBE}</script></body>"
    text = re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", script)
    copy = path.with_name("probed.html")
    copy.write_text(text, "utf-8")
    document = browse(copy, "--dump-dom", **options)
    seen = {}
    for element in ("html", "body"):
        attributes = re.search(rf"<{element}([^>]*)>", document)[1]
        seen |= {name: unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', attributes)}
    return seen, document


@pytest.fixture(autouse=True)
def library(monkeypatch):
    return use_test_module(monkeypatch)


def test_timeline_can_be_used(tmp_path, monkeypatch):
    (tmp_path / "kernel.cpp").write_text("// line\n" * 40)
    monkeypatch.chdir(tmp_path)
    _, report = page(tmp_path / "page.html", attention_like())
    seen, document = probe(tmp_path / "page.html", "M")
    us = report.kernels[0].us
    assert seen["whole"] == f"0.00 – {us:.2f} µs of {us:.2f} µs, modelled"
    assert "error" not in seen and int(seen["overflow"]) <= 0
    assert (int(seen["closed"]), int(seen["opened"])) == (2 + 3, 2 + 3 + 9)
    assert seen["tip"].startswith("Mmad at kernel.cpp:20\ngroup 0 cube, M\n")
    assert seen["tip"].endswith(": 0.296 µs, modelled")
    assert seen["picked"].startswith("Mmad at kernel.cpp:20 · group 0 cube, M · ")
    assert seen["picked"].endswith(" to the source")
    start, end = map(float, re.match(r"([\d.]+) – ([\d.]+)", seen["near"]).groups())
    assert end - start < us / 2
    assert float(seen["moved"].split(" ")[0]) > start, "dragging to the left shows what comes later"
    assert re.search(r'class="timeline"[^>]* data-spans="\d\d+"', document)


def test_pipes_are_seen(tmp_path):
    """A picture of the page, wide and narrow, has the colours of the pipes, apart from legend and bars."""
    image = pytest.importorskip("PIL.Image")
    text, _ = page(tmp_path / "page.html", attention_like(40))
    (tmp_path / "page.html").write_text(text.replace("</style>", ".legend, .stack { display: none }</style>"), "utf-8")
    for size in ((1400, 1000), (500, 1400)):
        browse(tmp_path / "page.html", f"--screenshot={tmp_path / 'page.png'}", size=size)
        with image.open(tmp_path / "page.png") as picture:
            colours = {colour[:3]: count for count, colour in picture.getcolors(1 << 24)}
            assert picture.width == size[0]
        for pipe in ("M", "V", "MTE2", "FIX"):
            assert colours.get(timeline.COLOURS[pipe], 0) > 20, (pipe, size)


def test_long_run_on_a_narrow_screen(tmp_path):
    found = finding(tmp_path / "gone.asc", 4, message="word" * 200)
    page(tmp_path / "page.html", many(3000, cores=40), findings=[found])
    seen, _ = probe(tmp_path / "page.html", "V", size=(500, 900))
    assert "error" not in seen and int(seen["overflow"]) <= 0
    assert "instructions and waits, joined" in seen["tip"]
    assert seen["near"] != seen["whole"]


def test_text_of_others_does_nothing(tmp_path):
    (tmp_path / "kernel.asc").write_text(f"// {HOSTILE}\n")
    page(tmp_path / "page.html", attention_like(), title="whole", findings=[
        finding(tmp_path / "kernel.asc", 1, message=HOSTILE, kernel=HOSTILE)])  # fmt: skip
    seen, document = probe(tmp_path / "page.html", "M")
    assert seen["title"] == "whole" and "error" not in seen
    assert "<img" not in document
