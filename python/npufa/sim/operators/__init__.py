"""What stacks ask of CANN besides attention: operators of torch_npu that torch computes on the CPU.

No kernel of theirs runs on the simulated chip, so no time of theirs is modelled; `profile` lists them as
"not modelled". Each is written after the page of the op-plugin repository that its table entry names.
"""

from . import _activation, _matmul, _moe, _normalisation, _quantisation, _rotary, _sampling  # noqa: F401
from ._table import TABLE, Operator, calls, register

__all__ = ["TABLE", "Operator", "calls", "register"]
