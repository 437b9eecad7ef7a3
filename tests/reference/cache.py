"""Writing and reading paged caches, one token at a time."""


def place(cache, slot, nz):
    """The row of a slot as a view: (N, D) of a Norm cache, (chunks, last) of an NZ one."""
    block_size = cache.shape[-2] if nz else cache.shape[1]
    block = cache[slot // block_size]
    return block.flatten(0, -3)[:, slot % block_size] if nz else block[slot % block_size]


def scatter(rows, cache, slots, nz):
    """The cache with the rows in their slots; the arguments are left alone."""
    cache = cache.clone().contiguous()
    for row, slot in zip(rows, slots.tolist(), strict=True):
        if slot >= 0:
            target = place(cache, slot, nz)
            target.copy_(row.reshape(target.shape))
    return cache


def compressed(rows, cache, starts, lengths, ends, offsets, element):
    """The Norm cache, of one head, with what is kept of every head's tokens from its slot on; all but the means are
    copied as bytes, so `rows` and `cache` are bytes, of `element`s."""
    cache = cache.clone().contiguous()
    for b, end in enumerate(ends.tolist()):
        for n in range(rows.shape[2]):
            start, length, tokens = int(starts[b, n]), int(lengths[b, n]), rows[b, :end, n]
            offset = -1 if offsets is None else int(offsets[b, n])
            if offsets is None:
                kept = list(tokens[max(end - length, 0):])
            elif offset < 0 or length <= 0:
                kept = list(tokens)
            else:
                mean = tokens[offset:offset + length].contiguous().view(element).double().mean(0)
                kept = [*tokens[:offset], mean.to(element).view(rows.dtype), *tokens[offset + length:]]
            for i, row in enumerate(kept if start >= 0 else []):
                place(cache, start + i, False).copy_(row)
    return cache


def gather(cache, tables, lengths, offsets, rows, nz):
    """The rows with the tokens of the sequences; the arguments are left alone."""
    rows, row = rows.clone().contiguous(), 0
    block_size = cache.shape[-2] if nz else cache.shape[1]
    for table, length, offset in zip(tables.tolist(), lengths, offsets, strict=True):
        for position in range(offset, offset + length):
            column = position // block_size
            block = table[column] if column < len(table) else -1
            if 0 <= block < len(cache):
                slot = block * block_size + position % block_size
                rows[row] = place(cache, slot, nz).reshape(rows[row].shape)
            else:
                rows[row] = 0
            row += 1
    return rows
