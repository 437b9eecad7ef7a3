"""Decode as one captured graph: the attention reads its lengths on the device, so that no step is captured again.

Runs on a real NPU, or where there is none on a simulated Ascend910B3. A small GPT with random weights generates
greedily over a paged cache; model, cache update, attention, sampling and npu_advance_step_flashattn are in the graph.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

import npufa.sim
from report import Report
from tiny_gpt import GPTConfig, PagedGenerator, TinyGPT

PROMPTS = [[3, 1, 4, 1, 5], [2], list(range(17))]
NEW_TOKENS = 24


def greedy(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


@torch.inference_mode()
def generate_captured(generator: PagedGenerator) -> list[list[int]]:
    """One capture, then a replay per token."""
    tokens = greedy(generator.prefill())
    chosen = [tokens.clone()]
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        tokens.copy_(greedy(generator.step(tokens)))
    for _ in range(generator.new_tokens - 1):
        graph.replay()
        chosen.append(tokens.clone())
    return torch.stack(chosen, dim=1).tolist()


def main() -> int:
    npufa.sim.enable()  # stands aside where CANN is installed
    report = Report()
    report.part(f"Captured decode on {torch.npu.get_device_name(0)}, float16, paged cache")
    torch.manual_seed(0)
    model = TinyGPT(GPTConfig(vocabulary=32, layers=2)).half().npu()
    with torch.no_grad():
        model.tokens.weight.normal_()  # tokens far apart: the two runs choose the same ones
    eager = PagedGenerator(model, PROMPTS, NEW_TOKENS).run(greedy)
    generator = PagedGenerator(model, PROMPTS, NEW_TOKENS)
    captured = generate_captured(generator)
    for prompt, tokens in zip(PROMPTS, captured, strict=True):
        report.say(f"  {len(prompt):2} prompt tokens, then {tokens}")
    report.check(f"{NEW_TOKENS - 1} replays of one graph choose the tokens of eager decode", captured == eager)
    lengths = generator.seq_lens.tolist()
    report.check("the graph advanced the lengths itself", lengths == [len(p) + NEW_TOKENS - 1 for p in PROMPTS],
                 str(lengths))  # fmt: skip
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
