"""Attention of a whole sequence in float64 with everything in memory, from SPEC sections 3 and 4."""

import torch

LIMIT = 2**31 - 1


def kept(rows, keys, **rules):
    """(rows, keys) bool, True where the pair takes part."""
    return _kept(torch.arange(rows)[:, None], rows, keys, **rules)


def kept_row(row, rows, keys, **rules):
    """(1, keys) bool of one row."""
    return _kept(torch.tensor([[row]]), rows, keys, **rules)


def _kept(i, rows, keys, sparse_mode=0, pre_tokens=LIMIT, next_tokens=LIMIT, sink_tokens=0):
    j = torch.arange(keys)[None]
    if sparse_mode == 0:
        return torch.ones(len(i), keys, dtype=torch.bool)
    if sparse_mode == 2:
        return j <= i
    diagonal = i + keys - rows
    if sparse_mode == 3:
        return j <= diagonal
    return (j <= diagonal + next_tokens) & ((j >= diagonal - pre_tokens) | (j < sink_tokens))


def attention(query, key, value, keep, scale=None):
    """BNSD output (B, N, Sq, Dv) and log-sum-exp (B, N, Sq, 1) in float64, differentiable."""
    query, key, value = (t.double() for t in (query, key, value))
    key, value = (t.repeat_interleave(query.shape[1] // key.shape[1], 1) for t in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scale is None else scale)
    rows = keep.any(-1)[:, None]
    lse = torch.where(keep, scores, -torch.inf).logsumexp(-1, keepdim=True)
    lse = torch.where(rows, lse, 0.0)
    weights = torch.where(keep, (scores - lse).exp(), 0.0)
    return weights @ value, torch.where(rows, lse, torch.inf)


def with_gradients(query, key, value, dy, keep):
    """Output, log-sum-exp, dq, dk, dv of the same."""
    leaves = [t.detach().double().requires_grad_() for t in (query, key, value)]
    output, lse = attention(*leaves, keep)
    return output.detach(), lse.detach(), *torch.autograd.grad(output, leaves, dy.double())
