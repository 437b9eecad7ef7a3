"""Pictures of shapes with captions, and the two-branch model that learns to caption them.

Text attends causally, vision within a band of patches, and the fusion layer lets every word look at all patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import npufa

WORDS = (("small", "large"), ("dim", "bright"), ("circle", "square", "triangle", "cross"), ("top", "bottom"),
         ("left", "right"))
VOCABULARY = ("<start>", *(word for choices in WORDS for word in choices))
FIRST_WORD = tuple(VOCABULARY.index(choices[0]) for choices in WORDS)
BLIND_LOSS = sum(math.log(len(choices)) for choices in WORDS) / len(WORDS)  # nats per word, without the picture


def draw_pairs(count: int, image_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (count, image_size, image_size) with noise, and captions (count, 6) of word ids, `<start>` first."""
    choice = torch.stack([torch.randint(len(c), (count,), generator=generator) for c in WORDS], dim=1)
    captions = torch.cat([torch.zeros(count, 1, dtype=torch.int64), choice + torch.tensor(FIRST_WORD)], dim=1)
    large, bright, shape, bottom, right = choice.unsqueeze(-1).unsqueeze(-1).unbind(1)
    axis = (torch.arange(image_size) + 0.5) / image_size
    shift = torch.rand(2, count, 1, 1, generator=generator) * 0.1 - 0.05
    down = axis[:, None] - (0.27 + 0.46 * bottom + shift[0])
    across = axis - (0.27 + 0.46 * right + shift[1])
    radius = 0.1 + 0.1 * large
    box = torch.maximum(down.abs(), across.abs()) < radius
    shapes = torch.stack([
        down**2 + across**2 < radius**2,
        box,
        box & (across.abs() < (down + radius) / 2),
        box & (torch.minimum(down.abs(), across.abs()) < radius / 3),
    ])  # fmt: skip
    inside = shapes.gather(0, shape.expand(1, -1, image_size, image_size))[0]
    noise = torch.randn(count, image_size, image_size, generator=generator) * 0.05
    return inside * (0.5 + 0.5 * bright) + noise, captions


# Arguments: query, key, value (B, S, N, D), a rule, keep_prob. A rule is "causal", "all", or the reach of a band.
Attention = Callable[[Tensor, Tensor, Tensor, "str | int", float], Tensor]


def npufa_attention(query: Tensor, key: Tensor, value: Tensor, rule: str | int, keep_prob: float) -> Tensor:
    if isinstance(rule, int):
        sparse = {"sparse_mode": 4, "pre_tockens": rule, "next_tockens": rule}
    else:
        sparse = {"sparse_mode": {"all": 0, "causal": 3}[rule]}
    return npufa.npu_fusion_attention(
        query, key, value, head_num=query.shape[2], input_layout="BSND", scale=query.shape[-1] ** -0.5,
        keep_prob=keep_prob, **sparse)[0]


def standard_attention(query: Tensor, key: Tensor, value: Tensor, rule: str | int, keep_prob: float) -> Tensor:
    """The textbook's: all scores in memory, for the gradient too."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if rule != "all":
        rows, keys = scores.shape[-2:]
        distance = torch.arange(keys, device=scores.device) - torch.arange(rows, device=scores.device)[:, None]
        hidden = distance > 0 if rule == "causal" else distance.abs() > rule
        scores = scores.masked_fill(hidden, float("-inf"))
    weights = F.dropout(scores.softmax(-1), 1.0 - keep_prob)
    return (weights @ value).transpose(1, 2)


ATTENTION: dict[str, Attention] = {"npufa": npufa_attention, "standard": standard_attention}


@dataclass(frozen=True)
class MultimodalConfig:
    image_size: int = 32
    patch_size: int = 4
    width: int = 64
    text_heads: int = 2
    vision_heads: int = 4
    vision_layers: int = 2
    keep_prob: float = 0.9  # the guide writes 0.1, which would drop nine elements of ten

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size


class Block(nn.Module):
    """Attention to a context, by default to the tokens themselves, and a feed-forward layer."""

    def __init__(self, width: int, heads: int, rule: str | int) -> None:
        super().__init__()
        self.heads, self.rule = heads, rule
        self.norm, self.context_norm, self.forward_norm = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.out = (nn.Linear(width, width) for _ in range(2))
        self.key_value = nn.Linear(width, 2 * width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, attend: Attention, keep_prob: float, context: Tensor | None = None) -> Tensor:
        normed = self.norm(x)
        context = normed if context is None else self.context_norm(context)
        query = self.query(normed).unflatten(-1, (self.heads, -1))
        key, value = self.key_value(context).unflatten(-1, (2, self.heads, -1)).unbind(2)
        x = x + self.out(attend(query, key, value, self.rule, keep_prob).flatten(2))
        return x + self.feed_forward(self.forward_norm(x))


class MultimodalModel(nn.Module):
    """Logits of the next word of a caption, given the words before and the picture."""

    def __init__(self, config: MultimodalConfig) -> None:
        super().__init__()
        self.config = config
        width, patches = config.width, config.grid**2
        self.word = nn.Embedding(len(VOCABULARY), width)
        self.patch = nn.Linear(config.patch_size**2, width)
        self.word_position = nn.Parameter(torch.randn(len(WORDS), width) * 0.5)
        self.patch_position = nn.Parameter(torch.randn(patches, width) * 0.5)
        self.text = Block(width, config.text_heads, "causal")
        self.vision = nn.ModuleList(  # a patch sees two rows of patches up and down
            Block(width, config.vision_heads, 2 * config.grid) for _ in range(config.vision_layers))
        self.fusion = Block(width, config.vision_heads, "all")
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(VOCABULARY)))

    def forward(self, words: Tensor, pictures: Tensor, attend: Attention) -> Tensor:
        keep_prob = self.config.keep_prob if self.training else 1.0
        size = self.config.patch_size
        patches = pictures.unfold(1, size, size).unfold(2, size, size).flatten(3).flatten(1, 2)
        vision = self.patch(patches) + self.patch_position
        for block in self.vision:
            vision = block(vision, attend, keep_prob)
        text = self.word(words) + self.word_position[: words.shape[1]]
        text = self.text(text, attend, keep_prob)
        return self.head(self.fusion(text, attend, keep_prob, context=vision))

    def loss(self, pictures: Tensor, captions: Tensor, attend: Attention) -> Tensor:
        """Cross-entropy in nats per word."""
        logits = self(captions[:, :-1], pictures, attend)
        return F.cross_entropy(logits.flatten(0, 1), captions[:, 1:].flatten())

    @torch.inference_mode()
    def captions(self, pictures: Tensor, attend: Attention) -> Tensor:
        """The likeliest caption of every picture, word by word."""
        words = torch.zeros(len(pictures), 1, dtype=torch.int64, device=pictures.device)
        for _ in WORDS:
            following = self(words, pictures, attend)[:, -1].argmax(-1, keepdim=True)
            words = torch.cat([words, following], dim=1)
        return words
