"""Exact attention over sequences beyond the budget of one operator call.

Query rows and keys are cut into blocks, each block is one call of `npu_fusion_attention`, and :mod:`npufa.merge`
recombines them; the gradient takes the same blocks with the statistics of the whole softmax. Nothing is approximated.
Tensors may live where they fit, e.g. a key/value cache in host memory, while one block at a time is on the device that
computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..integrations._rules import UNBOUNDED
from ._arguments import as_under_autocast, check, default_scale, from_bnsd, sequence_lengths, to_bnsd
from ._blocks import Visibility
from ._chunked import Plan, chunked_attention

__all__ = ["long_context_attention", "sliding_window_attention"]

DEFAULT_TOKENS = 8192


def long_context_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    input_layout: str = "BNSD",
    scale: float | None = None,
    sparse_mode: int = 0,
    pre_tokens: int = UNBOUNDED,
    next_tokens: int = UNBOUNDED,
    sink_tokens: int = 0,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    max_tokens: int | None = None,
    max_bytes: int | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention in blocks of bounded size; the result and the gradient are those of one call, up to rounding.

    Memory beyond inputs, outputs and gradients is that of one block, and, for the gradient of key and value, a float32
    sum of each where they live. Blocks without a visible key are neither moved nor computed.

    Args:
        query: float16, bfloat16 or float32 in `input_layout`: BNSD (B, N, Sq, D), BSND (B, Sq, N, D) or TND (T, N, D).
            float32 follows `torch.autocast`.
        key, value: dtype of `query`, the same layout with Skv and Nkv, a divisor of N; value may have Dv <= D. Either
            may be on another device than `query`.
        scale: factor of the scores, by default 1 / sqrt(D).
        sparse_mode: 0 no mask, 2 causal from the upper left, 3 causal from the lower right, 4 band.
        pre_tokens, next_tokens: for `sparse_mode` 4, keys seen before and after the diagonal from the lower right.
        sink_tokens: for `sparse_mode` 4, the first keys of the sequence that rows see even before the band.
        actual_seq_qlen, actual_seq_kvlen: for TND, cumulative lengths: 2, 3, 4 tokens are [2, 5, 9].
        max_tokens: the most query rows, and the most keys, of one block; 8192 unless `max_bytes` is given.
        max_bytes: instead, the most memory of one block's tensors on the device that computes, in bytes: inputs, the
            operator's outputs and the running result, or in the gradient their gradients. Workspace the operator
            allocates inside is not counted.
        device: where the blocks are computed; by default query's device.

    Returns:
        output: layout, dtype and device of `query`, with Dv; rows without any key are 0.
        softmax_lse: float32, (B, N, Sq, 1), TND (T, N, 1), +inf for rows without any key; not differentiable. With it
            :func:`npufa.merge.merge_lse` merges the result with that of further keys.

    Raises:
        TypeError, ValueError: an illegal argument; the message names it and what was expected.

    Source: usage guide section 5.3; SPEC sections 2 to 4; Rabe and Staats, arXiv 2112.05682.
    """
    name = "long_context_attention"
    check(name, query, key, value, input_layout)
    tokens = _block_tokens(name, query, key, value, max_tokens, max_bytes, input_layout)
    target = query.device if device is None else torch.device(device)
    scale = default_scale(query, scale)
    query, key, value = as_under_autocast(query, key, value)

    def one_sequence(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        visibility = Visibility.from_arguments(name, q.shape[2], k.shape[2], sparse_mode, pre_tokens, next_tokens,
                                               sink_tokens)
        return chunked_attention(q, k, v, Plan(visibility, scale, tokens, target))

    if input_layout != "TND":
        output, softmax_lse = one_sequence(*(to_bnsd(t, input_layout) for t in (query, key, value)))
        return from_bnsd(output, input_layout), softmax_lse
    q_lengths = sequence_lengths(name, "actual_seq_qlen", actual_seq_qlen, query.shape[0])
    kv_lengths = sequence_lengths(name, "actual_seq_kvlen", actual_seq_kvlen, key.shape[0])
    if len(q_lengths) != len(kv_lengths):
        raise ValueError(f"npufa.{name}: actual_seq_kvlen differs from actual_seq_qlen in length, got "
                         f"{len(kv_lengths) - 1}; expected {len(q_lengths) - 1}")
    queries = query.split(q_lengths)
    keys, values = ([*t.split(kv_lengths)[:-1], t[:0]] for t in (key, value))  # padding rows see no key
    results = [one_sequence(*(to_bnsd(t, "TND") for t in sequence)) for sequence in zip(queries, keys, values)]
    output, softmax_lse = (torch.cat([from_bnsd(t, "TND") for t in parts]) for parts in zip(*results))
    return output, softmax_lse


def sliding_window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int,
    *,
    sink_tokens: int = 0,
    input_layout: str = "BNSD",
    scale: float | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_kvlen: Sequence[int] | None = None,
    max_tokens: int | None = None,
    max_bytes: int | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Causal attention of each row to the last `window` keys and to the first `sink_tokens` ones.

    The last row and the last key of a sequence are on the diagonal, so that a step of decoding passes its new rows with
    all keys. Time and moved keys grow with Sq * (window + sink_tokens), not with Sq * Skv. Positions inside key and
    query (e.g. rotary ones) are the caller's; StreamingLLM counts them within the cache.

    Args:
        window: keys a row sees up to its own, that included; at least 1.
        sink_tokens: keys at the start of the sequence that every row at or after them sees.

    All else, and what is returned and raised, is as in :func:`long_context_attention`.

    Source: Xiao et al., StreamingLLM, arXiv 2309.17453.
    """
    if window < 1:
        raise ValueError(f"npufa.sliding_window_attention: window is too small, got {window}; expected at least 1")
    return long_context_attention(
        query, key, value, input_layout=input_layout, scale=scale, sparse_mode=4, pre_tokens=window - 1, next_tokens=0,
        sink_tokens=sink_tokens, actual_seq_qlen=actual_seq_qlen, actual_seq_kvlen=actual_seq_kvlen,
        max_tokens=max_tokens, max_bytes=max_bytes, device=device)


def _block_tokens(
    name: str, query: Tensor, key: Tensor, value: Tensor, max_tokens: int | None, max_bytes: int | None,
    input_layout: str
) -> int:
    if max_tokens is not None and max_bytes is not None:
        raise ValueError(f"npufa.{name}: max_bytes is a second budget, got {max_bytes} with max_tokens {max_tokens}; "
                         "expected one of them")
    if max_bytes is None:
        tokens = DEFAULT_TOKENS if max_tokens is None else max_tokens
        if tokens < 1:
            raise ValueError(f"npufa.{name}: max_tokens is too small, got {max_tokens}; expected at least 1")
        return tokens
    per_token = _bytes_per_token(query, key, value, input_layout)
    if max_bytes < per_token:
        raise ValueError(f"npufa.{name}: max_bytes is too small for one token, got {max_bytes}; expected at least "
                         f"{per_token}")
    return max_bytes // per_token


def _bytes_per_token(query: Tensor, key: Tensor, value: Tensor, input_layout: str) -> int:
    """Bytes of one query row and one key in a block, the larger of forward and gradient."""
    batch = 1 if input_layout == "TND" else query.shape[0]
    heads, kv_heads = (t.shape[input_layout.index("N")] for t in (query, key))
    both, width, value_width = query.shape[-1] + value.shape[-1], query.shape[-1], value.shape[-1]
    item, single = query.element_size(), torch.float32.itemsize
    statistics = 2 * 8 * single
    # q and the operator's output; running result before, during and after a merge
    forward = heads * (both * item + 3 * value_width * single + 2 * statistics)
    # q, dy, output and dq of the operator; running dq
    backward = heads * (2 * both * item + width * single + 2 * statistics)
    # key, value and their gradients
    return batch * (max(forward, backward) + kv_heads * 2 * both * item)
