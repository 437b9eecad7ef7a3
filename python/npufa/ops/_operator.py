"""Turns a documented signature into a call of the registered operator of that name."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch._ops import OpOverload

from .._torch_compat import is_compiling

LENGTHS = ("actual_seq_lengths", "actual_seq_lengths_kv", "actual_seq_qlen", "actual_seq_kvlen")

P = ParamSpec("P")
R = TypeVar("R")


def _overload(name: str) -> OpOverload:
    """The overload that the function `name` calls: the default, or the only one there is."""
    packet = getattr(torch.ops.npufa, name)
    overloads = packet.overloads()
    return cast(OpOverload, getattr(packet, "default" if "default" in overloads else overloads[0]))


def _direct_call(overload: OpOverload) -> Callable[..., Any]:
    """A quick call of the operator, which returns NotImplemented where only torch.ops can make the call."""
    try:
        calls = importlib.import_module("npufa.lib.calls")
    except ModuleNotFoundError:  # built without Python.h, or for another kind of Python
        return lambda *args, **kwargs: NotImplemented
    return calls.bind(overload.name())


def direct(function: Callable[P, R]) -> Callable[P, R]:
    """Calls the operator by the shortest way that can make the call; `function` is the one for every call."""
    call_directly = _direct_call(_overload(function.__name__))

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not is_compiling():  # Dynamo knows torch.ops alone
            result = call_directly(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return function(*args, **kwargs)

    return call


def torch_ops(function: Callable[P, R]) -> Callable[P, R]:
    """Calls `torch.ops.npufa.<name of the function>` with the arguments as given; the body is not used.

    Lengths that are tensors select the overload `tensor_lengths`: torch itself would read them to make a list.
    """
    packet = getattr(torch.ops.npufa, function.__name__)
    overload: Callable[P, R] = _overload(function.__name__)
    tensor_lengths: Callable[P, R] = getattr(packet, "tensor_lengths", overload)
    lengths = [name for name in inspect.signature(function).parameters if name in LENGTHS]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in lengths:
            if name in kwargs and isinstance(kwargs[name], torch.Tensor):
                return tensor_lengths(*args, **kwargs)
        return overload(*args, **kwargs)

    return call


def operator(function: Callable[P, R]) -> Callable[P, R]:
    """The operator with the name of the function, whose body is not used."""
    return direct(torch_ops(function))


def alias(spelling: str, argument: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accepts `spelling` as another name of the keyword `argument`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            value = kwargs.pop(spelling, None)
            if value is not None:
                if argument in kwargs:
                    raise ValueError(
                        f"npufa::{function.__name__}: {spelling} is another spelling of {argument}, "
                        f"got {spelling}={value} and {argument}={kwargs[argument]}; expected one of them")
                kwargs[argument] = value
            return function(*args, **kwargs)

        return call

    return decorate
