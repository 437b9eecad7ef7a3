"""Every call has one reading: the table of tests/cases/readings.py on the simulated NPU."""

import re

import pytest
import torch

from cases.device import on_device
from cases.model import operator
from cases.readings import READINGS, on, rows_of


@pytest.mark.parametrize("index", range(len(READINGS)), ids=[r.name for r in READINGS])
@on_device
def test_reading(index):
    reading = READINGS[index]
    call = lambda: operator(reading.op)(**on(reading, "npu"))  # noqa: E731
    if reading.rows is not None:
        torch.testing.assert_close(rows_of(call(), reading), torch.tensor(reading.rows).float(), rtol=1e-3, atol=1e-3)
        return
    with pytest.raises(RuntimeError) as caught:
        call()
    for part in reading.error:
        assert re.search(part, str(caught.value)), f"{part} not in: {caught.value}"


@on_device
def test_captured_lengths_stay_cumulative():
    """Tensors that come to sum to T between replays are no plain lengths."""
    import npufa

    query, key = (torch.zeros(6, 1, 16).npu() for _ in range(2))
    value = torch.arange(6.0)[:, None, None].expand(6, 1, 16).contiguous().npu()
    lengths = torch.tensor([3, 6]).npu()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        out = npufa.npu_fusion_attention_v3(query, key, value, head_num=1, input_layout="TND", actual_seq_qlen=lengths,
                                            actual_seq_kvlen=lengths)[0]
    for given, rows in (([3, 6], [1, 1, 1, 4, 4, 4]), ([2, 4], [0.5, 0.5, 2.5, 2.5, 0, 0])):
        lengths.copy_(torch.tensor(given))
        graph.replay()
        assert out[:, 0, 0].tolist() == rows
