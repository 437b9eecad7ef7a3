"""Random legal calls of the operators beside attention with one argument made illegal."""

import dataclasses
import random

import torch

from . import random_case

KINDS = ("scatter", "gather", "attention_update", "ring_update", "rotary", "latent", "atb")
# A mask may have leading axes; what these are, the operator's name says.
ANY_AXES = ("mask",)


@dataclasses.dataclass
class IllegalCall:
    """The call, and the argument that its error must name."""

    op: str
    kwargs: dict
    name: str
    what: str

    def __str__(self):
        return f"{self.op}: {self.what} {self.name}"


def _tensors(value):
    parts = value if isinstance(value, list) else [value]
    return bool(parts) and all(isinstance(part, torch.Tensor) for part in parts)


def _in_one_place(rng, value, change):
    """`change` of a tensor, or of one in a list."""
    if not isinstance(value, list):
        return change(value)
    place = rng.randrange(len(value))
    return [change(part) if i == place else part for i, part in enumerate(value)]


def _faults(name, value):
    """Ways to make an argument illegal: a word for the fault, and what it does to the value."""
    if _tensors(value):
        yield "complex", lambda rng: _in_one_place(rng, value, lambda t: torch.zeros(t.shape, dtype=torch.complex64))
        if name not in ANY_AXES:
            yield "two more axes in", lambda rng: _in_one_place(rng, value, lambda t: t[None, None])
    elif isinstance(value, list) and value:
        yield "a negative length in", lambda rng: _in_one_place(rng, value, lambda n: -1 - n)
    elif isinstance(value, str) and value:
        yield "an unknown", lambda rng: value + "X"
    elif name in ("num_heads", "num_kv_heads"):
        yield "a negative", lambda rng: -1 - value
    elif name == "update_type":
        yield "an unknown", lambda rng: rng.choice([-1, 2, 7])


def random_illegal(kind, seed):
    """The illegal call number `seed` of one kind."""
    rng = random.Random(f"{kind} {seed}")
    case = random_case(kind, seed)
    faults = [(name, *fault) for name, value in case.kwargs.items() for fault in _faults(name, value)]
    name, what, change = rng.choice(faults)
    return IllegalCall(case.op, {**case.kwargs, name: change(rng)}, name, what)


def message(call, place=lambda value: value):
    """The error of the call, its arguments at another place; says so when there is none or a tensor was written."""
    from .cache import bits
    from .model import operator

    kwargs = {name: place(value) for name, value in call.kwargs.items()}
    lists = [value if isinstance(value, list) else [value] for value in kwargs.values() if _tensors(value)]
    tensors = [t for parts in lists for t in parts]
    before = [] if any(t.device.type != "cpu" for t in tensors) else [bits(t) for t in tensors if t.dim()]
    try:
        operator(call.op)(**kwargs)
    except (RuntimeError, ValueError) as error:
        after = [bits(t) for t in tensors if t.dim()] if before else []
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), f"written by {call}"
        return str(error)
    raise AssertionError(f"no error: {call}")
