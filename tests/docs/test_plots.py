"""The figures of docs/speed.md are what benchmarks/plots.py makes of the records, and show every row."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "records"


def module(path):
    """A script as a module; its folder, which has a `cases`, stays out of sys.path."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = loaded
    specification.loader.exec_module(loaded)
    return loaded


plots = module(ROOT / "benchmarks" / "plots.py")

RECORDED = sorted(path.stem for path in RECORDS.glob("*.json"))


def record(name):
    return json.loads((RECORDS / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", RECORDED)
def test_figures_are_drawn_from_the_records(name):
    drawn = plots.FIGURES[name](record(name))
    ElementTree.fromstring(drawn)
    assert drawn == (RECORDS / f"{name}.svg").read_text("utf-8"), "run python benchmarks/plots.py"


@pytest.mark.parametrize("name", RECORDED)
def test_records_say_when_and_where(name):
    environment = record(name)["environment"]
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", environment["date"])
    assert environment.get("soc") or environment["machine"]


def test_every_modelled_case_is_shown():
    rows = [row for row in record("npu_model")["rows"] if "percent" in row]
    text = plots.npu(record("npu_model"))
    assert len(rows) > 30
    assert all(f">{row['name']}</text>" in text for row in rows)


def test_ratios_against_other_sides_are_shown():
    row = {"group": "decode", "problem": "B1 S9", "dtype": "bf16", "ratio": 1.234}
    environment = {"machine": "m", "load": "0.1", "torch": "2", "date": "2026-12-01"}
    rows = [row | {"against": against} for against in ("SDPA folded", "plain read", "ONNX Runtime", "npufa, full")]
    text = plots.cpu({"environment": environment, "rows": rows})
    assert re.findall(rf'<rect class="([abc])" x="{plots.LABELS}"', text) == ["a", "b", "c"]
    assert text.count(">decode B1 S9 bf16</text>") == text.count(">1.23x</text>") == 3
    assert "m, load 0.1, torch 2, 2026-12-01" in text


def test_bars_have_their_lengths():
    text = plots.chart("t", "s", [], [plots.Bar("half", 5.0, "a", 7.5), plots.Bar("<beyond>", 20.0, "b")],
                       plots.Axis(10.0, (0, 10), "x"))
    room = plots.WIDTH - plots.LABELS - plots.VALUES
    assert re.findall(r'<rect class="[ab]" x="\d+" y="\d+" width="([\d.]+)"', text) == [str(room / 2), f"{room}.0"]
    assert f'<path class="bar" d="M{plots.LABELS + 0.75 * room} ' in text
    assert "&lt;beyond&gt;" in text and ">20x</text>" in text
