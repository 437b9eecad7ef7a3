"""Seeded generators of legal calls to every operator, and their comparison with the float64 reference."""

from .advance import advance_case
from .atb import atb_case
from .cache import compressed_case, gather_case, scatter_case
from .compare import check, tolerance
from .draw import Draw
from .fusion import fusion_case, fusion_grad_case
from .inference import fused_infer_case, incre_case, prompt_case
from .merge import attention_update_case, ring_update_case
from .model import Case, one_thread
from .rotary import latent_case, rotary_case

GENERATORS = {
    "fusion": fusion_case,
    "fusion_grad": fusion_grad_case,
    "prompt": prompt_case,
    "incre": incre_case,
    "fused_infer": fused_infer_case,
    "advance_step": advance_case,
    "atb": atb_case,
    "scatter": scatter_case,
    "compressed": compressed_case,
    "gather": gather_case,
    "attention_update": attention_update_case,
    "ring_update": ring_update_case,
    "rotary": rotary_case,
    "latent": latent_case,
}

__all__ = ["Case", "Draw", "GENERATORS", "advance_case", "atb_case", "attention_update_case", "check",
           "compressed_case",
           "fused_infer_case", "fusion_case", "fusion_grad_case", "gather_case", "incre_case", "latent_case",
           "prompt_case", "random_case", "ring_update_case", "rotary_case", "scatter_case", "tolerance"]


def random_case(kind, seed, /, long=False, **fixed):
    """The legal call number `seed` of one kind; `fixed` pins features (see the generators)."""
    with one_thread():
        return GENERATORS[kind](Draw(seed, long), **fixed)
