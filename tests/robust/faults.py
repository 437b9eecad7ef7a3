"""Operators that fail as asked, below autograd: a mode in the way of every kernel, for tests of what follows."""

from torch.utils._python_dispatch import TorchDispatchMode

from npufa.robust._call import Call


class Faults(TorchDispatchMode):
    """Raises `error()` from every call of an npufa operator on `device` for which `when(call)` is true."""

    def __init__(self, error, device="cpu", when=lambda call: True):
        super().__init__()
        self.error, self.device, self.when = error, device, when
        self.raised = 0
        self.done = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "npufa":
            name = func._schema.name.partition("::")[2]
            call = Call(name, dict(zip([a.name for a in func._schema.arguments], args)) | (kwargs or {}))
            if call.query.device.type == self.device:
                if self.when(Call.bind(name, (), call.arguments)):
                    self.raised += 1
                    raise self.error()
                self.done.append(name)
        return func(*args, **(kwargs or {}))


def pieces(call):
    """Sequences times heads of a call."""
    return call.sequences * call["heads"]
