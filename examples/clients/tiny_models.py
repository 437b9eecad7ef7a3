"""Models of random weights, a few megabytes, with a tokenizer of bytes, made on the spot: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BYTES, END = 256, "<end>"

_SHAPE = {"vocab_size": BYTES + 16, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2,
          "max_position_embeddings": 1024, "initializer_range": 0.15}  # fmt: skip
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128}

CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2": _SHAPE | _HEADS,
    "llama": _SHAPE | _HEADS,
    "mistral": _SHAPE | _HEADS | {"sliding_window": 48},
    # Latent attention, experts nowhere.
    "deepseek_v2": _SHAPE | {
        "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 512, "q_lora_rank": None,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "first_k_dense_replace": 2},
    "qwen3_moe": _SHAPE | _HEADS | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256},
    # Attention sinks, a window in every other layer.
    "gpt_oss": _SHAPE | _HEADS | {"sliding_window": 48, "num_local_experts": 8, "num_experts_per_tok": 2},
}  # fmt: skip


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token=END)


def save(name: str, folder: Path, **changes: Any) -> Path:
    """Writes config (with these changes), weights and tokenizer of the model type; the weights are the same every
    time."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    ends = {"eos_token_id": BYTES, "bos_token_id": BYTES, "pad_token_id": BYTES}
    config = AutoConfig.for_model(name, **CONFIGS[name] | ends | changes)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float16)
    model.save_pretrained(folder / name)
    _tokenizer().save_pretrained(folder / name)
    return folder / name


def prompts(lengths: list[int]) -> list[list[int]]:
    import torch

    draw = torch.Generator().manual_seed(1)
    return [torch.randint(0, BYTES, (length,), generator=draw).tolist() for length in lengths]


def greedy(model: Path, token_ids: list[list[int]], count: int, **changes: Any) -> list[list[int]]:
    """What transformers generates on the CPU, one sequence at a time, with these changes of the model's config."""
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float16, **changes)
    options = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
    return [reference.generate(torch.tensor([ids]), **options)[0, len(ids):].tolist() for ids in token_ids]


def nuclei(model: Path, token_ids: list[int], answer: list[int], top_p: float) -> list[set[int]]:
    """Before each token of the answer: the fewest tokens that have this much of transformers' probability, the end of
    the answer left out."""
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float16)
    with torch.no_grad():
        logits = reference(torch.tensor([token_ids + answer])).logits[0, len(token_ids) - 1:-1].float()
    logits[:, BYTES] = -torch.inf
    probabilities, tokens = logits.softmax(-1).sort(-1, descending=True)
    inside = probabilities.cumsum(-1) - probabilities < top_p
    return [set(row[kept].tolist()) for row, kept in zip(tokens, inside)]
