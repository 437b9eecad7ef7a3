"""Sequence lengths: packed (cumulative), per batch, left padding, paged."""

import torch


def as_list(lengths):
    """Lengths as a list of int, whatever they came as; None stays None."""
    if lengths is None:
        return None
    return [int(x) for x in (lengths.tolist() if isinstance(lengths, torch.Tensor) else lengths)]


def packed_spans(lengths, total, plain_allowed=False):
    """(start, length) per sequence of a packed tensor, and how many sequences are not trailing zeros."""
    lengths = as_list(lengths)
    count = len(lengths)
    while count and lengths[count - 1] == 0:
        count -= 1
    last = lengths[count - 1] if count else 0
    if plain_allowed and last != total and sum(lengths) == total:
        sizes = lengths[:count]
    else:
        sizes = [b - a for a, b in zip([0] + lengths[:count], lengths[:count])]
    spans, start = [], 0
    for size in sizes:
        spans.append((start, size))
        start += size
    return spans + [(start, 0)] * (len(lengths) - count), count


def per_batch(lengths, batch, default):
    """One length per sequence of a dense batch: absent -> default, one broadcasts, longer than B is cut."""
    lengths = as_list(lengths)
    if lengths is None:
        return [default] * batch
    if len(lengths) == 1:
        return lengths * batch
    return lengths[:batch]


def window(size, length, padding):
    """Storage positions used, or None when left padding points before the tensor."""
    if padding is None:
        return torch.arange(length)
    padding = max(int(padding.item()), 0)
    start, stop = size - padding - length, size - padding
    if start < 0 or stop < 0:
        return None
    return torch.arange(start, stop)


def paged_tokens(cache, row, block_size, count, block_axis):
    """Tokens 0..count of a paged cache: (tokens, ...) with the in-block axis moved to the front."""
    rows = cache.movedim(block_axis, 1)
    tokens = torch.arange(count)
    return rows[row.long()[tokens // block_size], tokens % block_size]
