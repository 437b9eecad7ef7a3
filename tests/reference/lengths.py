"""Sequence lengths: packed (cumulative), per batch, left padding, paged."""

import torch


def as_list(lengths):
    """Lengths as a list of int, whatever they came as; None stays None."""
    if lengths is None:
        return None
    return [int(x) for x in (lengths.tolist() if isinstance(lengths, torch.Tensor) else lengths)]


def cumulative_legal(entries, total):
    """Never decreasing, but for trailing zeros, and within the tokens."""
    used = without_trailing_zeros(entries)
    return all(0 <= a <= b for a, b in zip([0] + used, used)) and (not used or used[-1] <= total)


def plain_legal(entries, total):
    return all(n >= 0 for n in entries) and without_trailing_zeros(entries) == entries and sum(entries) == total


def without_trailing_zeros(entries):
    entries = list(entries)
    while entries and entries[-1] == 0:
        entries.pop()
    return entries


def reading(*sides):
    """"cumulative", "plain", "both" or "neither": how the lists of a packed call may be read together.

    A side is (lengths, tokens); tensors are always cumulative.
    """
    lists = [(as_list(x), total, isinstance(x, torch.Tensor)) for x, total in sides]
    cumulative = all(cumulative_legal(x, total) for x, total, _ in lists)
    plain = all(not fixed and plain_legal(x, total) for x, total, fixed in lists)
    if cumulative and plain:
        return "both" if any(x and x[-1] < total for x, total, _ in lists) else "cumulative"
    return "cumulative" if cumulative else "plain" if plain else "neither"


def packed_spans(lengths, plain=False):
    """(start, length) per sequence of a packed tensor, and how many sequences are not trailing zeros."""
    lengths = as_list(lengths)
    used = without_trailing_zeros(lengths)
    sizes = used if plain else [b - a for a, b in zip([0] + used, used)]
    spans, start = [], 0
    for size in sizes:
        spans.append((start, size))
        start += size
    return spans + [(start, 0)] * (len(lengths) - len(used)), len(used)


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
