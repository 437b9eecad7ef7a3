"""Attention that degrades instead of failing."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from . import _events, _sdpa
from ._autograd import Differentiable, needs_gradient
from ._call import Call, Level, as_tuple
from ._failures import is_callers_mistake, is_out_of_memory
from ._split import CannotSplitError, join, split

logger = logging.getLogger("npufa.robust")

_FALLIBLE = (RuntimeError, ValueError, MemoryError)
# Floating inputs that torch.autocast casts to the region's type, as it does for the operators.
_AUTOCAST = ("query", "key", "value", "query_rope", "key_rope", "key_shared_prefix", "value_shared_prefix", "pse",
             "pse_shift", "dy", "attention_in")


class RobustAttention:
    """Calls attention operators; where one fails, computes the same another way.

        robust = RobustAttention()
        output, *_ = robust("npu_fusion_attention", query, key, value, 8, "BNSD", scale=0.125, sparse_mode=3)
        output, lse = robust(npufa.npu_fused_infer_attention_score, query, key, value, num_heads=8, ...)

    The levels, each with the operator's full meaning and results, differentiable where the operator is:

    1. The operator on the tensors' device.
    2. The operator on CPU copies, for NPU tensors.
    3. torch's `scaled_dot_product_attention`, in float32, on the CPU after level 2, else on the tensors' device. It
       computes statistics and log-sum-exp beside it; dropout and quantised inputs, caches and outputs it refuses.

    When memory is lacking, a level halves the call, by sequences, then by heads, as often as needed, and joins the
    results: the same function, statistics and gradients included, and the same dropout mask. Key/value gradients that
    both halves feed are added. Only when nothing is left to halve is the next level tried. Backward passes are calls of
    the gradient operators and have the same levels, unless a `dropout_mask` is given.

    A mistake of the caller is raised as the operator raises it, at once: arguments are checked on meta tensors first,
    and values of tensors by the CPU's operator. Each kind of degradation is logged once per operator and instance, at
    level WARNING of the logger "npufa.robust", and counted in `counts` and by an active `npufa.monitor.Monitor`.

    Args:
        fallback_to_cpu: have level 2.
        fallback_to_torch: have level 3.

    After some failures of a kernel an NPU answers nothing more, copies to the host included; then all levels fail.
    """

    def __init__(self, fallback_to_cpu: bool = True, fallback_to_torch: bool = True) -> None:
        self.fallback_to_cpu = fallback_to_cpu
        self.fallback_to_torch = fallback_to_torch
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """How often what was done: `(operator, kind)`, kind "cpu", "torch", "split_batch" or "split_heads"."""
        with self._lock:
            return dict(self._counts)

    def __call__(self, operator: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Returns what `operator(*args, **kwargs)` would.

        Args:
            operator: an attention operator of npufa, or its name; the gradient operators too.

        Raises:
            TypeError: arguments that the operator does not have, or lacks.
            RuntimeError, ValueError: the operator's own error for an illegal argument, or, when all levels fail, that
                of the first one, with the others' as notes.
        """
        call = _autocast(Call.bind(operator, args, kwargs))
        expected = call.on_meta()
        results = Differentiable.run(self.compute, call) if needs_gradient(call) else self.compute(call, expected)
        return results if len(expected) > 1 else results[0]

    def compute(self, call: Call, expected: tuple[Any, ...] | None = None) -> tuple[Any, ...]:
        """Runs the levels for a call; `expected` are its results as meta tensors."""
        if expected is None:
            expected = call.on_meta()
        failures: list[BaseException] = []
        for kind, level in self._levels(call, expected):
            if failures:
                self._degrade(call, kind, str(failures[0]))
            try:
                return self._attempt(call, level)
            except _FALLIBLE as error:
                if is_callers_mistake(error, on_cpu=kind == "cpu" or call.query.device.type == "cpu"):
                    raise
                # Frames of a failed attempt hold its tensors.
                failures.append(error.with_traceback(None))
        for failure in failures[1:]:
            _add_note(failures[0], f"fallback failed, too: {failure}")
        raise failures[0]

    def _levels(self, call: Call, expected: tuple[Any, ...]) -> Iterator[tuple[str, Level]]:
        yield "device", _run
        on_cpu = self.fallback_to_cpu and call.query.device.type != "cpu"
        if on_cpu:
            yield "cpu", lambda part: _through_cpu(part, _run)
        if self.fallback_to_torch:
            yield "torch", lambda part: _through_cpu(part, _by_sdpa) if on_cpu else _by_sdpa(part)

    def _attempt(self, call: Call, level: Level) -> tuple[Any, ...]:
        """Runs a level, on halves when memory is lacking."""
        try:
            return level(call)
        except _FALLIBLE as error:
            if not is_out_of_memory(error):
                raise
            failure = error.with_traceback(None)
        _release(call)
        try:
            halves = split(call)
        except CannotSplitError as reason:
            _add_note(failure, str(reason))
            raise failure from None
        self._degrade(call, f"split_{halves.kind}", str(failure))
        first, second = (self._attempt(half, level) for half in halves.calls)
        return join(call, halves, (first, second))

    def _degrade(self, call: Call, kind: str, reason: str) -> None:
        with self._lock:
            self._counts[call.operator, kind] += 1
            first = self._counts[call.operator, kind] == 1
        if first:
            logger.warning("npufa.robust: %s goes on by %s after: %s", call.operator, kind, reason)
        _events.tell(call.operator, kind)


def _add_note(error: BaseException, note: str) -> None:
    """BaseException.add_note, which Python 3.10 lacks."""
    error.__notes__ = [*getattr(error, "__notes__", []), note]


def _run(call: Call) -> tuple[Any, ...]:
    return as_tuple(call.run())


def _by_sdpa(call: Call) -> tuple[Any, ...]:
    return _sdpa.run(call, call.on_meta())


def _through_cpu(call: Call, level: Level) -> tuple[Any, ...]:
    device = call.query.device
    results = level(call.map_tensors(Tensor.cpu))
    return tuple(r.to(device) if isinstance(r, Tensor) else r for r in results)


def _release(call: Call) -> None:
    if call.query.device.type == "npu":
        torch.npu.empty_cache()  # type: ignore[attr-defined]


def _autocast(call: Call) -> Call:
    device = call.query.device.type
    types = (torch.float32, torch.float16, torch.bfloat16)
    if device == "meta" or not torch.is_autocast_enabled(device) or call.query.dtype not in types:
        return call
    dtype = torch.get_autocast_dtype(device)
    slopes = (call["pse_type"] or 0) >= 2
    return call.replace(**{
        name: call[name].to(dtype) for name in _AUTOCAST
        if call[name] is not None and call[name].dtype in types and not (slopes and name == "pse")})
