"""Parts of the library come with their first use, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import npufa

HEAVY = ("torch_npu", "transformers", "prometheus_client", "onnxruntime")


def test_import_brings_no_part_and_no_optional_package():
    program = f"""
import sys, npufa
parts = [name for name in npufa._PARTS if name != "compat" and f"npufa.{{name}}" in sys.modules]
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not parts and not heavy, (parts, heavy)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", npufa._PARTS)
def test_part(name):
    assert getattr(npufa, name).__name__ == f"npufa.{name}"


@pytest.mark.parametrize("name", npufa._NAMES)
def test_name(name):
    assert callable(getattr(npufa, name)) and getattr(npufa, name).__doc__


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'npufa' has no attribute 'no_such_part'"):
        npufa.no_such_part
