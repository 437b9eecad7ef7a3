"""`attn_implementation="npufa"` for Hugging Face transformers: importing this module registers it.

    import npufa.integrations.transformers
    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="npufa")   # or model.set_attn_implementation

docs/transformers.md lists what is served and by which operator.
"""

from ..._autoload import guard_transformers

guard_transformers()

from transformers import AttentionInterface, AttentionMaskInterface  # noqa: E402

from .attention import npufa_attention  # noqa: E402
from .lazy_mask import LazyMask  # noqa: E402
from .masks import npufa_mask  # noqa: E402

NAME = "npufa"

AttentionInterface.register(NAME, npufa_attention)
AttentionMaskInterface.register(NAME, npufa_mask)

__all__ = ["NAME", "LazyMask", "npufa_attention", "npufa_mask"]
