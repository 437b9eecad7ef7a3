"""Calls as vLLM-Ascend and SGLang make them, against float64."""

import pytest
import torch

from cases.clients import CALLS, window_and_sink_at_one_row, without_window


@pytest.mark.parametrize("build", CALLS, ids=lambda build: build.__name__)
def test_call(build):
    build().verify()


def test_the_window_matters():
    case = window_and_sink_at_one_row()
    assert not torch.allclose(case.call()[0], without_window(case).call()[0], atol=0.1)
