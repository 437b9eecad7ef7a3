"""Filters of logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ._table import operator


@operator("torch_npu-npu_top_k_top_p.md")
def npu_top_k_top_p(logits: Tensor, p: Tensor | None = None, k: Tensor | None = None) -> Tensor:
    values, indices = logits.sort(dim=-1, stable=True)
    if k is not None:
        threshold = values.gather(1, (values.shape[1] - k.long()).unsqueeze(1))
        values = values.masked_fill(values < threshold, -torch.inf)
    if p is not None:
        left_out = values.float().softmax(-1).cumsum(-1) <= 1 - p.float().unsqueeze(1)
        left_out[:, -1] = False
        values = values.masked_fill(left_out, -torch.inf)
    return torch.empty_like(values).scatter_(1, indices, values)
