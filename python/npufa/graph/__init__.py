"""Graph mode: npufa's operators in the graphs of torchair (docs/graph_mode.md).

Importing npufa is enough. torchair comes with torch_npu and is imported by whoever compiles a graph; the converters are
registered then, so that `import npufa` costs nothing.
"""

from __future__ import annotations

from types import ModuleType

from . import _aclgraph, _drawn_seed, _functionalize
from ._on_import import on_import

# The package inside torch_npu, and the one that is installed by itself.
_TORCHAIR = ("torch_npu.dynamo.torchair", "torchair")


def _register(torchair: ModuleType) -> None:
    from . import converters

    converters.register(torchair.register_fx_node_ge_converter)


def register_when_imported() -> None:
    """Enters npufa's operators into the compilers' tables: now if these are imported already, else when they are."""
    _functionalize.register()
    _drawn_seed.register()
    _aclgraph.register()
    for name in _TORCHAIR:
        on_import(name, _register)
