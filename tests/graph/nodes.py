"""Runs one node of a graph through the operator's entry points, with nothing but what the node says."""

from __future__ import annotations

import ctypes

import torch

from graph.ge import attributes, value_of
from npufa.graph.op_defs import op_defs
from npufa.sim._native import LIBRARY_DIR, native

_DTYPES = {torch.float32: 0, torch.float16: 1, torch.int8: 2, torch.int32: 3, torch.uint8: 4, torch.int64: 9,
           torch.uint64: 10, torch.bool: 12, torch.bfloat16: 27}
_ND = 2
_TYPES = {number: dtype for dtype, number in _DTYPES.items()}
_SCALARS = {"Bool": ctypes.c_bool, "Float": ctypes.c_double, "Int": ctypes.c_int64}


class _Call:
    """Arguments of one call, kept alive until it is over."""

    def __init__(self):
        self.acl = native()
        self.acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
        self.kept = []

    def tensor(self, tensor):
        array = ctypes.c_int64 * tensor.dim()
        sizes = array(*tensor.shape)
        create = self.acl.aclCreateTensor
        create.restype = ctypes.c_void_p
        self.kept.append((tensor, sizes))
        return ctypes.c_void_p(create(sizes, ctypes.c_uint64(tensor.dim()), _DTYPES[tensor.dtype],
                                      array(*tensor.stride()), ctypes.c_int64(0), _ND, sizes,
                                      ctypes.c_uint64(tensor.dim()), ctypes.c_void_p(tensor.data_ptr())))

    def list(self, values):
        create = self.acl.aclCreateIntArray
        create.restype = ctypes.c_void_p
        numbers = (ctypes.c_int64 * len(values))(*values)
        self.kept.append(numbers)
        return ctypes.c_void_p(create(numbers, ctypes.c_uint64(len(values))))

    def check(self, status):
        assert status == 0, self.acl.aclGetRecentErrMsg().decode()

    def run(self, name, arguments):
        library = ctypes.CDLL(str(LIBRARY_DIR / "sim" / "op_api" / "lib" / "libcust_opapi.so"))
        size, executor = ctypes.c_uint64(), ctypes.c_void_p()
        first, second = (getattr(library, name + suffix) for suffix in ("GetWorkspaceSize", ""))
        self.check(first(*arguments, ctypes.byref(size), ctypes.byref(executor)))
        workspace = torch.empty(size.value + 1, dtype=torch.uint8, device="npu")
        self.check(second(ctypes.c_void_p(workspace.data_ptr()), size, executor, None))
        self.check(self.acl.aclrtSynchronizeDevice())


def _target(node):
    """The element type that a Cast or Bitcast makes."""
    return _TYPES[node.attr["dst_type"].i if node.type == "Cast" else node.attr["type"].dt]


def _value(graph, edge, data):
    """What an edge carries, computed from the tensors of Data nodes as GE documents the nodes between."""
    node, _ = graph.producer(edge)
    if node.type == "Data":
        return data[node.name]
    if node.type == "Const":
        return torch.from_numpy(value_of(node).copy())
    value, *rest = (_value(graph, source, data) for source in node.input if not source.endswith(":-1"))
    match node.type:
        case "Cast":
            return value.to(_target(node))
        case "Bitcast":
            return value.view(_target(node))
        case "Reshape":
            return value.reshape(rest[0].tolist())
        case "Slice":
            begin, size = (numbers.item() for numbers in rest)
            return value.narrow(0, begin, size)
        case "Unsqueeze":
            (axis,) = node.attr["axes"].list.i
            return value.unsqueeze(axis)
        case "Identity" | "TensorMove":
            return value
    raise NotImplementedError(node.type)


def run_node(graph, node, data, outputs):
    """Executes a node.

    Args:
        data: NPU tensor for each Data node, by the node's name.
        outputs: NPU tensor for each output, by its name in the definition; filled.
    """
    op_def, call = op_defs()[node.type], _Call()
    sources, edges, values = graph.inputs(node), graph.edges(node), attributes(node)
    arguments = []
    for tensor in op_def.inputs:
        source = sources[tensor.name]
        if source is None:
            arguments.append(None)
        elif source.type == "Const":
            arguments.append(call.list(value_of(source).tolist()))
        else:
            arguments.append(call.tensor(_value(graph, edges[tensor.name], data).contiguous()))
    for attr in op_def.attrs:
        value = values[attr.name]
        arguments.append(ctypes.c_char_p(value.encode()) if attr.kind == "Str" else _SCALARS[attr.kind](value))
    arguments += [call.tensor(outputs[tensor.name]) for tensor in op_def.outputs]
    call.run(f"aclnn{node.type}", arguments)
