"""npufa under other people's code.

`sdpa` computes `torch.nn.functional.scaled_dot_product_attention` with npufa's operators;
`import npufa.integrations.transformers` adds `attn_implementation="npufa"` to Hugging Face transformers.
"""

from .scaled_dot_product import UnsupportedError, sdpa

__all__ = ["UnsupportedError", "sdpa"]
