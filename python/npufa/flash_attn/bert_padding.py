"""Batches without their padding, and back (`flash_attn.bert_padding`).

`indices` are int64 positions of tokens in the flattened (batch * seqlen) batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def index_first_axis(input: Tensor, indices: Tensor) -> Tensor:
    """Returns `input[indices]`, rows of a tensor of at least two dimensions."""
    return input.index_select(0, indices)


def index_put_first_axis(values: Tensor, indices: Tensor, first_axis_dim: int) -> Tensor:
    """Returns (first_axis_dim, ...) with `values` at `indices` and 0 elsewhere."""
    return values.new_zeros(first_axis_dim, *values.shape[1:]).index_copy(0, indices, values)


def index_first_axis_residual(input: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Returns `input[indices]` and `input`."""
    return index_first_axis(input, indices), input


def unpad_input(
    hidden_states: Tensor, attention_mask: Tensor, unused_mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
    """Takes the tokens out of a padded batch.

    Args:
        hidden_states: (batch, seqlen, ...).
        attention_mask: bool or integer (batch, seqlen), 1 is a token.
        unused_mask: the same, 1 is a token that is kept and does not take part.

    Returns:
        hidden_states (tokens, ...), indices, cu_seqlens int32 (batch + 1,), the longest length, and int32 (batch,) the
        tokens that take part.
    """
    kept = attention_mask if unused_mask is None else attention_mask + unused_mask
    lengths = kept.sum(-1, dtype=torch.int32)
    used = attention_mask.sum(-1, dtype=torch.int32)
    indices = kept.flatten().nonzero().flatten()
    return (index_first_axis(hidden_states.flatten(0, 1), indices), indices, _cumulative(lengths),
            int(lengths.max()), used)


def unpad_input_for_concatenated_sequences(
    hidden_states: Tensor, attention_mask_in_length: Tensor
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Takes the tokens out of a padded batch whose rows hold several sequences each.

    Args:
        hidden_states: (batch, seqlen, ...).
        attention_mask_in_length: integer (batch, seqlen), each row the lengths of its sequences, then zeros.

    Returns:
        hidden_states (tokens, ...), indices, cu_seqlens int32 (sequences + 1,), the longest length.
    """
    filled = attention_mask_in_length.sum(-1, keepdim=True)
    position = torch.arange(attention_mask_in_length.shape[1], device=filled.device)
    indices = (position < filled).flatten().nonzero().flatten()
    lengths = attention_mask_in_length[attention_mask_in_length != 0]
    return index_first_axis(hidden_states.flatten(0, 1), indices), indices, _cumulative(lengths), int(lengths.max())


def pad_input(hidden_states: Tensor, indices: Tensor, batch: int, seqlen: int) -> Tensor:
    """Puts (tokens, ...) back into (batch, seqlen, ...), 0 where no token is."""
    return index_put_first_axis(hidden_states, indices, batch * seqlen).unflatten(0, (batch, seqlen))


def _cumulative(lengths: Tensor) -> Tensor:
    return F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
