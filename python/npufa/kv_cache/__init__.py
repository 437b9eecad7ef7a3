"""Paged key/value cache: blocks, sequences, sharing, int8 storage and attention over it. See docs/kv_cache.md."""

from .allocator import BlockAllocator, OutOfBlocks
from .attention import paged_attention
from .cache import PagedKVCache
from .storage import BlockStorage
from .usage import CacheUsage

__all__ = ["BlockAllocator", "BlockStorage", "CacheUsage", "OutOfBlocks", "PagedKVCache", "paged_attention"]
