"""Loading of the compiled operators, and the versions that belong together."""

import re
import tomllib
from pathlib import Path

import pytest

from npufa import _library, _version

ROOT = Path(__file__).resolve().parents[2]


def test_another_torch(monkeypatch):
    monkeypatch.setattr(_library, "TORCH_VERSION", "2.12.1")
    with pytest.raises(ImportError, match=r"compiled for torch 2\.12\.1, found .*: pip install torch==2\.12\.1"):
        _library.load()


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


def test_one_torch_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pin = f"torch=={_version.TORCH_VERSION}"
    assert pin in project["project"]["dependencies"]
    assert pin in project["build-system"]["requires"]
    assert re.search(rf"^{re.escape(pin)}$", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert f"torch-npu=={_version.TORCH_VERSION}" in project["project"]["optional-dependencies"]["npu"]
    assert f"torch-npu=={_version.TORCH_VERSION}" in (ROOT / "requirements-dev.txt").read_text().split()
