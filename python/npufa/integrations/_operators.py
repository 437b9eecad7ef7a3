"""One attention call by the operator that suits it.

`npu_fused_infer_attention_score` computes what needs no gradient and no dropout (`_v2` with a sink), and
`npu_fusion_attention_v3` the rest (`_v2` with a bias, which only it adds after scaling). Tensors are query
(B, N, Sq, D), key (B, Nkv, Skv, D) and value (B, Nkv, Skv, Dv), strided as they come; outputs are (B, Sq, N, Dv).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops import (
    npu_fused_infer_attention_score,
    npu_fused_infer_attention_score_v2,
    npu_fusion_attention_v2,
    npu_fusion_attention_v3,
)
from ._rules import CAUSAL, FULL, Band, Intervals, Rules, Segments

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MAX_HEAD_DIM = 768
MAX_INFERENCE_HEAD_DIM = 512


def needs_training_operator(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, sink: Tensor | None, dropout: float
) -> bool:
    """True when the inference operators cannot compute the call."""
    if dropout > 0 or max(query.shape[-1], value.shape[-1]) > MAX_INFERENCE_HEAD_DIM:
        return True
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (query, key, value, bias, sink))


class _Settings(NamedTuple):
    scale: float
    dropout: float
    sink: Tensor | None
    training: bool
    softcap: float


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rules: Rules,
    *,
    scale: float,
    keep: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    sink: Tensor | None = None,
    softcap: float = 0.0,
) -> Tensor:
    """Returns the attention output (B, Sq, N, Dv).

    Args:
        rules: what is masked out.
        scale: factor of the scores.
        keep: bool (B or 1, 1 or N, Sq or 1, Skv), True takes part; only with empty rules.
        bias: floating, (B or 1, 1 or N, Sq or 1, Skv), added to the scaled scores; not with `rules.segments`, nor with
            `rules.padding` where the training operator is needed or a sink given.
        dropout: probability in [0, 1) of dropping an element.
        sink: (N,), one further logit per head.
        softcap: cap of the scaled scores, before bias and masks; 0.0 is none.
    """
    width = value.shape[-1]
    if width > query.shape[-1]:
        query, key = (F.pad(t, (0, width - t.shape[-1])) for t in (query, key))
    if bias is not None:
        bias = bias.to(query.dtype).expand(-1, query.shape[1], -1, -1)
    masked_out = None if keep is None else ~keep.expand(-1, -1, query.shape[2], -1)
    training = needs_training_operator(query, key, value, bias, sink, dropout)
    settings = _Settings(scale, dropout, None if sink is None else sink.float(), training, softcap)
    if rules.segments is not None:
        output = _packed(_tokens(query), _tokens(key), _tokens(value), rules.segments, rules.band, settings)
        return output.view(query.shape[0], query.shape[2], *output.shape[1:])
    if rules.padding is not None and (training or sink is not None):
        return _without_padding(query, key, value, rules, rules.padding, settings)
    if training:
        return _training(query, key, value, rules.band, masked_out, bias, settings)
    return _inference(query, key, value, rules, masked_out, bias, settings)


def _inference(
    query: Tensor, key: Tensor, value: Tensor, rules: Rules, masked_out: Tensor | None, bias: Tensor | None,
    settings: _Settings
) -> Tensor:
    rows, keys = query.shape[2], key.shape[2]
    band, padding = rules.band, rules.padding
    if rows == 1 and band != FULL:
        # The operator has no band for a single row: keys outside are not passed.
        begin, end = band.keys_of_first_row(keys)
        key, value = key[:, :, begin:end], value[:, :, begin:end]
        bias = None if bias is None else bias[..., begin:end]
        padding = padding and padding.clipped(begin, end)
        band, keys = FULL, end - begin
    lengths: dict[str, Any] = {}
    if padding is None:
        mode = band.sparse_mode(keys - rows)
    else:
        mode, lengths = _mode_and_lengths(band, rules.shift, padding, rows, keys, query.device)
    return _infer(query, key, value, (query.shape[1], key.shape[1]), mode, settings, input_layout="BNSD_BSND",
                  pse_shift=bias, atten_mask=masked_out, **lengths)


def _infer(
    query: Tensor, key: Tensor, value: Tensor, heads: tuple[int, int], mode: tuple[int, int, int], settings: _Settings,
    **others: Any
) -> Tensor:
    """The inference operator: heads of query and of key, `sparse_mode` with its band, and further arguments."""
    others["sparse_mode"], others["pre_tokens"], others["next_tokens"] = mode
    others["softcap"] = settings.softcap
    if settings.sink is None:
        return npu_fused_infer_attention_score(
            query, key, value, num_heads=heads[0], num_key_value_heads=heads[1], scale=settings.scale, **others)[0]
    return npu_fused_infer_attention_score_v2(
        query, key, value, num_query_heads=heads[0], num_key_value_heads=heads[1], softmax_scale=settings.scale,
        learnable_sink=settings.sink, actual_seq_qlen=others.pop("actual_seq_lengths", None),
        actual_seq_kvlen=others.pop("actual_seq_lengths_kv", None), **others)[0]


def _mode_and_lengths(
    band: Band, shift: int, padding: Intervals, rows: int, keys: int, device: torch.device
) -> tuple[tuple[int, int, int], dict[str, Any]]:
    """The band of padded sequences; the operator counts keys from the first and aligns to the last of a sequence."""
    lengths: dict[str, Any] = {"actual_seq_lengths_kv": padding.lengths}
    if padding.left_padded:
        end = padding.ends[0]
        lengths["kv_padding_size"] = torch.full((1,), keys - end, dtype=torch.int64, device=device)
        return band.sparse_mode(end - rows, padded=True), lengths
    if band in (FULL, CAUSAL):
        return band.sparse_mode(keys - rows), lengths
    lengths["actual_seq_lengths"] = _clipped_rows(padding.ends, shift, rows)
    return band.sparse_mode(shift, padded=True), lengths


def _clipped_rows(keys: tuple[int, ...], shift: int, rows: int) -> list[int]:
    """The query rows at which these keys stand."""
    return [min(max(key - shift, 0), rows) for key in keys]


def _training(
    query: Tensor, key: Tensor, value: Tensor, band: Band, masked_out: Tensor | None, bias: Tensor | None,
    settings: _Settings
) -> Tensor:
    mode, before, after = band.sparse_mode(key.shape[2] - query.shape[2])
    query, key, value = (t.transpose(1, 2) for t in (query, key, value))
    others: dict[str, Any] = {
        "atten_mask": masked_out, "scale": settings.scale, "keep_prob": 1.0 - settings.dropout, "sparse_mode": mode,
        "sink": settings.sink, "softcap": settings.softcap,
    }
    if bias is not None:
        return npu_fusion_attention_v2(query, key, value, query.shape[2], "BSND", pse=bias, pse_type=0,
                                       pre_tokens=before, next_tokens=after, **others)[0]
    return npu_fusion_attention_v3(query, key, value, query.shape[2], "BSND", pre_tockens=before, next_tockens=after,
                                   **others)[0]


def _packed(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, band: Band, settings: _Settings
) -> Tensor:
    """Attention of tokens (T, N, D), output (T, N, Dv); last row and last key of a sequence are on the diagonal."""
    mode = band.sparse_mode(0, padded=True)
    if not settings.training and isinstance(segments.query, tuple) and isinstance(segments.key, tuple):
        return _infer(query, key, value, (query.shape[1], key.shape[1]), mode, settings, input_layout="TND",
                      actual_seq_lengths=segments.query, actual_seq_lengths_kv=segments.key)
    q_lengths, kv_lengths = (torch.as_tensor(ends, dtype=torch.int64, device=query.device) for ends in segments)
    return npu_fusion_attention_v3(
        query, key, value, query.shape[1], "TND", scale=settings.scale, keep_prob=1.0 - settings.dropout,
        sparse_mode=mode[0], pre_tockens=mode[1], next_tockens=mode[2], actual_seq_qlen=q_lengths,
        actual_seq_kvlen=kv_lengths, sink=settings.sink, softcap=settings.softcap)[0]


def _tokens(tensor: Tensor) -> Tensor:
    """(B, N, S, D) as (B*S, N, D)."""
    return tensor.transpose(1, 2).flatten(0, 1)


def _without_padding(
    query: Tensor, key: Tensor, value: Tensor, rules: Rules, padding: Intervals, settings: _Settings
) -> Tensor:
    """For operators without lengths of left-padded sequences: padding is taken out and put back."""
    batch, _, rows, _ = query.shape
    band = rules.band
    q_padding = Intervals((0,) * batch, (rows,) * batch)
    if band != FULL:
        q_padding = Intervals(*(tuple(_clipped_rows(bounds, rules.shift, rows)) for bounds in padding))
        band = Band(*(None if limit is None else limit - rules.shift for limit in band))
    q_index = _token_index(q_padding, rows, query.device)
    kv_index = _token_index(padding, key.shape[2], key.device)
    segments = Segments(*(tuple(itertools.accumulate(x.lengths)) for x in (q_padding, padding)))
    output = query.new_zeros(batch * rows, query.shape[1], value.shape[-1])
    if len(q_index):
        packed = _packed(_tokens(query)[q_index], _tokens(key)[kv_index], _tokens(value)[kv_index], segments, band,
                         settings)
        output = output.index_copy(0, q_index, packed)
    return output.view(batch, rows, *output.shape[1:])


@functools.lru_cache(maxsize=4)
def _token_index(intervals: Intervals, tokens: int, device: torch.device) -> Tensor:
    """Positions of all that is no padding among the tokens of the flattened batch."""
    pieces = [range(row * tokens + start, row * tokens + end)
              for row, (start, end) in enumerate(zip(intervals.starts, intervals.ends))]
    with torch.inference_mode(False):  # kept for calls with gradients
        return torch.tensor([*itertools.chain(*pieces)], dtype=torch.int64, device=device)
