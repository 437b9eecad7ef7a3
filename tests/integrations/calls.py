"""Which operators of npufa some code calls."""

from torch.utils._python_dispatch import TorchDispatchMode


class Calls(TorchDispatchMode):
    """Counts the calls of npufa's operators inside a `with` block, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        namespace, _, name = func._schema.name.partition("::")
        if namespace == "npufa":
            self.count[name] = self.count.get(name, 0) + 1
        return func(*args, **(kwargs or {}))
