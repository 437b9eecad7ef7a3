"""The graphs that torchair hands to the graph engine, read back. For tests on the simulated device."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
import torch

_MISSING = [name for name in ("torch_npu", "google.protobuf") if importlib.util.find_spec(name.split(".")[0]) is None]
needs_torchair = pytest.mark.skipif(bool(_MISSING), reason=f"torchair needs {' and '.join(_MISSING)}")

_NUMPY = {"DT_FLOAT": np.float32, "DT_INT64": np.int64, "DT_INT32": np.int32}
# Nodes that hand on the values of their first input.
_PASSING = {"Identity", "Cast", "Bitcast", "TensorMove", "Reshape", "Slice", "Unsqueeze"}


@dataclasses.dataclass
class Graph:
    """A GraphDef with what tests ask for."""

    proto: object

    def nodes(self, op_type):
        return [op for op in self.proto.op if op.type == op_type]

    def node(self, op_type):
        """The only node of a type."""
        (node,) = self.nodes(op_type)
        return node

    def producer(self, edge):
        """The node and output index behind an edge, e.g. "Cast_1:0"."""
        name, _, index = edge.rpartition(":")
        return next(op for op in self.proto.op if op.name == name), int(index)

    def source(self, edge):
        """Like producer, through nodes that hand values on."""
        node, index = self.producer(edge)
        return self.source(node.input[0]) if node.type in _PASSING else (node, index)

    def edges(self, node):
        """Input name to edge, which is empty where the input is absent."""
        assert len(node.input_desc) == len([edge for edge in node.input if not edge.endswith(":-1")])
        return {desc.name: edge for desc, edge in zip(node.input_desc, node.input, strict=False)}

    def inputs(self, node):
        """Input name to source node; None where the input is absent."""
        return {name: self.source(edge)[0] if edge else None for name, edge in self.edges(node).items()}

    def data(self):
        """The graph's tensor inputs in the order of the compiled function's arguments (sizes are scalars)."""
        data = [op for op in self.proto.op if op.type == "Data" and not op.attr["_host_tensor"].b]
        return sorted(data, key=lambda op: op.attr["index"].i)

    def results(self):
        """(type of the node, name of the output) for every result of the graph."""
        net_output = self.node("NetOutput")
        edges = [edge for edge in net_output.input if not edge.endswith(":-1")]
        found = []
        for edge in edges:
            node, index = self.source(edge)
            found.append((node.type, node.output_desc[index].name))
        return found


def value_of(const):
    """Values of a Const node."""
    tensor = const.attr["value"].t
    types = tensor.desc.DESCRIPTOR.fields_by_name["dtype"].enum_type
    dtype = _NUMPY[types.values_by_number[tensor.desc.dtype].name]
    return np.frombuffer(tensor.data, dtype).reshape(list(tensor.desc.shape.dim))


def attributes(node):
    """Attributes of the operator itself (torchair's own begin with an underscore)."""
    values = {}
    for name, attr in node.attr.items():
        if not name.startswith("_"):
            field = attr.WhichOneof("value")
            values[name] = attr.s.decode() if field == "s" else getattr(attr, field)
    return values


@contextlib.contextmanager
def captured() -> Iterator[list[Graph]]:
    """Collects every graph that is loaded into the engine."""
    import torchair  # noqa: F401  the next import needs it
    from torchair._ge_concrete_graph.ge_ir_pb2 import ModelDef

    from npufa.sim.graph_engine import SimulatedGraph

    graphs = []
    load = SimulatedGraph.load

    def recording_load(self, model, *arguments):
        proto = ModelDef()
        proto.ParseFromString(model)
        graphs.append(Graph(proto.graph[0]))
        return load(self, model, *arguments)

    with mock.patch.object(SimulatedGraph, "load", recording_load):
        yield graphs


def compiled(function, *, dynamic=False, config=None):
    """The function compiled by torchair in max-autotune mode."""
    import torchair

    torch._dynamo.reset()
    backend = torchair.get_npu_backend(compiler_config=config or torchair.CompilerConfig())
    return torch.compile(function, backend=backend, dynamic=dynamic, fullgraph=True)
