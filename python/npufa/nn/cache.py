"""What an attention module remembers of earlier tokens, in memory reserved at the start."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ContiguousCache:
    """Buffers `(B, max_tokens, *shape)`, the first `length` tokens of which are filled.

    Made by `new_cache` of a module, one for each module. For batches of unlike lengths that come and go there is
    :class:`npufa.PagedKVCache`.

    Attributes:
        buffers: the tensors, one for each shape.
        length: tokens held, the same for every sequence of the batch.
    """

    def __init__(
        self, batch_size: int, max_tokens: int, shapes: Sequence[Sequence[int]], dtype: torch.dtype,
        device: torch.device | str | None = None
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"npufa.nn: {name} is too small, got {value}; expected at least 1")
        self.buffers = tuple(
            torch.zeros(batch_size, max_tokens, *shape, dtype=dtype, device=device) for shape in shapes)
        self.length = 0

    @property
    def max_tokens(self) -> int:
        return self.buffers[0].shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(t.nbytes for t in self.buffers)

    def append(self, *new: Tensor) -> tuple[Tensor, ...]:
        """Writes new tokens `(B, S, *shape)`, one for each buffer; returns all that is held, `(B, length, *shape)`.

        Raises:
            ValueError, TypeError: no room, another shape or dtype, or tensors of a graph; nothing is written then.
        """
        tokens = new[0].shape[1]
        end = self.length + tokens
        if end > self.max_tokens:
            raise ValueError(f"npufa.nn: cache has no room for {tokens} tokens, got {self.length} of {self.max_tokens} "
                             "filled; expected a larger max_tokens, or truncate()")
        for buffer, tensor in zip(self.buffers, new, strict=True):
            expected = [buffer.shape[0], tokens, *buffer.shape[2:]]
            if [*tensor.shape] != expected:
                raise ValueError(f"npufa.nn: cache does not fit the new tokens, got {[*tensor.shape]}; expected "
                                 f"{expected}")
            if tensor.dtype != buffer.dtype:
                raise TypeError(f"npufa.nn: cache has another dtype than the new tokens, got {buffer.dtype}; expected "
                                f"{tensor.dtype}")
            if torch.is_grad_enabled() and tensor.requires_grad:
                raise ValueError("npufa.nn: cache is for inference, got tokens that require a gradient; expected "
                                 "torch.no_grad()")
        for buffer, tensor in zip(self.buffers, new, strict=True):
            buffer[:, self.length:end] = tensor
        self.length = end
        return tuple(buffer[:, :end] for buffer in self.buffers)

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"npufa.nn: length is out of range, got {length}; expected 0 to {self.length}")
        self.length = length
