"""Hugging Face transformers on npufa's attention: generation, packed sequences, training, on the CPU and on an NPU.

The models are small and have random weights, so that nothing is downloaded; `from_pretrained(...,
attn_implementation="npufa")` is all that a real one needs. Checks everything it shows; exits with 1 when a check fails.
"""

from __future__ import annotations

import importlib.util
import sys

import torch
from torch import Tensor
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

import npufa.integrations.transformers  # noqa: F401  (registers attn_implementation="npufa")
import npufa.sim
from npufa.integrations import sdpa
from report import Report

SIZE = {
    "vocab_size": 500, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
}
ARCHITECTURES = {
    "Llama, grouped heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZE)),
    "Mistral, sliding window of 8": lambda: MistralForCausalLM(MistralConfig(**SIZE, sliding_window=8)),
    "gpt-oss, window and sinks": lambda: GptOssForCausalLM(GptOssConfig(
        **SIZE, sliding_window=8, layer_types=["sliding_attention", "full_attention"], num_local_experts=4,
        num_experts_per_tok=2, experts_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
}


def random_model(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = ARCHITECTURES[name]()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def prompts() -> tuple[Tensor, Tensor]:
    """Three prompts of 24, 15 and 4 tokens, padded on the left."""
    ids = torch.randint(2, SIZE["vocab_size"], (3, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(24) >= 24 - torch.tensor([24, 15, 4])[:, None]
    return ids * mask, mask.long()


def generate(model: PreTrainedModel, implementation: str, tokens: int = 16, **settings: str) -> list[list[int]]:
    model.set_attn_implementation(implementation)
    ids, mask = (t.to(model.device) for t in prompts())
    return model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, **settings)[:, 24:].tolist()


def show_generation(report: Report) -> None:
    report.part('1. Greedy generation on the CPU: attn_implementation="npufa" against "eager", left-padded prompts')
    for name in ARCHITECTURES:
        model = random_model(name)
        expected, got = generate(model, "eager"), generate(model, "npufa")
        report.say(f"  {name}: {got[0]}")
        report.check("all tokens agree", got == expected, f"{sum(map(len, got))} tokens")
        report.check("a static cache gives the same", generate(model, "npufa", cache_implementation="static") == got)


def show_packing(report: Report) -> None:
    report.part("2. Packed sequences: one row instead of a padded batch, positions restart")
    model = random_model("Mistral, sliding window of 8")
    model.set_attn_implementation("npufa")
    lengths = [40, 7, 23]
    sequences = [torch.randint(2, SIZE["vocab_size"], (1, length)) for length in lengths]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    with torch.no_grad():
        packed = model(torch.cat(sequences, dim=1), position_ids=positions).logits
        separate = torch.cat([model(sequence).logits for sequence in sequences], dim=1)
    error = (packed - separate).abs().max().item()
    report.check("logits equal those of the sequences alone", error <= 1e-4, f"largest difference {error:.1e}")


def show_training(report: Report) -> None:
    report.part("3. A training step: gradients against eager attention")
    model, (ids, mask) = random_model("gpt-oss, window and sinks").train(), prompts()
    labels = ids.masked_fill(mask * torch.roll(mask, 1, dims=1) == 0, -100)
    gradients = []
    for implementation in ("eager", "npufa"):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        model(ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    error = ((gradients[0] - gradients[1]).norm() / gradients[0].norm()).item()
    report.check("gradients of all parameters agree", error <= 1e-4, f"relative difference {error:.1e}")


def show_sdpa(report: Report) -> None:
    report.part("4. A model that calls scaled_dot_product_attention, inside `with sdpa(...)`")
    layer = torch.nn.TransformerEncoderLayer(128, 8, batch_first=True, dropout=0.0)
    tokens = torch.randn(2, 50, 128)
    expected = layer(tokens)
    with sdpa(devices=("npu", "cpu"), strict=True):
        output = layer(tokens)
    error = (output - expected).abs().max().item()
    report.check("nn.TransformerEncoderLayer gives the same", error <= 1e-4, f"largest difference {error:.1e}")


def show_npu(report: Report) -> None:
    if importlib.util.find_spec("torch_npu") is None:
        report.say("\ntorch_npu is not installed: nothing to show on an NPU (pip install npufa[npu])")
        return
    npufa.sim.enable(soc="Ascend910B3")  # stands aside where there is a real NPU
    report.part(f"5. The same on {torch.npu.get_device_name(0)}{' (simulated)' if npufa.sim.status().soc else ''}")
    for name in ARCHITECTURES:
        model = random_model(name)
        expected = generate(model, "eager", tokens=6)
        report.check(f"{name}: all tokens agree", generate(model.npu(), "npufa", tokens=6) == expected)


def main() -> int:
    report = Report()
    for show in (show_generation, show_packing, show_training, show_sdpa, show_npu):
        show(report)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
