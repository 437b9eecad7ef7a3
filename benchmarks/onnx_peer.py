"""ONNX Runtime's attention operators (com.microsoft) on tensors of torch, without copies."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor

DOMAIN = "com.microsoft"
TYPES = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16}
NUMPY = {torch.float32: np.float32, torch.float16: np.float16, torch.int32: np.int32}
Described = dict[str, tuple[int, list[object]]]  # of a tensor: ONNX type and shape


def _session(node: onnx.NodeProto, arguments: Described, results: Described):
    """A session of one node with torch's number of threads, whose threads sleep between calls as torch's do."""

    def declare(values: Described) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in values.items()]

    graph = helper.make_graph([node], "attention", declare(arguments), declare(results))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _bind(binding: onnxruntime.IOBinding, name: str, tensor: Tensor, output: bool = False) -> None:
    bind = binding.bind_output if output else binding.bind_input
    bind(name, "cpu", 0, NUMPY[tensor.dtype], list(tensor.shape), tensor.data_ptr())


class Prefill:
    """MultiHeadAttention: query, key, value (B, S, N*D); runs into `output`."""

    def __init__(self, query: Tensor, key: Tensor, value: Tensor, heads: int, causal: bool) -> None:
        self.tensors = query, key, value
        self.output = torch.empty_like(query)
        kind, shape = TYPES[query.dtype], list(query.shape)
        names = ("query", "key", "value")
        node = helper.make_node(
            "MultiHeadAttention", names, ["output"], domain=DOMAIN, num_heads=heads, unidirectional=int(causal)
        )
        self.session = _session(node, {name: (kind, shape) for name in names}, {"output": (kind, shape)})
        self.binding = self.session.io_binding()
        for name, tensor in zip(names, self.tensors, strict=True):
            _bind(self.binding, name, tensor)
        _bind(self.binding, "output", self.output, output=True)

    def run(self) -> tuple[Tensor]:
        self.session.run_with_iobinding(self.binding)
        return (self.output,)


class Decode:
    """GroupQueryAttention: one token per sequence; its key and value are written to the last place of the caches
    (B, Nkv, S, D), which are read and written in place."""

    def __init__(self, query: Tensor, key_cache: Tensor, value_cache: Tensor) -> None:
        batch, heads, _, size = query.shape
        kv_heads, length = key_cache.shape[1:3]
        kind = TYPES[query.dtype]
        packed = query.transpose(1, 2).reshape(batch, 1, heads * size).contiguous()
        new_key, new_value = (x[:, :, -1].reshape(batch, 1, -1).contiguous() for x in (key_cache, value_cache))
        self.output = torch.empty_like(packed)
        lengths = torch.full((batch,), length - 1, dtype=torch.int32)
        total = torch.tensor([length], dtype=torch.int32)
        self.tensors = {
            "query": packed,
            "key": new_key,
            "value": new_value,
            "past_key": key_cache,
            "past_value": value_cache,
            "seqlens_k": lengths,
            "total_sequence_length": total,
        }
        results = {"output": self.output, "present_key": key_cache, "present_value": value_cache}

        def describe(tensors: dict[str, Tensor]) -> Described:
            return {name: (TensorProto.INT32 if t.dtype == torch.int32 else kind, list(t.shape))
                    for name, t in tensors.items()}

        node = helper.make_node(
            "GroupQueryAttention", list(self.tensors), list(results), domain=DOMAIN, num_heads=heads,
            kv_num_heads=kv_heads
        )
        self.session = _session(node, describe(self.tensors), describe(results))
        self.binding = self.session.io_binding()
        for name, tensor in self.tensors.items():
            _bind(self.binding, name, tensor)
        for name, tensor in results.items():
            _bind(self.binding, name, tensor, output=True)

    def run(self) -> tuple[Tensor]:
        self.session.run_with_iobinding(self.binding)
        return (self.output,)
