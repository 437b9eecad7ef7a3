"""The mask function of `attn_implementation="npufa"`: rules instead of a matrix wherever a rule suffices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from transformers import masking_utils
from transformers.utils.import_utils import is_tracing

from ..._torch_compat import is_compiling
from .._rules import Band, Intervals, Rules, Segments
from .lazy_mask import LazyMask


def npufa_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = masking_utils.causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **kwargs: Any,
) -> Tensor | None:
    """Returns what the attention function needs to know beside `module.is_causal`.

    Arguments as those of transformers' `sdpa_mask`, whose result this is: None where the causal rule from the upper
    left, or no rule at all for a bidirectional model, is all there is; otherwise a bool mask (B, 1, Sq, Skv), True
    takes part. The mask is a :class:`LazyMask` where it follows from a band, lengths and packed sequences.
    """
    build: Callable[..., Any] = functools.partial(
        masking_utils.sdpa_mask, batch_size=batch_size, q_length=q_length, kv_length=kv_length,
        q_offset=q_offset,  # type: ignore[arg-type]  # a tensor with a static cache
        kv_offset=kv_offset, mask_function=mask_function, attention_mask=attention_mask, local_size=local_size,
        use_vmap=use_vmap, device=device)
    skip = {"allow_is_causal_skip": allow_is_causal_skip, "allow_is_bidirectional_skip": allow_is_bidirectional_skip}
    tensors = (attention_mask, q_offset)
    if is_compiling() or any(isinstance(t, Tensor) and is_tracing(t) for t in tensors):
        return build(**skip)  # values cannot be read
    if q_length == 1 and not allow_is_causal_skip and not allow_is_bidirectional_skip:
        return build(**skip)  # one row; and the decode step of a static cache may be compiled
    rules = _rules(mask_function, batch_size, q_length, kv_length, int(q_offset), kv_offset, attention_mask)
    if rules is None:
        return build(**skip)
    if rules.padding is None and rules.segments is None:
        if allow_is_causal_skip and rules.band.lower is None and _plain_causal(rules.band, q_length, kv_length):
            return None
        if allow_is_bidirectional_skip and rules.band == Band():
            return None
    return LazyMask((batch_size, 1, q_length, kv_length), torch.device(device), rules,
                    functools.partial(build, allow_is_causal_skip=False))


def _plain_causal(band: Band, rows: int, keys: int) -> bool:
    """Whether the attention function, told nothing, does the right thing for a causal model."""
    return band.upper == 0 if rows > 1 else band.upper is not None and band.upper >= keys - 1


def _rules(
    mask_function: Callable[..., Any], batch: int, rows: int, keys: int, q_offset: int, kv_offset: int,
    attention_mask: Tensor | None
) -> Rules | None:
    """Returns the rules equivalent to a mask function; None where there are none."""
    pattern = _pattern(mask_function)
    if pattern is None:
        return None
    band, sequences = pattern
    shift = q_offset - kv_offset
    if sequences is not None:
        return Rules(band, segments=_segments(sequences))
    band = Band(*(None if limit is None else limit + shift for limit in band))
    if band.lower is not None and band.lower + rows - 1 <= 0:
        band = Band(None, band.upper)  # the last row still sees the first key
    if attention_mask is None:
        return Rules(band, shift)
    tokens = masking_utils.prepare_padding_mask(attention_mask, keys, kv_offset)
    assert tokens is not None  # only where attention_mask is
    padding = _padding(tokens[:, kv_offset:kv_offset + keys])
    if padding is None or max(padding.ends) > shift + rows and band.upper is not None:
        return None
    if padding.right_padded and min(padding.ends) >= (keys if band.upper is None else min(keys, band.upper + rows)):
        return Rules(band, shift)  # all keys that any row could see are tokens
    if not padding.left_padded and not padding.right_padded:
        return None
    return Rules(band, shift, padding.expanded(batch))


def _pattern(mask_function: Callable[..., Any]) -> tuple[Band, Tensor | None] | None:
    """Recognises the mask functions of transformers: a band around the diagonal of positions, and the sequence (B, S)
    that each token of a packed batch belongs to. None for any other function."""
    if mask_function is masking_utils.causal_mask_function:
        return Band(None, 0), None
    if mask_function is masking_utils.bidirectional_mask_function:
        return Band(), None
    parts = _captured(mask_function, _AND)
    if parts is None or len(parts["mask_functions"]) != 2:
        return None
    first, second = parts["mask_functions"]
    if window := _captured(first, _WINDOW):
        if second is masking_utils.causal_mask_function:
            return Band(1 - window["sliding_window"], 0), None
    if window := _captured(first, _BIDIRECTIONAL_WINDOW):
        if second is masking_utils.bidirectional_mask_function:
            return Band(-window["sliding_window"], window["sliding_window"]), None
    for packed, within in ((first, second), (second, first)):
        if sequences := _captured(packed, _PACKED):
            remapped = _captured(within, _WITHIN_SEQUENCE)
            inner = _pattern(remapped["mask_function"] if remapped else within)
            if inner is not None and inner[1] is None:
                return inner[0], sequences["packed_sequence_mask"]
    return None


# The code of the functions that transformers' factories return: what tells them apart.
_AND = masking_utils.and_masks(masking_utils.causal_mask_function).__code__
_WINDOW = masking_utils.sliding_window_overlay(1).__code__
_BIDIRECTIONAL_WINDOW = masking_utils.sliding_window_bidirectional_overlay(1).__code__
_PACKED = masking_utils.packed_sequence_mask_function(torch.zeros(1, 1)).__code__
# Positions count within each sequence; those of older versions count through the row, where a band is the same.
_WITHIN_SEQUENCE = (
    masking_utils.remap_positions_for_packed_sequence(masking_utils.causal_mask_function, torch.zeros(1, 1)).__code__
    if hasattr(masking_utils, "remap_positions_for_packed_sequence") else None)


def _captured(function: Callable[..., Any], code: CodeType | None) -> dict[str, Any] | None:
    """Returns the variables that a function with this code captured; None where it has another one."""
    if code is None or getattr(function, "__code__", None) != code:
        return None
    return dict(zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ())))


def _segments(sequences: Tensor) -> Segments:
    """Cumulative lengths of the packed sequences of all rows of the batch, from each token's sequence (B, S)."""
    changes = torch.ones_like(sequences, dtype=torch.bool)
    changes[:, :-1] = sequences[:, 1:] != sequences[:, :-1]
    ends = tuple((changes.flatten().nonzero().flatten() + 1).tolist())
    return Segments(ends, ends)


def _padding(tokens: Tensor) -> Intervals | None:
    """Returns where the tokens of each sequence stand in a padding mask (B, Skv); None when they have gaps."""
    tokens = tokens.cpu()
    counts = tokens.sum(dim=1)
    starts = tokens.int().argmax(dim=1)
    ends = starts + counts
    position = torch.arange(tokens.shape[1])
    if not torch.equal(tokens, (position >= starts[:, None]) & (position < ends[:, None])):
        return None
    last = int(ends.max())
    empty = counts == 0  # such a sequence fits in with any padding
    starts, ends = (torch.where(empty, last if bool(starts.any()) else 0, x) for x in (starts, ends))
    return Intervals(tuple(starts.tolist()), tuple(ends.tolist()))
