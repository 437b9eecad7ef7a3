"""Bands and padding as arguments of the operators, against a dense softmax in float64."""

import itertools

import pytest
import torch

from cases.device import on_device
from npufa.integrations._operators import attention
from npufa.integrations._rules import Band, Intervals, Rules

BANDS = {  # relative to the shift of the diagonal
    "causal": lambda shift: Band(None, shift), "window": lambda shift: Band(shift - 3, shift),
    "full": lambda shift: Band(), "both sides": lambda shift: Band(shift - 2, shift + 2),
    "from the upper left": lambda shift: Band(None, 0),
}
GEOMETRIES = {"prefill": (9, 9, 0), "chunk": (4, 9, 5), "static cache": (5, 14, 4), "decode": (1, 9, 8),
              "decode, static cache": (1, 14, 8)}
PADDINGS = {
    "none": lambda end: None,
    "left": lambda end: Intervals((0, 4, end - 1), (end, end, end)),
    "right": lambda end: Intervals((0, 0, 0), (end, end - 2, end - 3)),
}


def expected(query, key, value, rules, sink):
    """Output, and which of its rows belong to tokens (all where the band does not tell)."""
    query, key, value = (t.detach().cpu().double() for t in (query, key, value))
    batch, heads, rows, _ = query.shape
    keys = key.shape[2]
    kept = torch.zeros(batch, 1, rows, keys, dtype=torch.bool)
    tokens = torch.ones(batch, rows, dtype=torch.bool)
    for b, i, j in itertools.product(range(batch), range(rows), range(keys)):
        start, end = (0, keys) if rules.padding is None else (rules.padding.starts[b], rules.padding.ends[b])
        lower = -keys if rules.band.lower is None else i + rules.band.lower
        upper = keys if rules.band.upper is None else i + rules.band.upper
        kept[b, 0, i, j] = lower <= j <= upper and start <= j < end
        tokens[b, i] = rules.band == Band() or start <= i + rules.shift < end
    groups = heads // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).mT * 0.3
    scores = scores.masked_fill(~kept, -torch.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.cpu().double().view(1, -1, 1, 1).expand(batch, -1, rows, 1)], dim=-1)
    weights = scores.softmax(-1)[..., :keys].nan_to_num()
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2), tokens


def check(device, geometry, padding, with_sink, training):
    rows, keys, shift = GEOMETRIES[geometry]
    for band in BANDS.values():
        if padding != "none" and band(shift) == Band(None, 0) != Band(None, shift):
            continue  # a diagonal that is not that of the tokens
        rules = Rules(band(shift), shift, PADDINGS[padding](min(keys, shift + rows)))
        query, key, value = torch.randn(3, 4, rows, 16), torch.randn(3, 2, keys, 16), torch.randn(3, 2, keys, 16)
        sink = torch.randn(4) if with_sink else None
        reference, tokens = expected(query, key, value, rules, sink)
        leaves = [t.to(device).requires_grad_(training) for t in (query, key, value)]
        output = attention(*leaves, rules, scale=0.3, sink=None if sink is None else sink.to(device))
        torch.testing.assert_close(output.detach().cpu().double()[tokens], reference[tokens], atol=1e-5, rtol=1e-5)
        assert output.requires_grad == training


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("with_sink", [False, True], ids=["no sink", "sink"])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_rules(geometry, padding, with_sink, training):
    torch.manual_seed(1)
    check("cpu", geometry, padding, with_sink, training)


@on_device
def test_rules_on_npu():
    torch.manual_seed(1)
    for padding in PADDINGS:
        check("npu", "chunk", padding, False, False)
        check("npu", "static cache", padding, True, False)
        check("npu", "chunk", padding, True, True)
        check("npu", "decode, static cache", padding, False, False)
