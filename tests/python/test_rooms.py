"""Who may include whom among the folders of op_kernel/attention and of framework/cpu (docs/architecture.md)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ATTENTION = ROOT / "op_kernel" / "attention"
BELOW = {  # rooms that a room may include from, beside itself
    "tiles": set(),
    "call": {"tiles"},
    "stored": {"tiles", "call"},
    "softmax": {"tiles", "call", "stored"},
    "terms": {"tiles", "call", "stored", "softmax"},
    "forward": {"tiles", "call", "stored", "softmax", "terms"},
    "backward": {"tiles", "call", "stored", "softmax", "terms"},
}


def included(source: Path) -> set[Path]:
    """Headers of the repository beside which, or under framework, a source names them."""
    names = re.findall(r'#include "([^"]+)"', source.read_text())
    places = [(source.parent / name, ROOT / "framework" / name) for name in names]
    return {path.resolve() for pair in places for path in pair if path.exists()}


def test_every_folder_has_its_place():
    assert {path.name for path in ATTENTION.iterdir()} == set(BELOW)


@pytest.mark.parametrize("room", BELOW)
def test_a_room_includes_from_those_above_it(room):
    sources = list((ATTENTION / room).glob("*.h"))
    assert sources
    reached = {(source.name, path.parent) for source in sources for path in included(source)}
    allowed = {ATTENTION / name for name in BELOW[room] | {room}} | {ROOT / "op_kernel" / "tiling"}
    assert not {(name, str(folder)) for name, folder in reached if folder not in allowed}


def test_tiling_structs_need_nothing_else():
    for header in (ROOT / "op_kernel" / "tiling").glob("*.h"):
        assert {path.parent for path in included(header)} <= {header.parent}, header.name


def test_op_host_looks_into_tiling_alone():
    sources = [path for path in (ROOT / "op_host").rglob("*") if path.suffix in (".h", ".cpp")]
    reached = {path.parent for source in sources for path in included(source) if (ROOT / "op_kernel") in path.parents}
    assert reached == {ROOT / "op_kernel" / "tiling"}


@pytest.mark.parametrize("folder", ["primitives", "attention"])
def test_loops_of_the_cpu_know_no_torch(folder):
    """But for brgemm, which is ATen's."""
    for source in (ROOT / "framework" / "cpu" / folder).iterdir():
        if source.suffix in (".h", ".cpp") and source.name != "brgemm_products.cpp":
            assert not re.search(r"#include <(ATen|torch|c10)/", source.read_text()), source.name
            assert not {path for path in included(source) if path.parent == ROOT / "framework"}, source.name
