"""The multimodal example: its two attentions agree, its pictures show their captions, and it runs as a script."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    return importlib.import_module("multimodal_model")


@pytest.mark.parametrize("rule", ["causal", "all", 0, 3])
def test_attentions_agree(parts, rule):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 9, 2, 16) for _ in range(3)]
    outputs = [attend(*inputs, rule, 1.0) for attend in parts.ATTENTION.values()]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-4)


def test_pictures_show_their_captions(parts):
    pictures, captions = parts.draw_pairs(64, 32, torch.Generator().manual_seed(0))
    for picture, words in zip(pictures, captions.tolist(), strict=True):
        size, brightness, _, vertical, horizontal = (parts.VOCABULARY[word] for word in words[1:])
        shape = picture > 0.25
        assert abs(picture[shape].mean() - {"dim": 0.5, "bright": 1.0}[brightness]) < 0.1
        down, across = (x.float().mean() for x in shape.nonzero(as_tuple=True))
        assert (down > 16) == (vertical == "bottom") and (across > 16) == (horizontal == "right")
        height = shape.any(1).sum()
        assert (height > 9) == (size == "large"), (size, height)


@pytest.mark.slow(group="programs")
@pytest.mark.timeout(300)
def test_trains_and_keeps_its_promises():
    from test_examples import run

    output = run("examples/multimodal_training.py", "--steps", "10", seconds=280)
    assert "FAILED" not in output and "losses agree" in output
