"""Attention that degrades instead of failing: NPU, CPU, torch; halves of a call when memory is lacking."""

from ._robust import RobustAttention

__all__ = ["RobustAttention"]
