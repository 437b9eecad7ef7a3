"""A call to an operator together with what it must return."""

import contextlib
from dataclasses import dataclass, field
from operator import attrgetter as operator_getter

import torch


@contextlib.contextmanager
def one_thread():
    """Runs torch on one CPU thread: small tensors are many times faster so, above all beside other processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def operator(name):
    """torch.ops.npufa.<name> or <name>.<overload>, with the library loaded."""
    import npufa  # noqa: F401  registers the operators

    return operator_getter(name)(torch.ops.npufa)


@dataclass
class Case:
    op: str
    kwargs: dict
    expected: object          # () -> reference result
    compare: object           # (result, reference) -> None, raises AssertionError
    notes: dict = field(default_factory=dict)

    def call(self, **changes):
        return operator(self.op)(**{**self.kwargs, **changes})

    def verify(self):
        """Call the operator and compare with the reference; returns what the operator returned."""
        result = self.call()
        try:
            with one_thread():
                self.compare(result, self.expected())
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self}") from None
        return result

    def __str__(self):
        def show(v):
            if isinstance(v, torch.Tensor):
                contiguous = "" if v.is_contiguous() else f" strides {tuple(v.stride())}"
                return f"{str(v.dtype)[6:]}{list(v.shape)}{contiguous}"
            return repr(v)

        arguments = ", ".join(f"{k}={show(v)}" for k, v in self.kwargs.items() if v is not None)
        return f"{self.op}({arguments}) notes={self.notes}"
