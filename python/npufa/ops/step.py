"""Bookkeeping between two decode steps."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from torch import Tensor

from ._operator import operator

__all__ = [
    "npu_advance_step_flashattn",
]


@operator
def npu_advance_step_flashattn(
    input_tokens: Tensor,
    sampled_token_ids: Tensor,
    input_positions: Tensor,
    seq_lens: Tensor,
    slot_mapping: Tensor,
    block_tables: Tensor,
    num_seqs: int,
    num_queries: int,
    block_size: int,
    *,
    spec_token: Tensor | None = None,
    accepted_num: Tensor | None = None,
) -> None:
    """Advances a decode batch by one step, in place.

    For request i < num_queries: `input_tokens[i] = sampled_token_ids[i]`; with p = `seq_lens[i]`,
    `input_positions[i] = p`, `seq_lens[i] = p + 1` and `slot_mapping[i]` is the cache slot of token p. The padding
    requests num_queries <= i < num_seqs get token 0, position 0 and slot -1; their seq_lens stay.

    With speculation (k = `spec_token.size(1)`, given together with `accepted_num`) every request has 1 + k entries:
    `input_positions += 1 + accepted_num[i]`, `seq_lens = input_positions + 1`, the first token is the last valid one of
    the request's row of `sampled_token_ids` (entries before the first -1), the others are `spec_token`.

    All tensors are int64.

    Values of tensors cannot be checked before a launch on an NPU. There a request with an illegal one (a position
    beyond its row of `block_tables`, a negative block, an `accepted_num` outside 0..k, no sampled token) keeps its
    tokens, positions and lengths, gets slot -1, and nothing is raised; the other requests advance. k is at most 1791
    there.

    Args:
        input_tokens: (num_seqs,), or (num_seqs * (1 + k),) with speculation; written.
        sampled_token_ids: (num_queries,) or (num_queries, 1); with speculation (num_seqs, 1 + k), -1 after the last
            accepted token.
        input_positions: shape of `input_tokens`, in tokens; written.
        seq_lens: shape of `input_tokens`, in tokens; written.
        slot_mapping: shape of `input_tokens`, `block * block_size + offset`; written.
        block_tables: (num_seqs, blocks per sequence), physical block of each logical block.
        num_seqs: requests in the batch including padding.
        num_queries: requests that are alive, at most `num_seqs`.
        block_size: tokens in a cache block.
        spec_token: (num_seqs, k) proposed tokens.
        accepted_num: (num_seqs,) proposed tokens that were accepted in this step.

    Raises:
        RuntimeError, ValueError: an illegal argument, or (CPU) a position beyond its row of `block_tables`; the message
            names the argument. Nothing has been written then.

    Source: SPEC section 9; torch_npu page `npu_advance_step_flashattn`.
    """
    ...
