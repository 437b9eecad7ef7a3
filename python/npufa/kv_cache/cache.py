"""Sequences over a pool of blocks."""

from __future__ import annotations

import hashlib
import itertools
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .allocator import BlockAllocator
from .attention import paged_attention
from .storage import BlockStorage
from .usage import CacheUsage

_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@dataclass
class _Sequence:
    """Blocks of a sequence; always as many as `length` tokens need.

    `token_ids` are those of all tokens, None once a token came without; `digests` are those of the full blocks whose
    contents are known to be stored.
    """

    blocks: list[int] = field(default_factory=list)
    length: int = 0
    stored: int = 0
    token_ids: list[int] | None = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


class PagedKVCache:
    """Keys and values of many sequences in blocks of `block_size` tokens.

    A sequence owns blocks for the tokens it has, and shares blocks with others: after `fork`, and where its first
    tokens are those of another sequence (`create` finds full blocks by a hash chained over token ids). A shared block
    is copied before it is written. Blocks that a sequence leaves stay findable until they are needed. Not thread-safe.

    Tokens enter by `append`; or, in a model that computes layer by layer, by `extend` (reserves slots), `write` for
    every layer and `commit` (lets others find the full blocks).

    Args:
        num_blocks: blocks in the pool, shared by all layers: a block holds its tokens' keys and values of every layer.
        block_size: tokens in a block; multiples of 16 are fastest.
        num_kv_heads: Nkv.
        head_dim: D.
        num_layers: layers of the model.
        value_head_dim: Dv, at most D; None means D.
        dtype: float16, bfloat16 or float32, of what is written and of queries.
        device: of the pool.
        kv_cache_dtype: None stores `dtype`; torch.int8 quantises each token's head with a scale of its own.
        prefix_caching: find blocks by their token ids.

    Raises:
        ValueError: an illegal argument; the message names it.

    Source: PagedAttention (Kwon et al. 2023, arXiv 2309.06180); usage guide section 4.3; SPEC sections 6 and 7.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        num_kv_heads: int,
        head_dim: int,
        *,
        num_layers: int = 1,
        value_head_dim: int | None = None,
        dtype: torch.dtype = torch.float16,
        device: torch.device | str = "cpu",
        kv_cache_dtype: torch.dtype | None = None,
        prefix_caching: bool = True,
    ) -> None:
        value_dim = head_dim if value_head_dim is None else value_head_dim
        sizes = {"num_blocks": num_blocks, "block_size": block_size, "num_kv_heads": num_kv_heads,
                 "head_dim": head_dim, "num_layers": num_layers, "value_head_dim": value_dim}
        for name, size in sizes.items():
            if size < 1:
                raise _error(f"{name} is not positive, got {size}; expected at least 1")
        if value_dim > head_dim:
            raise _error(f"value_head_dim exceeds head_dim, got {value_dim}; expected at most {head_dim}")
        if dtype not in _DTYPES:
            raise _error(f"dtype is not supported, got {dtype}; expected float16, bfloat16 or float32")
        if kv_cache_dtype not in (None, torch.int8):
            raise _error(f"kv_cache_dtype is not supported, got {kv_cache_dtype}; expected None or torch.int8")
        self.num_blocks, self.block_size, self.num_layers = num_blocks, block_size, num_layers
        self.num_kv_heads, self.head_dim, self.value_head_dim = num_kv_heads, head_dim, value_dim
        self.dtype, self.device = dtype, torch.device(device)
        self.prefix_caching = prefix_caching
        self.storage = BlockStorage(num_layers, num_blocks, block_size, num_kv_heads, (head_dim, value_dim),
                                    dtype if kv_cache_dtype is None else kv_cache_dtype, device)
        self._allocator = BlockAllocator(num_blocks)
        self._sequences: dict[int, _Sequence] = {}
        self._ids = itertools.count()

    # Sequences

    def create(self, token_ids: Sequence[int] = ()) -> int:
        """Starts a sequence and returns its id.

        Args:
            token_ids: the tokens it will hold: full blocks that already hold its first ones become its own;
                `length` tells how many tokens that are. The others are to be extended.
        """
        sequence = _Sequence()
        if self.prefix_caching:
            for start in range(0, len(token_ids) - self.block_size + 1, self.block_size):
                digest = self._digest(sequence.digests, token_ids[start:start + self.block_size])
                block = self._allocator.find(digest)
                if block is None:
                    break
                self._allocator.share(block)
                sequence.blocks.append(block)
                sequence.digests.append(digest)
        sequence.length = sequence.stored = len(sequence.blocks) * self.block_size
        sequence.token_ids = list(token_ids[:sequence.length])
        name = next(self._ids)
        self._sequences[name] = sequence
        return name

    def extend(self, sequence: int, tokens: int | Sequence[int]) -> None:
        """Reserves slots for further tokens.

        Args:
            tokens: their ids, or how many; without ids no later block of the sequence is shared by its contents.

        Raises:
            OutOfBlocks: there are not enough blocks; nothing has changed.
            ValueError: a negative number.
        """
        state = self._state(sequence)
        count = tokens if isinstance(tokens, int) else len(tokens)
        if count < 0:
            raise _error(f"tokens is negative, got {count}; expected at least 0")
        if count == 0:
            return
        open_block = state.blocks[-1] if state.length % self.block_size else None
        copied = open_block is not None and self._allocator.references(open_block) > 1
        blocks = self._allocator.allocate(self._blocks_for(state.length + count) - len(state.blocks) + copied)
        if open_block is not None and copied:
            self.storage.copy_block(open_block, blocks[0])
            self._allocator.release(state.blocks.pop())
        elif open_block is not None:
            self._allocator.withdraw(open_block)
        state.blocks += blocks
        state.length += count
        if isinstance(tokens, int):
            state.token_ids = None
        elif state.token_ids is not None:
            state.token_ids += tokens

    def commit(self, sequence: int) -> None:
        """Says that all reserved slots have been written in every layer: full blocks may be found by `create` now."""
        state = self._state(sequence)
        state.stored = state.length
        if state.token_ids is None or not self.prefix_caching:
            return
        for index in range(len(state.digests), state.length // self.block_size):
            start = index * self.block_size
            state.digests.append(self._digest(state.digests, state.token_ids[start:start + self.block_size]))
            self._allocator.publish(state.blocks[index], state.digests[index])

    def append(self, sequence: int, key: Tensor, value: Tensor, token_ids: Sequence[int] | None = None) -> None:
        """Stores tokens at the end of a sequence: `extend`, `write` for every layer, `commit`.

        Args:
            key, value: (num_layers, T, Nkv, D) and (num_layers, T, Nkv, Dv); with one layer the first axis may be left
                out.
            token_ids: T of them.

        Raises:
            OutOfBlocks: there are not enough blocks; nothing has changed.
            ValueError: a shape, a type or a number of ids is wrong; nothing has changed.
        """
        if self.num_layers == 1 and key.dim() == 3 and value.dim() == 3:
            key, value = key.unsqueeze(0), value.unsqueeze(0)
        if key.dim() != 4 or key.shape[0] != self.num_layers or value.shape[:1] != key.shape[:1]:
            raise _error(f"key and value have shapes {tuple(key.shape)} and {tuple(value.shape)}; expected "
                         f"({self.num_layers}, T, {self.num_kv_heads}, head size)")
        count = key.shape[1]
        self._check_tokens(key[0], value[0], count)
        if token_ids is not None and len(token_ids) != count:
            raise _error(f"token_ids has the wrong length, got {len(token_ids)}; expected {count}, that of key")
        start = self.length(sequence)
        self.extend(sequence, count if token_ids is None else token_ids)
        slots = self.slot_mapping(sequence, start)
        for layer in range(self.num_layers):
            self.storage.write(layer, slots, key[layer], value[layer])
        self.commit(sequence)

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Stores keys and values of one layer in reserved slots.

        Args:
            slots: int64 (T,), of `slot_mapping`.
            key, value: (T, Nkv, D) and (T, Nkv, Dv).

        Raises:
            ValueError: a shape, a type or the layer is wrong; nothing has been written.
        """
        self._check_layer(layer)
        self._check_tokens(key, value, len(slots))
        self.storage.write(layer, slots, key, value)

    def fork(self, sequence: int) -> int:
        """Returns a new sequence with the same tokens in the same blocks; whichever is extended copies its last one.

        Raises:
            ValueError: reserved slots of the sequence are not committed.
        """
        state = self._state(sequence)
        if state.stored < state.length:
            raise _error(f"sequence {sequence} has {state.length - state.stored} reserved tokens without contents; "
                         "expected commit before fork")
        for block in state.blocks:
            self._allocator.share(block)
        ids = None if state.token_ids is None else list(state.token_ids)
        name = next(self._ids)
        self._sequences[name] = _Sequence(list(state.blocks), state.length, state.stored, ids, list(state.digests))
        return name

    def truncate(self, sequence: int, length: int) -> None:
        """Keeps the first `length` tokens.

        Raises:
            ValueError: a length beyond that of the sequence, or negative.
        """
        state = self._state(sequence)
        if not 0 <= length <= state.length:
            raise _error(f"length is out of range, got {length}; expected 0 to {state.length}, the tokens of "
                         f"sequence {sequence}")
        kept = self._blocks_for(length)
        for block in reversed(state.blocks[kept:]):  # the end of a sequence is the first to be reused
            self._allocator.release(block)
        del state.blocks[kept:], state.digests[length // self.block_size:]
        if state.token_ids is not None:
            del state.token_ids[length:]
        elif length == 0:
            state.token_ids = []
        state.length, state.stored = length, min(state.stored, length)

    def free(self, sequence: int) -> None:
        """Ends a sequence."""
        self.truncate(sequence, 0)
        del self._sequences[sequence]

    # What the operators need

    def length(self, sequence: int) -> int:
        """Tokens of a sequence, reserved ones included."""
        return self._state(sequence).length

    def blocks(self, sequence: int) -> list[int]:
        """Physical blocks of a sequence in the order of its tokens."""
        return list(self._state(sequence).blocks)

    def block_table(self, sequences: Sequence[int]) -> Tensor:
        """Returns int32 (B, most blocks of a sequence), -1 where a sequence has none."""
        rows = [self._state(sequence).blocks for sequence in sequences]
        width = max(map(len, rows), default=0)
        table = [[*row, *[-1] * (width - len(row))] for row in rows]
        return torch.tensor(table, dtype=torch.int32).view(len(rows), width).to(self.device)

    def slot_mapping(self, sequence: int, start: int = 0, end: int | None = None) -> Tensor:
        """Returns int64 (end - start,), `block * block_size + offset` of tokens `start <= t < end`."""
        state = self._state(sequence)
        end = state.length if end is None else end
        if not 0 <= start <= end <= state.length:
            raise _error(f"tokens {start} to {end} are not those of sequence {sequence}; expected 0 <= start <= end <= "
                         f"{state.length}")
        token = torch.arange(start, end)
        blocks = torch.tensor(state.blocks, dtype=torch.int64)
        slots = blocks[token // self.block_size] * self.block_size + token % self.block_size
        return slots.to(self.device)

    def read(self, sequence: int, layer: int = 0) -> tuple[Tensor, Tensor]:
        """Returns key (length, Nkv, D) and value (length, Nkv, Dv) of a sequence in `dtype`, contiguous."""
        self._check_layer(layer)
        return self.storage.read(layer, self.slot_mapping(sequence), self.dtype)

    def attention(
        self,
        query: Tensor,
        sequences: Sequence[int],
        layer: int = 0,
        *,
        query_lengths: Sequence[int] | None = None,
        scale: float | None = None,
        window: int | None = None,
        sink: Tensor | None = None,
        softcap: float = 0.0,
        return_lse: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Causal attention of the last tokens of sequences over their cached keys and values.

        Args:
            query: (T, N, D), the tokens of the first sequence, then those of the second, ...
            sequences: B ids.
            layer: whose keys and values.
            query_lengths: query tokens of each sequence; None is one each.
            scale: factor of the scores; None means 1 / sqrt(D).
            window: keys that a token sees, itself included; None is all.
            sink: (N,), one further logit per head.
            softcap: cap of the scaled scores; 0.0 is none.
            return_lse: return the log-sum-exp, too.

        Returns:
            Output (T, N, Dv); with `return_lse` also float32 (T, N, 1).

        Raises:
            ValueError: an illegal argument, or more query tokens than a sequence has; the message names it.
        """
        self._check_layer(layer)
        counts = [1] * len(sequences) if query_lengths is None else list(query_lengths)
        lengths = [self.length(sequence) for sequence in sequences]
        if query.dim() != 3 or query.shape[2] != self.head_dim or query.shape[1] % self.num_kv_heads:
            raise _error(f"query has shape {tuple(query.shape)}; expected (T, N, {self.head_dim}) with N a multiple of "
                         f"{self.num_kv_heads}")
        if len(counts) != len(sequences) or sum(counts) != query.shape[0]:
            raise _error(f"query_lengths does not fit, got {counts}; expected {len(sequences)} values with sum "
                         f"{query.shape[0]}, the tokens of query")
        if any(not 0 <= count <= length for count, length in zip(counts, lengths)):
            raise _error(f"query_lengths exceed the sequences, got {counts}; expected at most {lengths}")
        if window is not None and window < 1:
            raise _error(f"window is not positive, got {window}; expected None or at least 1")
        output, lse = paged_attention(
            self.storage, layer, query, self.block_table(sequences), list(itertools.accumulate(counts)), lengths,
            scale=1.0 / math.sqrt(self.head_dim) if scale is None else scale, window=window, sink=sink,
            softcap=softcap, return_lse=return_lse)
        return (output, lse) if return_lse else output

    # Figures

    def blocks_needed(self, sequence: int, count: int) -> int:
        """Blocks that `extend` by `count` tokens would take from the pool."""
        state = self._state(sequence)
        copied = count > 0 and state.length % self.block_size and self._allocator.references(state.blocks[-1]) > 1
        return self._blocks_for(state.length + count) - len(state.blocks) + bool(copied)

    @property
    def available_blocks(self) -> int:
        """Blocks that no sequence owns."""
        return self._allocator.num_available

    def usage(self) -> CacheUsage:
        """Returns how much of the pool is used, shared and wasted."""
        filled: dict[int, int] = {}
        for state in self._sequences.values():
            for index, block in enumerate(state.blocks):
                tokens = min(self.block_size, state.length - index * self.block_size)
                filled[block] = max(filled.get(block, 0), tokens)
        return CacheUsage(
            num_blocks=self.num_blocks, block_size=self.block_size, used_blocks=len(filled),
            cached_blocks=self._allocator.num_cached, free_blocks=self._allocator.num_free,
            shared_blocks=sum(self._allocator.references(block) > 1 for block in filled),
            sequences=len(self._sequences), tokens=sum(state.length for state in self._sequences.values()),
            filled_slots=sum(filled.values()), bytes_per_block=self.storage.bytes_per_block)

    def _digest(self, before: list[bytes], token_ids: Sequence[int]) -> bytes:
        """Of the contents of a block: its tokens and all before them, which keys and values depend on."""
        return hashlib.sha256((before[-1] if before else b"") + array("q", token_ids).tobytes()).digest()

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def _state(self, sequence: int) -> _Sequence:
        try:
            return self._sequences[sequence]
        except KeyError:
            raise _error(f"sequence is unknown, got {sequence}; expected an id that create or fork returned and that "
                         "was not freed") from None

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < self.num_layers:
            raise _error(f"layer is out of range, got {layer}; expected 0 to {self.num_layers - 1}")

    def _check_tokens(self, key: Tensor, value: Tensor, count: int) -> None:
        for name, tensor, size in (("key", key, self.head_dim), ("value", value, self.value_head_dim)):
            expected = (count, self.num_kv_heads, size)
            if tuple(tensor.shape) != expected or tensor.dtype != self.dtype:
                raise _error(f"{name} does not fit, got {tuple(tensor.shape)} {tensor.dtype}; expected {expected} "
                             f"{self.dtype} (tokens, heads, head size)")


def _error(message: str) -> ValueError:
    return ValueError(f"npufa.PagedKVCache: {message}")
