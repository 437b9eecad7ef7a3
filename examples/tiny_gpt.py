"""A small character GPT whose attention is passed in, and its generation over a paged key/value cache.

Training calls ``npu_fusion_attention`` (or torch SDPA, for comparison). Generation calls
``npu_fused_infer_attention_score`` on a paged cache and ``npu_advance_step_flashattn`` between the steps, as vLLM does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import npufa

# attend(layer, query, key, value): query (..., N, D), key and value (..., Nkv, D), result as query.
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Choose = Callable[[Tensor], Tensor]  # logits (B, vocabulary) -> token ids (B,)


@dataclass(frozen=True)
class GPTConfig:
    vocabulary: int
    context: int = 128  # window of training
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32

    @property
    def width(self) -> int:
        return self.heads * self.head_dim


def rotation(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding (RoFormer), shape (..., 1, head_dim / 2) for positions (...)."""
    frequencies = 10000.0 ** (-torch.arange(head_dim // 2, device=positions.device) / (head_dim // 2))
    angles = (positions.unsqueeze(-1) * frequencies).unsqueeze(-2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotates the pairs (x[i], x[i + D/2]) of heads (..., N, D)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class Block(nn.Module):
    """Pre-norm transformer block with grouped-query attention and rotary positions."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        width, kv_width = config.width, config.kv_heads * config.head_dim
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * kv_width)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], attend: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        y = self.norm_1(x)
        query = self.query(y).unflatten(-1, (-1, self.config.head_dim))
        key, value = self.key_value(y).unflatten(-1, (-1, self.config.head_dim)).chunk(2, dim=-2)
        attended = attend(rotate(query, *turn), rotate(key, *turn), value)
        x = x + self.projection(attended.flatten(-2))
        return x + self.mlp(self.norm_2(x))


class TinyGPT(nn.Module):
    """Maps tokens (...) at positions (...) to logits (..., vocabulary)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        x = self.tokens(tokens)
        cosine, sine = rotation(positions, self.config.head_dim)
        turn = cosine.to(x.dtype), sine.to(x.dtype)
        for layer, block in enumerate(self.blocks):
            x = block(x, turn, partial(attend, layer))
        return self.head(self.norm(x))

    def loss(self, window: Tensor, attend: Attend) -> Tensor:
        """Mean cross-entropy, in nats per character, of windows (B, S + 1)."""
        tokens, targets = window[:, :-1], window[:, 1:]
        logits = self(tokens, torch.arange(tokens.shape[1]), attend)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def causal_npufa(keep_prob: float) -> Attend:
    """Causal training attention by npu_fusion_attention, BSND."""

    def attend(_: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return npufa.npu_fusion_attention(
            query,
            key,
            value,
            head_num=query.shape[2],
            input_layout="BSND",
            scale=1.0 / math.sqrt(query.shape[-1]),
            keep_prob=keep_prob,
            sparse_mode=3,
        )[0]

    return attend


def causal_sdpa(keep_prob: float) -> Attend:
    """The same by torch.nn.functional.scaled_dot_product_attention."""

    def attend(_: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads_first = (x.transpose(1, 2) for x in (query, key, value))
        output = F.scaled_dot_product_attention(
            *heads_first, dropout_p=1.0 - keep_prob, is_causal=True, enable_gqa=True
        )
        return output.transpose(1, 2)

    return attend


ATTENTION: dict[str, Callable[[float], Attend]] = {"npufa": causal_npufa, "sdpa": causal_sdpa}


class PagedGenerator:
    """Generates for several prompts at once; keys and values live in blocks of ``block_size`` tokens.

    A step reads and writes tensors on the model's device alone, lengths included, so that it can be captured in a
    graph.
    """

    def __init__(self, model: TinyGPT, prompts: list[list[int]], new_tokens: int, block_size: int = 16) -> None:
        config = model.config
        longest = max(map(len, prompts)) + new_tokens
        self.model, self.prompts, self.new_tokens, self.block_size = model, prompts, new_tokens, block_size
        blocks_per_sequence = math.ceil(longest / block_size)
        # Blocks are handed out in random order: a sequence's tokens are scattered over the pool.
        order = torch.randperm(len(prompts) * blocks_per_sequence).to(model.tokens.weight.device)
        self.block_table = order.view(len(prompts), blocks_per_sequence)
        pool = (self.block_table.numel(), block_size, config.kv_heads * config.head_dim)
        self.key_cache = [model.tokens.weight.new_zeros(pool) for _ in range(config.layers)]
        self.value_cache = [model.tokens.weight.new_zeros(pool) for _ in range(config.layers)]
        # The state that npu_advance_step_flashattn moves from one step to the next.
        self.seq_lens = order.new_tensor([len(prompt) for prompt in prompts])
        self.input_tokens, self.input_positions, self.slot_mapping = order.new_zeros(3, len(prompts))

    @torch.inference_mode()
    def run(self, choose: Choose, progress: Callable[[range], object] = iter) -> list[list[int]]:
        """Returns the new tokens of every prompt; ``choose`` picks them from the logits."""
        tokens = choose(self.prefill())
        chosen = [tokens]
        for _ in progress(range(self.new_tokens - 1)):
            tokens = choose(self.step(tokens))
            chosen.append(tokens)
        return torch.stack(chosen, dim=1).tolist()

    def step(self, tokens: Tensor) -> Tensor:
        """Takes the chosen tokens into the sequences; returns the logits after them."""
        self._advance(tokens)
        return self.model(self.input_tokens, self.input_positions, self._attend_decode)

    def prefill(self) -> Tensor:
        """Runs all prompts packed into one row of tokens (TND); returns the logits after each prompt."""
        lengths = [len(prompt) for prompt in self.prompts]
        device = self.block_table.device
        positions = torch.cat([torch.arange(length) for length in lengths]).to(device)
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
        slots = self.block_table[sequence, positions // self.block_size] * self.block_size + positions % self.block_size
        tokens = torch.tensor([token for prompt in self.prompts for token in prompt], device=device)
        ends = torch.tensor(lengths, device=device).cumsum(0)
        logits = self.model(tokens, positions, partial(self._attend_prefill, slots, ends))
        return logits[ends - 1]

    def _advance(self, sampled: Tensor) -> None:
        count = len(self.prompts)
        npufa.npu_advance_step_flashattn(
            self.input_tokens,
            sampled.unsqueeze(1),
            self.input_positions,
            self.seq_lens,
            self.slot_mapping,
            self.block_table,
            count,
            count,
            self.block_size,
        )

    def _store(self, slots: Tensor, layer: int, key: Tensor, value: Tensor) -> None:
        for cache, new in ((self.key_cache[layer], key), (self.value_cache[layer], value)):
            cache.flatten(0, 1)[slots] = new.flatten(1)

    def _attend_prefill(
        self, slots: Tensor, ends: Tensor, layer: int, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        self._store(slots, layer, key, value)
        return self._fused_infer(
            query, key, value, input_layout="TND", actual_seq_lengths=ends, actual_seq_lengths_kv=ends, sparse_mode=3
        )

    def _attend_decode(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self._store(self.slot_mapping, layer, key, value)
        output = self._fused_infer(
            query.flatten(1).unsqueeze(1),  # (B, 1, N * D)
            self.key_cache[layer],
            self.value_cache[layer],
            input_layout="BSH",
            block_table=self.block_table.to(torch.int32),
            block_size=self.block_size,
            actual_seq_lengths_kv=self.seq_lens,
        )
        return output.view_as(query)

    def _fused_infer(self, query: Tensor, key: Tensor, value: Tensor, **settings: object) -> Tensor:
        config = self.model.config
        return npufa.npu_fused_infer_attention_score(
            query,
            key,
            value,
            num_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            scale=1.0 / math.sqrt(config.head_dim),
            **settings,
        )[0]
