"""Importing transformers where torch_npu is installed, with and without an NPU."""

import subprocess
import sys

import pytest

from cases.device import on_device

QUESTION = "from transformers.utils import is_torch_npu_available as available; print(available())"


def test_transformers_finds_no_npu_without_cann():
    result = subprocess.run([sys.executable, "-c", QUESTION], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr


@pytest.mark.slow(group="programs")
def test_backend_needs_no_torch_npu():
    """A torch_npu that cannot be imported at all does not matter."""
    code = "import sys; sys.modules['torch_npu'] = None; from npufa.integrations.transformers import NAME; print(NAME)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "npufa\n", result.stderr


@on_device
def test_transformers_finds_the_simulated_npu():
    from transformers.utils import is_torch_npu_available

    assert is_torch_npu_available() and is_torch_npu_available(check_device=True)


def test_guard_looks_at_nothing_else(monkeypatch):
    from npufa import _autoload

    assert _autoload.TransformersFinder.find_spec("transformers.utils.hub", None) is None
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(_autoload, "cann_library", lambda: "libascendcl.so")
    _autoload.guard_transformers()
    assert sys.meta_path == []  # a host with CANN
    monkeypatch.setattr(_autoload, "cann_library", lambda: None)
    monkeypatch.setattr(_autoload, "find_spec", lambda name: object())
    _autoload.guard_transformers()
    _autoload.guard_transformers()
    assert sys.meta_path == [_autoload.TransformersFinder]


@pytest.mark.parametrize("attribute", ["AttentionInterface", "AttentionMaskInterface"])
def test_registered(attribute):
    import transformers

    import npufa.integrations.transformers as backend

    assert backend.NAME in getattr(transformers, attribute)()
