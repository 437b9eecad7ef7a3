"""The tensors of the requests that decode, advanced on their device from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..kv_cache import PagedKVCache
from ..ops import npu_advance_step_flashattn
from .scheduler import Chunk


class DecodeState:
    """One token per request: `npu_advance_step_flashattn` turns the state of a step into that of the next one.

    Attributes:
        input_tokens, input_positions, seq_lens, slot_mapping: int64 (B,).
        block_tables: int64 (B, blocks).
    """

    def __init__(self, cache: PagedKVCache) -> None:
        self._cache = cache
        self._block_size = cache.block_size
        self.forget()

    def forget(self) -> None:
        """Makes the next step start from what requests and cache know."""
        self._sequences: list[int] = []
        self._num_blocks: list[int] = []
        self.input_tokens = self.input_positions = self.seq_lens = self.slot_mapping = torch.empty(0, dtype=torch.int64)
        self.block_tables = torch.empty(0, 0, dtype=torch.int64)

    def advance(self, chunks: Sequence[Chunk]) -> None:
        """Takes the last token of every request as input; its slot has been reserved."""
        device, count = self._cache.device, len(chunks)
        sequences = [chunk.sequence for chunk in chunks]
        if sequences != self._sequences:
            self.seq_lens = torch.tensor([chunk.start for chunk in chunks]).to(device)
            self.input_tokens, self.input_positions, self.slot_mapping = self.seq_lens.new_zeros(3, count)
        num_blocks = [len(self._cache.blocks(sequence)) for sequence in sequences]
        if sequences != self._sequences or num_blocks != self._num_blocks:
            self.block_tables = self._cache.block_table(sequences).to(torch.int64)
        self._sequences, self._num_blocks = sequences, num_blocks
        sampled = torch.tensor([chunk.request.tokens[-1] for chunk in chunks]).to(device)
        npu_advance_step_flashattn(
            self.input_tokens, sampled, self.input_positions, self.seq_lens, self.slot_mapping, self.block_tables,
            count, count, self._block_size)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, positions, slots and lengths of the step."""
        return self.input_tokens, self.input_positions, self.slot_mapping, self.seq_lens
