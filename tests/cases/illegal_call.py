"""An illegal call: which legal call is changed how, and which argument the message must name."""

from dataclasses import dataclass

import torch

from .draw import Draw


@dataclass
class Illegal:
    base: str
    names: tuple          # argument names of which the message must contain at least one
    changes: dict         # argument -> new value, or a function of the legal call
    by_value: bool        # the fault is in tensor contents: meta tensors cannot show it

    def __str__(self):
        def show(v):
            return f"{str(v.dtype)[6:]}{list(v.shape)}" if isinstance(v, torch.Tensor) else \
                "changed" if callable(v) else str(v)

        return f"{self.base}-" + ",".join(f"{k}={show(v)}" for k, v in self.changes.items())


def normal(*shape, dtype=torch.float16):
    return Draw(1).normal(shape, dtype)


def bad(base, names, by_value=False, **changes):
    return Illegal(base, (names,) if isinstance(names, str) else names, changes, by_value)
