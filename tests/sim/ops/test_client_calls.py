"""Calls as vLLM-Ascend and SGLang make them, on the simulated NPU."""

import pytest

from cases.clients import CALLS
from cases.device import on_device
from cases.on_npu import on_npu


@pytest.mark.parametrize("index", range(len(CALLS)), ids=[build.__name__ for build in CALLS])
@on_device
def test_call(index):
    on_npu(CALLS[index]()).verify()
