"""Section 5.1: a language model service: continuous batching over a paged cache."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from npufa.serving import SamplingParams, ServingEngine
from report import Report

PROMPTS = [[5, 8, 13, 21, 34], list(range(40, 64)), [7], list(range(3, 50))]
NEW_TOKENS = 12


def _model(device: str) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=None, eos_token_id=None)
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)  # so large that every token depends on those before
    return model.to(device)


def show(report: Report, device: str) -> None:
    model = _model(device)
    engine = ServingEngine(model, num_blocks=24, max_num_seqs=4, max_batched_tokens=32)
    completions = engine.generate(PROMPTS, SamplingParams(max_new_tokens=NEW_TOKENS))
    alone = []
    for prompt in PROMPTS:
        tokens = torch.tensor([prompt], device=device)
        generated = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW_TOKENS,
                                   do_sample=False, pad_token_id=0)
        alone.append(generated[0, len(prompt):].tolist())
    for completion in completions:
        report.say(f"  {len(completion.prompt_token_ids):3d} prompt tokens -> {completion.token_ids}")
    report.check("every request gets the tokens of model.generate", [c.token_ids for c in completions] == alone)
    metrics = engine.metrics
    first = metrics.mean_time_to_first_token * 1e3
    report.say(f"  {metrics.throughput:.0f} tokens/s, first token after {first:.0f} ms")
    report.check("all blocks are back", engine.cache.usage().used_blocks == 0)
