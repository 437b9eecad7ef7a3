"""The next token of each request from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .request import GREEDY, Request


def choose(logits: Tensor, requests: Sequence[Request]) -> list[int]:
    """Returns a token for every row of logits (B, vocabulary)."""
    tokens = logits.argmax(dim=-1).tolist()
    for row, request in enumerate(requests):
        if request.params.temperature != GREEDY:
            tokens[row] = _draw(logits[row].float().cpu(), request)
    return tokens


def _draw(logits: Tensor, request: Request) -> int:
    probabilities, tokens = torch.softmax(logits / request.params.temperature, dim=-1).sort(descending=True)
    before = probabilities.cumsum(dim=0) - probabilities
    probabilities[before >= request.params.top_p] = 0
    return int(tokens[torch.multinomial(probabilities, 1, generator=request.generator)])
