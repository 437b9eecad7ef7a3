"""Loading of the compiled operators, and the versions that belong together."""

import re
from pathlib import Path

import pytest
import tomllib
import torch

from npufa import _library, _version

WHEEL = f"npufa=={_version.__version__}"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("built, found, advice", [
    ("2.13.0", "2.10.0+cpu", f"found 2.10.0+cpu: install the wheel {WHEEL}+torch2.10, or build it"),
    ("2.10.0", "2.13.1", f"found 2.13.1: install the wheel {WHEEL}, or build it"),
    ("2.13.0", "2.0.1", "found 2.0.1: pip install 'torch==2.13.*'; npufa can be built for torch 2.1 to 2.14 ("),
])
def test_another_torch(monkeypatch, tmp_path, built, found, advice):
    library = tmp_path / "libnpufa_torch.so"
    library.write_bytes(b"\x7fELF npufa built for torch " + built.encode() + b"\0")
    monkeypatch.setattr(_library, "LIBRARY", library)
    monkeypatch.setattr("torch.__version__", found)
    with pytest.raises(ImportError, match=re.escape(f"compiled for torch {_version.minor(built)}, {advice}")):
        _library.load()


def test_the_library_states_its_torch():
    assert _library.built_for() == torch.__version__.partition("+")[0]


def test_library_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(_library, "LIBRARY", tmp_path / "libnpufa_torch.so")
    with pytest.raises(ImportError, match=r"libnpufa_torch\.so is missing: run \./build\.sh build"):
        _library.load()


def test_library_broken(monkeypatch, tmp_path):
    broken = tmp_path / "libnpufa_torch.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(_library, "LIBRARY", broken)
    with pytest.raises(ImportError, match="cannot be loaded by torch"):
        _library.load()


def test_loading_again_changes_nothing():
    _library.load()


def test_the_default_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    row = _version.row_of(_version.DEFAULT_TORCH)
    assert f"torch=={row.torch}" in project["build-system"]["requires"]
    development = (ROOT / "requirements-dev.txt").read_text().split()
    assert {f"torch=={row.torch}", f"torch-npu=={row.torch_npu}"} <= set(development)
    assert project["project"]["requires-python"] == f">=3.{min(row.pythons[0] for row in _version.TABLE)}"


def test_the_table_is_in_order():
    minors = [tuple(map(int, row.minor.split("."))) for row in _version.TABLE]
    assert minors == sorted(set(minors))
    assert all(_version.minor(row.torch_npu) == row.minor for row in _version.TABLE)
    assert [row.tier for row in _version.TABLE] == sorted((row.tier for row in _version.TABLE), reverse=True)


@pytest.mark.parametrize("version, torch", [("2.10.0.post4", "2.10.0"), ("2.12.1+cpu", "2.12.0"), ("2.1.2", "2.1.0"),
                                            ("2.0.1", None), ("2.100.0", None), ("3.1.0", None)])
def test_row_of_a_release(version, torch):
    row = _version.row_of(version)
    assert (row and row.torch) == torch
