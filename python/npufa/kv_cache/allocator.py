"""Who owns which block of a pool, and which contents can be found again."""

from __future__ import annotations

from collections import OrderedDict


class OutOfBlocks(RuntimeError):
    """A request needs more blocks than are free; nothing has been changed."""


class BlockAllocator:
    """Hands out the blocks 0 .. num_blocks - 1.

    A block is in one of three states: *owned* by one or more references, *free*, or *cached*: without a reference, but
    its contents are known by a digest. `allocate` takes free blocks first, then the cached one released longest ago.

    The scheme of vLLM (Kwon et al. 2023, arXiv 2309.06180): reference counts, and contents found by hash.
    """

    def __init__(self, num_blocks: int) -> None:
        self._references = [0] * num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))
        self._digests: list[bytes | None] = [None] * num_blocks
        self._by_digest: dict[bytes, int] = {}
        self._cached: OrderedDict[int, None] = OrderedDict()  # released longest ago first

    @property
    def num_blocks(self) -> int:
        return len(self._references)

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_cached(self) -> int:
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Blocks that `allocate` can hand out."""
        return len(self._free) + len(self._cached)

    def references(self, block: int) -> int:
        return self._references[block]

    def allocate(self, count: int) -> list[int]:
        """Returns `count` blocks with one reference each, their former contents forgotten.

        Raises:
            OutOfBlocks: fewer are available.
        """
        if count > self.num_available:
            raise OutOfBlocks(f"npufa.kv_cache: {count} blocks are needed, got {self.num_available} of "
                              f"{self.num_blocks} that are not in use; expected sequences to be freed first")
        blocks = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block in blocks:
            self._references[block] = 1
        return blocks

    def share(self, block: int) -> None:
        """Adds a reference to an owned or cached block."""
        self._cached.pop(block, None)
        self._references[block] += 1

    def release(self, block: int) -> None:
        """Takes a reference away; after the last one the block is cached if its contents are known, else free."""
        self._references[block] -= 1
        if self._references[block]:
            return
        if self._digests[block] is None:
            self._free.append(block)
        else:
            self._cached[block] = None

    def publish(self, block: int, digest: bytes) -> None:
        """Makes the contents of an owned block known; the first block of a digest stays the one that is found."""
        if digest not in self._by_digest and self._digests[block] is None:
            self._by_digest[digest] = block
            self._digests[block] = digest

    def withdraw(self, block: int) -> None:
        """Forgets the contents of a block, which is about to be written."""
        digest = self._digests[block]
        if digest is not None:
            del self._by_digest[digest]
            self._digests[block] = None

    def find(self, digest: bytes) -> int | None:
        """Returns the block with these contents."""
        return self._by_digest.get(digest)

    def is_cached(self, block: int) -> bool:
        return block in self._cached

    def _evict(self) -> int:
        block, _ = self._cached.popitem(last=False)
        self.withdraw(block)
        return block
