"""Dense float64 reference of every npufa operator, written from the specification alone.

Slow and plain on purpose: one sequence at a time, the whole score matrix in memory, no tiling.
"""

from .advance_step import advance_step
from .dropout import keep_bits, pack_bits, philox_mask, unpack_bits
from .fusion import fusion_attention, fusion_attention_grad
from .inference import fused_infer, incre, prompt
from .quant import pack_int4, unpack_int4

__all__ = [
    "advance_step", "fused_infer", "fusion_attention", "fusion_attention_grad", "incre", "keep_bits",
    "pack_bits", "pack_int4", "philox_mask", "prompt", "unpack_bits", "unpack_int4",
]
