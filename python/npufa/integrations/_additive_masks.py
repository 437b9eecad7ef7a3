"""Additive masks of transformers under `npufa.integrations.sdpa`.

Where torch_npu is there, transformers turns an additive mask into a boolean one before it calls torch's function, for
torch_npu's kernel: what was a bias is lost.
"""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode

from ..graph._on_import import on_import

_MODULE, _FLAG = "transformers.integrations.sdpa_attention", "_is_torch_npu_available"


class _OutsideOf:
    """A flag that is false while a mode of this kind is active in the thread. Dynamo can trace it."""

    def __init__(self, mode: type[TorchFunctionMode], value: bool) -> None:
        self._mode = mode
        self._value = value

    def __bool__(self) -> bool:
        depth = torch._C._len_torch_function_stack()
        return self._value and not any(
            isinstance(torch._C._get_function_stack_at(i), self._mode) for i in range(depth))


def keep_under(mode: type[TorchFunctionMode]) -> None:
    """Makes transformers, imported now or later, pass additive masks on as they are while `mode` is active."""

    def patch(module: object) -> None:
        if hasattr(module, _FLAG):
            setattr(module, _FLAG, _OutsideOf(mode, bool(getattr(module, _FLAG))))

    on_import(_MODULE, patch)
