"""The sequences of a call, one by one: their queries, keys and values as dense tensors of heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ._cache import head_axis
from ._call import HEAD_AXIS, TOKEN_AXIS, Call
from ._pairs import length_of


@dataclass
class Sequence:
    """One sequence.

    Attributes:
        query: (N, L, D), all stored rows, rope part appended to D.
        rows: positions of the rows that count.
        key, value: (Nkv, C, D) and (Nkv, C, Dv), those that count.
        columns: positions of the keys, as masks and biases count them.
    """

    query: Tensor
    rows: Tensor
    key: Tensor
    value: Tensor
    columns: Tensor


def sequences(call: Call) -> Iterator[Sequence]:
    """Yields the sequences of a batch in float32."""
    queries = [_with_rope(call, "query", index) for index in range(call.sequences)]
    for index, query in enumerate(queries):
        rows = _window(call, query.shape[1], "q_lengths", "query_padding_size", index)
        key, value, columns = _paged(call, index) if call["block_table"] is not None else _stored(call, index)
        yield Sequence(query.float(), rows, key.float(), value.float(), columns)


def _with_rope(call: Call, name: str, index: int) -> Tensor:
    """(heads, tokens, D) of one sequence with the rotary part, whose products add, appended to the channels."""
    side = "q_lengths" if name == "query" else "kv_lengths"
    parts = [_of_sequence(call, call[part], side, index) for part in (name, f"{name}_rope") if call[part] is not None]
    return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


def _of_sequence(call: Call, tensor: Tensor, side: str, index: int) -> Tensor:
    """(heads, tokens, D) of one sequence."""
    heads = call["heads"] if side == "q_lengths" else call.kv_heads
    if call.is_packed:
        packed = call.packed(side)
        tensor = tensor.movedim(HEAD_AXIS[call.layout], 0)
        return tensor.narrow(1, packed.starts[index], packed.lengths[index])
    return _heads_first(tensor, call.layout, heads)[index]


def _heads_first(tensor: Tensor, layout: str, heads: int) -> Tensor:
    """(B, heads, tokens, D) of a dense layout."""
    if tensor.dim() == 3:
        tensor = tensor.unflatten(2, (heads, -1))
        return tensor.permute(1, 2, 0, 3) if layout == "SBH" else tensor.transpose(1, 2)
    return tensor.transpose(1, 2) if layout == "BSND" else tensor


def _window(call: Call, stored: int, side: str, padding: str, index: int) -> Tensor:
    """Positions that count among the stored ones; none where left padding points before the first."""
    device = call.query.device
    lengths = call[side]
    if call.is_packed or lengths is None:
        return torch.arange(stored, device=device)
    length = min(length_of(lengths, index, stored), stored)  # one query row: zero or not
    if call[padding] is None:
        return torch.arange(length, device=device)
    end = stored - max(int(call[padding]), 0)
    return torch.arange(end - length, end, device=device) if end >= length else torch.arange(0, device=device)


def _stored(call: Call, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, values and their columns from tensors in the call's layout."""
    side = "actual_seq_lengths" if call.operator == "npu_incre_flash_attention" else "kv_lengths"
    key, value = _with_rope(call, "key", index), _of_sequence(call, call["value"], "kv_lengths", index)
    columns = _window(call, key.shape[1], side, "kv_padding_size", index)
    key, value = key[:, columns], value[:, columns]
    if call["key_shared_prefix"] is None:
        return key, value, columns
    prefix = [_heads_first(call[name], call.layout, call.kv_heads)[0]
              for name in ("key_shared_prefix", "value_shared_prefix")]
    count = length_of(call["actual_shared_prefix_len"], 0, prefix[0].shape[1])
    columns = torch.cat([torch.arange(count, device=columns.device), columns + count])
    return torch.cat([prefix[0][:, :count], key], 1), torch.cat([prefix[1][:, :count], value], 1), columns


def _paged(call: Call, index: int) -> tuple[Tensor, Tensor, Tensor]:
    side = "actual_seq_lengths" if call.operator == "npu_incre_flash_attention" else "kv_lengths"
    columns = torch.arange(length_of(call[side], index, 0), device=call.query.device)
    size = call["block_size"]
    blocks = call["block_table"][index].long()[columns // size]

    def gather(cache: Tensor) -> Tensor:
        if cache.dim() == 5:
            return cache[blocks, :, :, columns % size].flatten(2).transpose(0, 1)
        axis = head_axis(call, cache)
        heads = cache.unflatten(2, (call.kv_heads, -1)) if cache.dim() == 3 else cache.movedim(axis, 2)
        return heads[blocks, columns % size].transpose(0, 1)

    keys = [gather(call[name]) for name in ("key", "key_rope") if call[name] is not None]
    return torch.cat(keys, -1), gather(call["value"]), columns


def longest(call: Call) -> int:
    """Query rows of the longest sequence, as compressed biases count them."""
    return max(call.packed("q_lengths").lengths, default=0) if call.is_packed else int(
        call.query.shape[TOKEN_AXIS[call.layout]])
