"""What kind of failure an exception is."""

from __future__ import annotations

import torch

# torch's allocators: CUDA and NPU say "out of memory", the CPU's "can't allocate memory".
_TEXTS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """True for an exception that says that memory is lacking, of whatever device and type."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _TEXTS)


def is_callers_mistake(error: BaseException, *, on_cpu: bool) -> bool:
    """True for an error that every level would have to raise.

    Args:
        error: raised after the checks on meta tensors have passed.
        on_cpu: by the CPU's operators, which serve every legal call: what they refuse with their own words is a value
            in a tensor. The NPU's refuse what has no kernel there, too.
    """
    return on_cpu and not isinstance(error, MemoryError) and str(error).startswith("npufa::")
