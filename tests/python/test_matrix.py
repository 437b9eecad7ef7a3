"""The scripts behind `build.sh matrix` and `build.sh wheels`, as far as they build nothing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from npufa import _version

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


row_tree = script("row_tree")
install_row = script("install_row")
cross = script("cross")
matrix = script("matrix")
torch_facts = script("torch_facts")

REPORT = """<testsuites><testsuite>
<testcase classname="tests.ops.test_a" name="test_one" />
<testcase classname="tests.ops.test_a" name="test_two[x]"><failure message="m">text</failure></testcase>
<testcase classname="tests.ops.test_a" name="test_three"><error message="m">text</error></testcase>
<testcase classname="tests.ops.test_b" name="test_four"><skipped message="torch before 2.6: no such thing" /></testcase>
<testcase classname="tests.ops.test_b" name="test_five"><skipped message="no CANN" /></testcase>
</testsuite></testsuites>"""


def test_outcomes():
    found = matrix.outcomes(REPORT)
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 2, 2)
    assert found["failures"] == ["tests.ops.test_a::test_two[x]", "tests.ops.test_a::test_three"]
    assert found["refusals"] == ["torch before 2.6: no such thing"]


def test_failures_that_ran_once_more():
    before = run(refusals=["torch 2.10 has no a"])
    assert [matrix.address(name) for name in before["failures"]] == ["tests/ops/test_a.py::test_two[x]",
                                                                     "tests/ops/test_a.py::test_three"]
    again = run(date="2026-12-01", passed=1, failed=0, skipped=1, failures=[], refusals=["torch 2.10 has no b"])
    found = matrix.corrected(before, again)
    assert (found["passed"], found["failed"], found["skipped"], found["failures"]) == (2, 0, 3, [])
    assert found["refusals"] == ["torch 2.10 has no a", "torch 2.10 has no b"] and found["tests"] == matrix.SLICE


def run(**changes):
    facts = {"torch": "2.10.0+cu128", "torch_npu": "2.10.0.post4", "python": "3.11.7"}
    return {"row": "2.10.0", "machine": "x86_64", "date": "2026-11-30", "tests": matrix.SLICE, **facts,
            **matrix.outcomes(REPORT), **changes}


def test_page():
    text = matrix.page({"2.10.0 x86_64": run(), "2.13.0 x86_64": run(row="2.13.0", failures=[], refusals=[])})
    lines = [line for line in text.splitlines() if line.startswith("| 2.")]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == [row.torch for row in _version.TABLE]
    [line] = [line for line in lines if line.startswith("| 2.10.0 ")]
    machine = "x86_64, torch 2.10.0+cu128, torch_npu 2.10.0.post4, Python 3.11.7"
    assert line.endswith(f"| {machine} | 2026-11-30 | 1 | 2 | 2 |")
    assert "| 2.9.0 | 2.9.0.post9 | 3.10 to 3.14 | 1 | | | | | |" in lines
    assert ("## torch 2.10.0, x86_64\n\n- left out: torch before 2.6: no such thing\n"
            "- failed: `tests.ops.test_a::") in text
    assert "## torch 2.13.0" not in text


def test_a_row_of_tier_3_runs_without_compilers():
    row = _version.row_of("2.1.0")
    assert matrix.slice_of(row, foreign=False) == ["tests/ops", "tests/sim/torch"]
    assert matrix.slice_of(row, foreign=True) == cross.SLICE
    clean = run(row="2.1.0", failures=[], refusals=[], tests=matrix.EAGER_SLICE)
    assert matrix.describe(clean)[3:] == ["- not run: `tests/graph`, `tests/compat`, `tests/integrations`"]
    noted = run(failures=[], refusals=[], tests=["tests/ops"], note="with another library")
    assert matrix.describe(noted)[3:] == [
        "- run with: `tests/ops`", "- not run: `tests/graph`, `tests/compat`, `tests/sim/torch`, `tests/integrations`",
        "- note: with another library"]
    some = run(failures=[], refusals=[], tests=["tests/graph/test_a.py", "tests/sim/torch", "tests/ops"])
    assert matrix.describe(some)[4:] == ["- not run: `tests/compat`, `tests/integrations`"]


def test_rows():
    assert [row.tier for row in row_tree.rows([])] == [1] * sum(row.tier == 1 for row in _version.TABLE)
    assert [row.torch for row in row_tree.rows(["2.10.0", "2.1.2"])] == ["2.10.0", "2.1.0"]
    with pytest.raises(SystemExit, match="no row for torch 2.0.1; npufa is made for torch 2.1 to 2.14"):
        row_tree.rows(["2.0.1"])


def test_interpreter(monkeypatch):
    row = row_tree.rows(["2.10.0"])[0]
    assert row_tree.interpreter(row) == sys.executable
    elsewhere = row._replace(pythons=(8, 9))
    monkeypatch.setattr(row_tree.shutil, "which", {"python3.8": "/opt/python3.8"}.get)
    assert row_tree.interpreter(elsewhere) == "/opt/python3.8"
    monkeypatch.setattr(row_tree.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="torch 2.10.0 needs Python 3.8 to 3.9, none is on the path"):
        row_tree.interpreter(elsewhere)


def test_copy_of_the_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(row_tree, "sources", lambda: ["build.sh", "python/npufa/_version.py"])
    monkeypatch.setattr(row_tree, "NEEDED_GB", 0)
    with row_tree.tree(tmp_path / "row") as folder:
        assert (folder / "python/npufa/_version.py").read_bytes() == (ROOT / "python/npufa/_version.py").read_bytes()
    assert not folder.exists()
    with row_tree.tree(tmp_path / "row", keep=True) as folder:
        (folder / "built").touch()
    monkeypatch.setattr(row_tree, "sources", lambda: ["build.sh"])
    with row_tree.tree(tmp_path / "row", keep=True) as folder:
        assert (folder / "built").exists() and (folder / "build.sh").exists()
        assert not (folder / "python/npufa/_version.py").exists()  # it is gone from the sources
    monkeypatch.setattr(row_tree, "NEEDED_GB", 1e9)
    with pytest.raises(SystemExit, match="GB left; a row needs"), row_tree.tree(tmp_path / "row"):
        pass


LINES = ["torch==2.13.0", "torch-npu==2.13.0", "numpy==2.4.6", "onnx==1.23.2", "pytest==9.2.0", "", "# comment"]


def test_what_a_row_installs():
    cpu_or_cuda, torch_npu, rest = install_row.commands("2.10.0", LINES, (3, 11))
    assert cpu_or_cuda == [["torch==2.10.0+cpu"], ["torch==2.10.0"]]
    assert torch_npu == [["--no-deps", "torch-npu==2.10.0.post4"]]
    assert rest[0][0] == "torch==2.10.0" and rest[0][-3:] == ["numpy==2.4.6", "onnx==1.23.2", "pytest==9.2.0"]
    with pytest.raises(SystemExit, match="no row for torch 1.13.0"):
        install_row.commands("1.13.0", LINES, (3, 11))


@pytest.mark.parametrize("torch, python, expected", [
    ("2.10.0", (3, 11), ["numpy==2.4.6", "onnx==1.23.2", "pytest==9.2.0"]),
    ("2.5.1", (3, 10), ["numpy", "onnx", "pytest"]),
    ("2.1.0", (3, 10), ["numpy<2", "pytest"]),
])
def test_other_requirements(torch, python, expected):
    assert install_row.others(LINES, torch, python) == expected


@pytest.mark.parametrize("flag, expected", [("0", False), ("1", True), (None, True)])
def test_facts_of_a_torch(tmp_path, flag, expected):
    (tmp_path / "share/cmake/Torch").mkdir(parents=True)
    (tmp_path / "version.py").write_text("from typing import Optional\n__version__ = '2.5.1+cu124'\ndebug = False\n")
    config = "" if flag is None else f'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={flag}")\n'
    (tmp_path / "share/cmake/Torch/TorchConfig.cmake").write_text(config)
    assert torch_facts.version(tmp_path) == "2.5.1+cu124"
    assert torch_facts.has_new_abi(tmp_path) == expected


def test_a_torch_without_a_row(tmp_path):
    (tmp_path / "version.py").write_text('__version__ = "2.0.1"\n')
    done = subprocess.run([sys.executable, ROOT / "scripts/torch_facts.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"torch 2.0.1 in {tmp_path}; npufa is made for torch 2.1 to 2.14 (")


def test_a_cross_build_takes_the_tools_of_this_machine():
    assert cross.requirements(["cmake==4.4.4", "ninja==1.13.2", "numpy==2.4.6"]) == ["numpy==2.4.6"]
    for path, _, test in (name.partition("::") for name in cross.SLICE):
        assert f"def {test}" in (ROOT / path).read_text()


def test_python_of_a_cross_build(tmp_path):
    """Its `python` starts the other machine's Python under qemu; `home` is where that finds its library."""
    binaries = tmp_path / "sysroot/usr/bin"
    binaries.mkdir(parents=True)
    with pytest.raises(SystemExit, match="0 Pythons"):
        cross.environment(tmp_path / "tree", tmp_path / "sysroot")
    (binaries / "python3.11").touch()
    (binaries / "python3.11-config").touch()
    python = cross.environment(tmp_path / "tree", tmp_path / "sysroot")
    assert f"-L {tmp_path}/sysroot" in python.read_text() and f"{binaries}/python3.11 " in python.read_text()
    assert f"home = {binaries}\n" in (tmp_path / "tree/.venv/pyvenv.cfg").read_text()
    assert (tmp_path / "tree/.venv/lib/python3.11/site-packages").is_dir()


def test_a_kept_environment_is_installed_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(cross, "pip", lambda python, *arguments: calls.append(arguments) or 0)
    (tmp_path / ".venv").mkdir()
    for packages in ("numpy", "numpy", "pytest"):
        (tmp_path / "requirements-dev.txt").write_text(packages)
        cross.install(tmp_path, tmp_path / "sysroot", Path(sys.executable), "2.10.0")
    assert [arguments[-1] for arguments in calls][2::3] == ["numpy", "pytest"]
    assert calls[0][-1] == "torch==2.10.0"


def test_page_of_another_machine():
    there = run(row="2.13.0", machine="aarch64 (qemu)", tests=cross.SLICE, failures=[], refusals=[])
    text = matrix.page({"2.13.0 aarch64": there})
    assert "| aarch64 (qemu), torch 2.10.0+cu128" in text and "## torch 2.13.0" not in text
