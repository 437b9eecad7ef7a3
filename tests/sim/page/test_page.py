"""The page of a profile as text: what stands on it, and where."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import re

import pytest

from npufa.sim import Finding, profiling
from sim.chip import traces
from sim.chip.profiles import KB, attention_like, launch, use_test_module
from sim.chip.traces import GM, Pipe, load, set_flag, trace, vector, wait_flag

HOSTILE = '</td></table></script><script>document.title = "broken"</script><img src=x onerror=alert(1)> &amp; "\'`'


@pytest.fixture(autouse=True)
def library(monkeypatch):
    return use_test_module(monkeypatch)


def finding(file, line, **changes):
    values = dict(check="race", instruction="Add", operand="src", space="UB", core="group 0 vector 1", file=str(file),
                  line=line, message="too early", advice="wait", count=1, kernel="attention")  # fmt: skip
    return Finding(**values | changes)


def page(path, *traces, findings=(), **options):
    """The page's text, and the report it was made from."""
    report = profiling.profile(launch, *traces)
    shown = dataclasses.replace(report, findings=tuple(findings))
    shown.save_html(path, **options)
    return path.read_text("utf-8"), report


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def spans_of(row):
    """(start, end, site, count, busy cycles) of each span."""
    at, spans = 0, []
    for item in row["spans"].split(";"):
        gap, length, site, *joined = map(int, item.split())
        count, percent = joined or (1, 100 if site >= 0 else 0)
        spans.append((at + gap, at + gap + length, site, count, length * percent / 100))
        at += gap + length
    return spans


class Elements(html.parser.HTMLParser):
    """Tags in order, each with its attributes and the text before the next tag."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data


def many(steps, cores=8):
    """Cores with `steps` loads and additions each."""
    records = []
    for step in range(steps):
        records += [load(GM + step * KB, KB), set_flag(Pipe.MTE2, step), wait_flag(Pipe.V, step), vector(4)]
    return trace(*[records] * cores, name="many")


def test_every_instruction_is_drawn(tmp_path):
    text, report = page(tmp_path / "page.html", attention_like())
    (kernel,) = data_of(text)["kernels"].values()
    assert f"Every one of {kernel['instructions']} instructions and waits is drawn" in text
    assert sum(len(spans_of(row)) for row in kernel["rows"]) == kernel["instructions"]
    (mmads,) = [spans_of(row) for row in kernel["rows"] if row["pipe"] == "M"]
    busy = [span for span in mmads if span[2] >= 0]
    assert [end - start for start, end, *_ in busy] == [pytest.approx(533, abs=1)] * 6
    assert {kernel["sites"][span[2]][0] for span in busy} == {"Mmad"}
    assert any(site < 0 for _, _, site, *_ in mmads), "waits"
    assert max(spans_of(row)[-1][1] for row in kernel["rows"]) <= report.kernels[0].cycles + 1


def test_pipes_bytes_and_bound(tmp_path):
    text, report = page(tmp_path / "page.html", attention_like(), title="a <title>")
    (kernel,) = report.kernels
    for label in ("GM", "HBM", "L2", "bound", "cube"):
        assert f"<dt>{label}</dt>" in text
    assert f"{kernel.bound}, busy {kernel.bound_percent:.1f} %" in text
    bars = re.findall(r'<div class="stack" title="[^"]*">(.*?)</div>', text)
    assert len(bars) == len(kernel.pipes)
    for bar, pipe in zip(bars, kernel.pipes):
        widths = [float(width) for width in re.findall(r"width:([\d.]+)%", bar)]
        assert widths[0] == pytest.approx(pipe.busy_percent, abs=0.01)
        assert sum(widths) == pytest.approx(100, abs=0.1)
    assert "All times on this page are modelled, not measured." in text
    assert "<h1>a &lt;title&gt;</h1>" in text


def test_long_runs_are_thinned_and_say_so(tmp_path):
    text, report = page(tmp_path / "thin.html", many(500), max_spans=400)
    (kernel,) = data_of(text)["kernels"].values()
    spans = [span for row in kernel["rows"] for span in spans_of(row)]
    assert len(spans) <= 400 < kernel["instructions"]
    assert sum(count for *_, count, _ in spans) == kernel["instructions"], "nothing is left out"
    assert f"Thinned: there are {kernel['instructions']:,} instructions" in text
    assert kernel["fine_cycles"] < kernel["coarse_cycles"], "the group that finishes last is finer"
    drawn = {row["group"]: len(spans_of(row)) for row in kernel["rows"] if row["pipe"] == "V"}
    fine = drawn.pop(kernel["fine_group"])
    assert fine > 1.5 * max(drawn.values())
    busy = sum(span[4] for row in kernel["rows"] if row["pipe"] == "V" for span in spans_of(row))
    percent = report.kernels[0].pipe("vector", "V").busy_percent
    assert busy / 8 == pytest.approx(percent / 100 * kernel["cycles"], rel=0.05)


def test_usual_pages_are_small(tmp_path):
    page(tmp_path / "page.html", many(1000, cores=40))
    assert (tmp_path / "page.html").stat().st_size < 300_000


def test_page_loads_nothing(tmp_path):
    text, _ = page(tmp_path / "page.html", attention_like())
    elements = Elements(text).found
    assert not [tag for tag, a, _ in elements if "src" in a or tag in ("link", "img", "iframe", "base")]
    assert all(attributes["href"].startswith("#") for tag, attributes, _ in elements if tag == "a")
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    (policy,) = [a["content"] for tag, a, _ in elements if a.get("http-equiv") == "Content-Security-Policy"]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_findings_stand_at_their_lines(tmp_path):
    source = tmp_path / "kernel.asc"
    source.write_text("".join(f"line {n}\n" for n in range(1, 101)))
    text, _ = page(tmp_path / "page.html", attention_like(), findings=[
        finding(source, 50, check="declared-size", note=True), finding(source, 3, count=7)])  # fmt: skip
    assert "<b>1 problem, 1 note</b>" in text
    elements = Elements(text).found
    rows = {a["id"]: i for i, (tag, a, _) in enumerate(elements) if tag == "tr" and "id" in a}
    assert [name for name in rows if name.startswith("file1")] == [
        f"file1-line{n}" for n in (*range(1, 9), *range(45, 56))]  # fmt: skip
    for line, kind, words in ((3, "problem", "race"), (50, "note", "declared-size")):
        at = rows[f"file1-line{line}"]
        cells = elements[at:rows[f"file1-line{line + 1}"]]
        assert cells[0][1]["class"] == kind
        assert cells[1][2] == str(line) and f"line {line}" in [text for _, _, text in cells]
        assert [a["class"] for tag, a, _ in cells if tag == "div"] == [f"finding {kind}"]
        assert f"{kind}: {words}" in [text.strip() for *_, text in cells]
    assert "7 times" in text and 'href="#file1-line3"' in text


def test_text_of_others_is_text(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "SITES", [(HOSTILE, "</script>.cpp", line) for line in range(4)])
    source = tmp_path / "kernel <b>.asc"
    source.write_text(f"// {HOSTILE}\n")
    text, _ = page(tmp_path / "page.html", attention_like(), trace([vector(1)], name=HOSTILE), title=HOSTILE, findings=[
        finding(source, 1, **{key: HOSTILE for key in ("check", "instruction", "operand", "space", "core", "message",
                                                       "advice", "kernel")})])  # fmt: skip
    elements = Elements(text).found
    tags = [tag for tag, *_ in elements]
    assert tags.count("script") == 2 and "img" not in tags
    assert f"// {HOSTILE}" in [text for tag, _, text in elements if tag == "td"]
    (site, *_) = next(iter(data_of(text)["kernels"].values()))["sites"]
    assert site[0] == HOSTILE


def test_lines_that_cannot_be_read(tmp_path):
    text, _ = page(tmp_path / "page.html", attention_like(), findings=[finding(tmp_path / "gone.asc", 4)])
    assert text.count("This file cannot be read here.") == 1, "kernel.cpp, where nothing was found, is left out"
    assert 'id="file1-line4"' in text and "too early" in text and "<code>kernel.cpp:20</code>" in text


def test_lines_behind_the_end_of_a_changed_file(tmp_path):
    (tmp_path / "short.asc").write_text("one\n")
    text, _ = page(tmp_path / "page.html", attention_like(), findings=[finding(tmp_path / "short.asc", 9)])
    assert 'id="file1-line9"' in text and "too early" in text


def test_many_findings(tmp_path):
    findings = [finding(tmp_path / "gone.asc", line) for line in range(1, 131)]
    text, _ = page(tmp_path / "page.html", attention_like(), findings=findings)
    assert "130 problems" in text and "and 30 more, which this page leaves out" in text


def test_many_kernels(tmp_path):
    """The longest of each kernel, then the longest of the rest; the list says what it leaves out."""
    rare = trace([vector(1)], name="rare")
    text, _ = page(tmp_path / "page.html", *[trace([vector(n)], name="often") for n in range(1, 251)], rare)
    assert "The 200 longest of 251 launches are listed." in text
    assert "8 of 251 launches have a section" in text
    assert re.findall(r'<section class="kernel" id="kernel-(\d+)">', text) == [*map(str, range(244, 252))]
    assert len(data_of(text)["kernels"]) == 8


def test_no_kernel_came_to_its_end(tmp_path):
    text, _ = page(tmp_path / "page.html", findings=[finding(tmp_path / "gone.asc", 4)])
    assert "No kernel came to its end" in text and "too early" in text
    assert data_of(text)["kernels"] == {}


def test_page_that_cannot_be_written(tmp_path):
    with pytest.raises(profiling.ProfileError, match="cannot write"):
        page(tmp_path / "missing" / "page.html", attention_like())
