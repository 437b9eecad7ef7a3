"""A Hugging Face causal language model whose attention reads and writes a paged cache."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from ..kv_cache import BlockStorage, paged_attention

NAME = "npufa_paged"
_LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")
_SERVED_LAYERS = ("full_attention", "sliding_attention")


class _Attend(Protocol):
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None,
        sink: Tensor | None, softcap: float
    ) -> Tensor: ...


@dataclass(frozen=True)
class PagedBatch:
    """What the attention layers need to know of a step: packed tokens of B sequences.

    Attributes:
        storage: holds keys and values.
        slots: int64 (T,), where those of the step's tokens go.
        block_table: int32 (B, blocks).
        query_ends: int64 (B,), cumulative tokens of the step.
        kv_lengths: int64 (B,), tokens of each sequence, those of the step included.
    """

    storage: BlockStorage
    slots: Tensor
    block_table: Tensor
    query_ends: Tensor
    kv_lengths: Tensor

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None,
        sink: Tensor | None, softcap: float
    ) -> Tensor:
        """Stores key and value, returns the attention output; (T, heads, head size) each."""
        self.storage.write(layer, self.slots, key, value)
        return paged_attention(self.storage, layer, query, self.block_table, self.query_ends, self.kv_lengths,
                               scale=scale, window=window, sink=sink, softcap=softcap)[0]


def npufa_paged_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    softcap: float | None = None,
    paged_batch: _Attend | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The attention function that the model calls: query (1, N, T, D), key and value (1, Nkv, T, D).

    Raises:
        ValueError: the model asks for what a paged cache has no operator for.
    """
    layer = getattr(module, "layer_idx", None)
    refused = {
        "position_bias": others.get("position_bias"), "attention_mask": attention_mask,
        "is_causal=False": not getattr(module, "is_causal", True) or None,
        "output_attentions": others.get("output_attentions") or None,
    }
    for name, given in refused.items():
        if given is not None:
            raise _error(f"{name} has no operator over a paged cache, layer {layer} asks for it; "
                         "expected causal attention, of a sliding window or not")
    if paged_batch is None or layer is None:
        raise _error(f"attention of {type(module).__name__} was called without paged_batch or has no layer_idx; "
                     "expected a model that hands keyword arguments to its attention layers")
    scale = 1.0 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    output = paged_batch.attend(layer, q, k, v, scale, sliding_window, s_aux, softcap or 0.0)
    return output.unsqueeze(0), None


AttentionInterface.register(NAME, npufa_paged_attention)


@contextmanager
def _paged(model: PreTrainedModel) -> Iterator[None]:
    """Within the block the model's attention is the function above; no mask is made for it."""
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def forward(
    model: PreTrainedModel, tokens: Tensor, positions: Tensor, batch: _Attend, rows: Tensor
) -> Tensor:
    """Runs packed tokens (T,) at positions (T,); returns the logits (len(rows), vocabulary) after the tokens `rows`."""
    selected = {"logits_to_keep": rows} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with _paged(model), torch.no_grad():
        logits = model(input_ids=tokens.unsqueeze(0), position_ids=positions.unsqueeze(0), use_cache=False,
                       paged_batch=batch, **selected).logits[0]
    return logits if selected else logits[rows]


@dataclass(frozen=True)
class CacheShape:
    """What a model stores of a token."""

    num_layers: int
    num_kv_heads: int
    head_dim: int
    value_head_dim: int
    dtype: torch.dtype


class _Probe:
    """Answers the attention layers of a trial run with zeros and notes what they ask."""

    def __init__(self) -> None:
        self.layers: list[int] = []
        self.shapes: set[tuple[int, int, int, torch.dtype]] = set()
        self.windows: dict[int, int | None] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None,
        sink: Tensor | None, softcap: float
    ) -> Tensor:
        self.layers.append(layer)
        self.shapes.add((key.shape[1], key.shape[2], value.shape[2], key.dtype))
        self.windows[layer] = window
        return query.new_zeros(*query.shape[:2], value.shape[2])


def cache_shape(model: PreTrainedModel) -> CacheShape:
    """Finds out what a model stores by running one token, and whether the paged attention serves it.

    Raises:
        ValueError: it does not; the message names the reason.
    """
    config = model.config.get_text_config(decoder=True)
    _check_rope(getattr(config, "rope_parameters", None))
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and not set(kinds) <= set(_SERVED_LAYERS):
        raise _error(f"layer_types of the model are {sorted(set(kinds))}; expected only {' and '.join(_SERVED_LAYERS)}")
    zero, probe = torch.zeros(1, dtype=torch.int64, device=model.device), _Probe()
    try:
        forward(model, zero, zero, probe, zero)
    except (AttributeError, TypeError) as error:
        raise _error(f"{type(model).__name__} cannot run without the masks of its own attention ({error}); expected a "
                     "model on transformers' attention interface") from error
    if probe.layers != list(range(config.num_hidden_layers)) or len(probe.shapes) != 1:
        raise _error(f"layers {probe.layers} of {config.num_hidden_layers} call the attention function, with keys and "
                     f"values {sorted(map(str, probe.shapes))}; expected every layer to, once, with the same shape")
    for layer, window in probe.windows.items():
        windowed = kinds[layer] == "sliding_attention" if kinds else bool(getattr(config, "sliding_window", None))
        if windowed and window is None:
            raise _error(f"layer {layer} has a sliding window that it does not tell the attention function")
    return CacheShape(len(probe.layers), *probe.shapes.pop())


def _check_rope(parameters: Any) -> None:
    """Frequencies that follow the longest sequence of a batch would make a request depend on the others."""
    if not isinstance(parameters, dict):
        return
    if parameters.get("rope_type") in _LENGTH_DEPENDENT_ROPE:
        raise _error(f"rope_type of the model is {parameters['rope_type']!r}, which depends on the batch; expected "
                     "frequencies that depend on the position alone")
    for inner in parameters.values():
        _check_rope(inner)


def _error(message: str) -> ValueError:
    return ValueError(f"npufa.serving: {message}")
