"""Dense float64 reference of every npufa operator, written from the specification alone.

Slow and plain on purpose: one sequence at a time, the whole score matrix in memory, no tiling.
"""

from .advance_step import advance_step
from .atb import MASKS, atb
from .cache import compressed, gather, scatter
from .dropout import keep_bits, pack_bits, philox_mask, unpack_bits
from .fusion import fusion_attention, fusion_attention_grad
from .inference import fused_infer, incre, prompt
from .merge import attention_update, ring_update
from .quant import pack_int4, unpack_int4
from .rotary import interleave_rope, latent_rows, rotary, stored_rows

__all__ = [
    "MASKS", "advance_step", "atb", "attention_update", "compressed", "fused_infer", "fusion_attention",
    "fusion_attention_grad", "gather", "incre", "interleave_rope", "keep_bits", "latent_rows", "pack_bits", "pack_int4",
    "philox_mask", "prompt", "ring_update", "rotary", "scatter", "stored_rows", "unpack_bits", "unpack_int4",
]
