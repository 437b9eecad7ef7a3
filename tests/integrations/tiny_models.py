"""Language models of two layers with random weights, and the batches they are tested on."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import npufa.integrations.transformers  # noqa: F401

VOCABULARY = 97
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": None, "attn_implementation": "eager",
}
ALTERNATING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 24}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 6}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, {"head_dim": 16, "attn_logit_softcapping": 3.0, **ALTERNATING}),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {"head_dim": 16, **ALTERNATING}),
    "gpt_oss": (GptOssForCausalLM, GptOssConfig,
                {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager",
                 "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, **ALTERNATING}),
}


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """Gives matrices and sinks weights so large that attention matters, in evaluation mode."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 or "sinks" in name:
            torch.nn.init.normal_(parameter, std=1.0 if "sinks" in name else 0.15)
    return model.eval()


def build(name: str, **settings) -> PreTrainedModel:
    torch.manual_seed(0)  # vectors keep the values that transformers draws
    model_class, config_class, own = MODELS[name]
    return randomised(model_class(config_class(**{**COMMON, **own, **settings})))


def batch(tokens: int = 11) -> tuple[Tensor, Tensor]:
    """Returns ids (3, tokens) and a left-padded mask: sequences of all, 7 and 2 tokens."""
    ids = torch.randint(2, VOCABULARY, (3, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :tokens - 7] = 0
    mask[2, :tokens - 2] = 0
    return ids, mask


def right_padded() -> tuple[Tensor, Tensor]:
    ids, mask = batch()
    return ids.flip(1), mask.flip(1)


def labels_of(ids: Tensor, mask: Tensor) -> Tensor:
    """Labels of the tokens that a token precedes: what a padding position predicts means nothing."""
    follows = torch.nn.functional.pad(mask[:, :-1], (1, 0))
    return ids.masked_fill((mask * follows) == 0, -100)


def gradients(model: PreTrainedModel, **inputs) -> Tensor:
    model.train()
    model.zero_grad()
    model(**inputs, use_cache=False).loss.backward()
    model.eval()
    return torch.cat([p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None])
