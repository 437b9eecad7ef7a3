"""Which tokens of which requests the next step computes."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..kv_cache import OutOfBlocks, PagedKVCache
from .request import Request


class Chunk(NamedTuple):
    """`count` tokens of a request from token `start` on, with reserved slots of its sequence in the cache."""

    request: Request
    sequence: int
    start: int
    count: int  # type: ignore[assignment]

    @property
    def completes(self) -> bool:
        """After it the next token can be chosen."""
        return self.start + self.count == len(self.request.tokens)


class Scheduler:
    """Admits in order of arrival, computes long prompts in chunks, and preempts the youngest when blocks run out.

    A preempted request loses its blocks and waits before all others; what it had is computed again, unless the cache
    still finds it. A step admits nobody after a preemption.

    Args:
        cache: where slots are reserved.
        max_num_seqs: running requests at most.
        max_batched_tokens: tokens of a step at most.
    """

    def __init__(self, cache: PagedKVCache, max_num_seqs: int, max_batched_tokens: int) -> None:
        self.cache, self.max_num_seqs, self.max_batched_tokens = cache, max_num_seqs, max_batched_tokens
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []  # in order of admission
        self.preemptions = 0

    def schedule(self) -> list[Chunk]:
        """Returns the chunks of the next step, their slots reserved."""
        budget, preempted = self.max_batched_tokens, False
        chunks: list[Chunk] = []
        while len(chunks) < len(self.running) and budget > 0:
            request = self.running[len(chunks)]
            assert request.sequence is not None
            chunk = self._reserve(request, request.sequence, budget)
            if chunk is None:
                self._preempt(self.running.pop())
                preempted = True
            else:
                chunks.append(chunk)
                budget -= chunk.count
        while not preempted and self.waiting and budget > 0 and len(self.running) < self.max_num_seqs:
            chunk = self._admit(self.waiting[0], budget)
            if chunk is None:
                break
            self.running.append(self.waiting.popleft())
            chunks.append(chunk)
            budget -= chunk.count
        return chunks

    def remove(self, request: Request) -> None:
        """Takes a waiting or running request out and its blocks back."""
        (self.running if request.sequence is not None else self.waiting).remove(request)
        self._take_blocks(request)

    def _admit(self, request: Request, budget: int) -> Chunk | None:
        request.sequence = self.cache.create(request.tokens[:-1])  # the last one is computed for its logits
        request.computed = self.cache.length(request.sequence)
        chunk = self._reserve(request, request.sequence, budget)
        if chunk is None:
            self._take_blocks(request)
        elif request.cached_prompt_tokens is None:
            request.cached_prompt_tokens = request.computed
        return chunk

    def _reserve(self, request: Request, sequence: int, budget: int) -> Chunk | None:
        count = min(request.remaining, budget)
        try:
            self.cache.extend(sequence, request.tokens[request.computed:request.computed + count])
        except OutOfBlocks:
            return None
        return Chunk(request, sequence, request.computed, count)

    def _preempt(self, request: Request) -> None:
        self._take_blocks(request)
        request.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(request)

    def _take_blocks(self, request: Request) -> None:
        if request.sequence is not None:
            self.cache.free(request.sequence)
        request.sequence, request.computed = None, 0
