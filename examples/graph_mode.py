"""Graph mode: a model with npufa's operators compiled by torchair, mode max-autotune.

Runs on a real NPU, or where there is none on a simulated Ascend910B3. That has no graph engine: the graph is converted
and dumped by torchair, and then run operator by operator.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import torch

import npufa
import npufa.sim
from report import Report

HEADS, KV_HEADS, DIM, CACHE = 8, 2, 64, 256


class Decoder(torch.nn.Module):
    """Projections around attention to a key/value cache, which grows by one token per call."""

    def __init__(self) -> None:
        super().__init__()
        width = HEADS * DIM
        self.query = torch.nn.Linear(width, width, bias=False)
        self.output = torch.nn.Linear(width, width, bias=False)

    def forward(self, hidden: torch.Tensor, key: torch.Tensor, value: torch.Tensor, used: int) -> torch.Tensor:
        query = self.query(hidden).view(hidden.shape[0], 1, HEADS, DIM)
        attended, _ = npufa.npu_fused_infer_attention_score(
            query, key, value, num_heads=HEADS, num_key_value_heads=KV_HEADS, input_layout="BSND", scale=DIM**-0.5,
            actual_seq_lengths_kv=[used])
        return self.output(attended.flatten(2))


def show_decode(report: Report, folder: Path) -> None:
    import torchair

    report.part("1. Decode steps in one graph: the length of the cache is a symbol")
    config = torchair.CompilerConfig()
    config.debug.graph_dump.type = "pbtxt"
    model = Decoder().half().npu()
    backend = torchair.get_npu_backend(compiler_config=config)
    compiled = torch.compile(model, backend=backend, dynamic=True, fullgraph=True)
    hidden = torch.randn(3, 1, HEADS * DIM).half().npu()
    key, value = (torch.randn(3, CACHE, KV_HEADS, DIM).half().npu() for _ in range(2))
    with torch.no_grad():
        for used in (100, 101, 102):
            same = torch.equal(compiled(hidden, key, value, used), model(hidden, key, value, used))
            report.check(f"{used} tokens: the compiled model equals the eager one", same)
    dumps = sorted(folder.glob("dynamo_optimized_*.pbtxt"))
    report.check("one graph serves all steps", len(dumps) == 1, f"{len(dumps)} dumped")
    text = dumps[0].read_text()
    report.check("attention is one node of it", text.count('op: "NpufaFusedInferAttentionScore"') == 1, dumps[0].name)


def show_training(report: Report) -> None:
    import torchair

    report.part("2. A training step: forward and backward graph")
    backend = torchair.get_npu_backend(compiler_config=torchair.CompilerConfig())

    def loss(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        output = npufa.npu_fusion_attention_v3(query, key, value, HEADS, "BNSD", scale=DIM**-0.5, sparse_mode=3)[0]
        return output.float().square().mean()

    tensors = [torch.randn(1, HEADS, 96, DIM).half().npu() for _ in range(3)]
    gradients = []
    for function in (loss, torch.compile(loss, backend=backend, fullgraph=True)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        function(*leaves).backward()
        gradients.append([leaf.grad for leaf in leaves])
    for name, eager, graph in zip(("query", "key", "value"), *gradients, strict=True):
        report.check(f"the gradient of {name} equals the eager one", torch.equal(eager, graph))


def main() -> int:
    torch.manual_seed(0)
    npufa.sim.enable()  # stands aside where CANN is installed
    report = Report()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # torchair dumps into the current folder
        show_decode(report, Path(folder))
        show_training(report)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
