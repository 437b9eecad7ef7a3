"""Attention modules on npufa's operators, for training, prefill and decode, on the CPU and an NPU."""

from .cache import ContiguousCache
from .latent import MultiheadLatentAttention
from .multihead import MultiheadAttention

__all__ = ["ContiguousCache", "MultiheadAttention", "MultiheadLatentAttention"]
