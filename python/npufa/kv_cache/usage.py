"""Figures of a paged cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheUsage:
    """State of a pool of blocks.

    Attributes:
        num_blocks, block_size: the pool.
        used_blocks: owned by at least one sequence.
        cached_blocks: owned by none, contents still findable.
        free_blocks: neither.
        shared_blocks: owned by more than one sequence.
        sequences: living ones.
        tokens: of all sequences; a shared token counts for each.
        filled_slots: slots of used blocks that hold a token.
        bytes_per_block: keys, values and scales of all layers.
    """

    num_blocks: int
    block_size: int
    used_blocks: int
    cached_blocks: int
    free_blocks: int
    shared_blocks: int
    sequences: int
    tokens: int
    filled_slots: int
    bytes_per_block: int

    @property
    def used_bytes(self) -> int:
        return self.used_blocks * self.bytes_per_block

    @property
    def total_bytes(self) -> int:
        return self.num_blocks * self.bytes_per_block

    @property
    def bytes_per_token(self) -> float:
        """Of one token in a full block."""
        return self.bytes_per_block / self.block_size

    @property
    def utilisation(self) -> float:
        """Used blocks as a part of the pool."""
        return self.used_blocks / self.num_blocks

    @property
    def fragmentation(self) -> float:
        """Part of the used blocks' slots that hold no token."""
        return 1.0 - self.filled_slots / (self.used_blocks * self.block_size) if self.used_blocks else 0.0
