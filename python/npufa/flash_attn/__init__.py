"""The functions of flash_attn (Dao-AILab) on npufa's operators, for CPU and NPU tensors.

    from npufa.flash_attn import flash_attn_func, flash_attn_varlen_func, flash_attn_with_kvcache

    npufa.flash_attn.install()                  # and now `import flash_attn` finds them, too

Names, arguments and their order are those of flash_attn 2 here (:mod:`npufa.flash_attn.interface`) and of flash_attn 3
in :mod:`npufa.flash_attn.v3`. Source: the repository Dao-AILab/flash-attention.
"""

from . import bert_padding, halves, rotary, v3
from ._install import install, installed, uninstall
from .interface import (
    flash_attn_func,
    flash_attn_kvpacked_func,
    flash_attn_qkvpacked_func,
    flash_attn_varlen_func,
    flash_attn_varlen_kvpacked_func,
    flash_attn_varlen_qkvpacked_func,
    flash_attn_with_kvcache,
)

__all__ = [
    "bert_padding",
    "flash_attn_func",
    "flash_attn_kvpacked_func",
    "flash_attn_qkvpacked_func",
    "flash_attn_varlen_func",
    "flash_attn_varlen_kvpacked_func",
    "flash_attn_varlen_qkvpacked_func",
    "flash_attn_with_kvcache",
    "halves",
    "install",
    "installed",
    "rotary",
    "uninstall",
    "v3",
]
