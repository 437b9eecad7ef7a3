"""Legal calls of the operators on paged caches."""

import torch

import reference

from .draw import FLOATS
from .model import Case

ELEMENTS = (torch.float16, torch.bfloat16, torch.float32, torch.int8, torch.uint8, torch.float8_e4m3fn,
            torch.float8_e5m2, torch.int16, torch.int32)


def bits(tensor):
    """A copy of the elements as bytes, one row of them for each last axis."""
    return tensor.clone(memory_format=torch.contiguous_format).view(torch.uint8)


def any_bits(d, shape, dtype):
    """Elements of arbitrary bits, NaN among them."""
    size = torch.empty(0, dtype=dtype).element_size()
    return d.integers((*shape[:-1], shape[-1] * size), 0, 255, torch.uint8).view(dtype)


def chunk(dtype, d):
    size = torch.empty(0, dtype=dtype).element_size()
    return d.pick(8, 16) if size == 4 else 32 // size


def cache_shape(d, blocks, block_size, heads, width, dtype, nz):
    if not nz:
        return blocks, block_size, heads, width
    last = chunk(dtype, d)
    if width % last == 0 and d.chance(0.4):
        return blocks, heads, width // last, block_size, last
    return blocks, heads * width // last, block_size, last


def blocks_apart(d, cache, neighbours):
    """The cache between blocks of another one, which `neighbours` get with its content."""
    other, mine = any_bits(d, cache.shape, cache.dtype), d.integer(0, 1)
    both = torch.stack([t.view(torch.uint8) for t in ((cache, other), (other, cache))[mine]], 1).view(cache.dtype)
    neighbours.append((both[:, 1 - mine], bits(other)))
    return both[:, mine]


SCATTERS = ("npu_scatter_pa_kv_cache", "npu_scatter_pa_cache.value", "_npu_reshape_and_cache",
            "_npu_reshape_and_cache_siso")


def scatter_case(d, op=None, nz=None, dtype=None):
    """Any strides and bits; slots in any order, some of them negative."""
    op = op or d.pick(*SCATTERS)
    alone, torch_names = "pa_cache" in op or "siso" in op, "reshape" not in op
    tokens, heads = d.integer(0, 300 if d.long else 40), d.pick(1, 1, 2, 8)
    blocks, block_size = d.integer(1, 8), d.pick(1, 3, 16, 128)
    nz = d.chance(0.5) if nz is None else nz
    dtypes = [dtype or d.pick(*ELEMENTS)] * 2
    if not alone and d.chance(0.2):
        dtypes[1] = d.pick(*ELEMENTS)
    kwargs, neighbours, apart = {}, [], d.chance(0.3)
    for name, element in list(zip(("key", "value"), dtypes, strict=True))[:1 if alone else 2]:
        width = d.pick(16, 32, 64, 128, 512) if nz else d.pick(1, 7, 16, 64, 128, 512)
        if nz and heads * width * element.itemsize % 64:
            width = 64
        rows = any_bits(d, (tokens, heads, width), element)
        cache = any_bits(d, cache_shape(d, blocks, block_size, heads, width, element, nz), element)
        cache = blocks_apart(d, cache, neighbours) if apart else d.strided(cache, 0.1)
        kwargs |= {name: d.strided(rows), f"{name}_cache": cache}
    slots = torch.randperm(blocks * block_size, generator=d.generator)
    if d.chance(0.4):  # in order: rows that are stored together
        slots = slots.sort().values
    slots = torch.cat([slots, torch.full((tokens,), -1)])[:tokens]
    slots[torch.rand(tokens, generator=d.generator) < 0.2] = -d.integer(1, 5)
    kwargs["slot_mapping" if torch_names else "slot_indices"] = d.strided(slots.to(d.pick(torch.int32, torch.int64)))
    if op == SCATTERS[0]:
        kwargs["cache_mode"] = "PA_NZ" if nz else d.pick("Norm", None)
    before = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in kwargs.items()}

    def expected():
        return {f"{name}_cache": reference.scatter(bits(before[name]), bits(before[f"{name}_cache"]), slots, nz)
                for name in ("key", "value") if name in before}

    def compare(result, want):
        if "pa_cache" in op:
            assert torch.equal(bits(result), want["key_cache"])
        else:
            assert result in (None, ())
        for name, value in before.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(bits(kwargs[name]), want.get(name, bits(value))), name
        assert all(torch.equal(bits(blocks), content) for blocks, content in neighbours)

    return Case(op, kwargs, expected, compare)


COMPRESSED = SCATTERS[:2]


def compressed_case(d, op=None, dtype=None, mean=None):
    """Every head of a sequence has slots of its own; some have none."""
    op = op or d.pick(*COMPRESSED)
    batch, tokens, heads = d.integer(1, 4), d.integer(1, 90 if d.long else 12), d.pick(1, 2, 5)
    mean = d.chance(0.5) if mean is None else mean
    dtype = dtype or d.pick(*(FLOATS if mean else ELEMENTS))
    block_size, index = d.pick(1, 4, 16), d.pick(torch.int32, torch.int64)
    blocks = -(-batch * heads * tokens // block_size) + d.integer(0, 2)
    kwargs, before = {}, {}
    for name in ("key", "value")[:1 if "pa_cache" in op else 2]:
        width = d.pick(1, 7, 32, 128)
        shape = (batch, tokens, heads, width)
        rows = d.normal(shape, dtype) if mean else any_bits(d, shape, dtype)
        kwargs |= {name: d.strided(rows), f"{name}_cache": any_bits(d, (blocks, block_size, 1, width), dtype)}
        before |= {name: bits(rows), f"{name}_cache": bits(kwargs[f"{name}_cache"])}
    ends = torch.tensor([d.integer(0, tokens) for _ in range(batch)])
    lengths = torch.tensor([[d.integer(0, int(end)) for _ in range(heads)] for end in ends])
    offsets = torch.tensor([[d.integer(-1, int(end - n)) for n in row] for end, row in zip(ends, lengths, strict=True)])
    starts = (torch.randperm(batch * heads, generator=d.generator) * tokens).view(batch, heads)
    starts[torch.rand(starts.shape, generator=d.generator) < 0.1] = -1
    kwargs |= dict(slot_mapping=starts.to(index), compress_lens=lengths.to(index), seq_lens=ends.to(index))
    if mean:
        kwargs["compress_seq_offsets"] = offsets.to(index).flatten()
    if op == SCATTERS[0]:
        kwargs["cache_mode"] = d.pick("Norm", None)

    def expected():
        return {name: reference.compressed(before[name], before[f"{name}_cache"], starts, lengths, ends,
                                           offsets if mean else None, dtype)
                for name in ("key", "value") if name in before}

    def compare(result, want):
        for name, cache in want.items():
            got = kwargs[f"{name}_cache"]
            if mean:
                torch.testing.assert_close(got, cache.view(dtype), rtol=1e-2 if dtype != torch.float32 else 1e-5,
                                           atol=1e-5, equal_nan=True)
            else:
                assert torch.equal(bits(got), cache), name

    return Case(op, kwargs, expected, compare)


def gather_case(d, op=None, nz=None, dtype=None):
    """Any strides and bits; some blocks do not exist, and the result may have rows that stay."""
    op = op or d.pick("npu_gather_pa_kv_cache", "npu_gather_pa_kv_cache_functional")
    dtype, nz = dtype or d.pick(*ELEMENTS), d.chance(0.5) if nz is None else nz
    blocks, block_size, heads = d.integer(1, 9), d.pick(1, 3, 16, 128), d.pick(1, 2, 8)
    widths = [64 * d.pick(1, 2, 8) if nz else d.pick(1, 7, 16, 64, 512) for _ in range(2)]
    caches = [any_bits(d, cache_shape(d, blocks, block_size, heads, width, dtype, nz), dtype) for width in widths]
    views = [blocks_apart(d, cache, []) if d.chance(0.3) else d.strided(cache) for cache in caches]
    sequences, columns = d.integer(0, 5), d.integer(1, 6)
    longest = 200 if d.long else 30
    lengths = [d.integer(0, min(longest, columns * block_size)) for _ in range(sequences)]
    offsets = [d.integer(0, columns * block_size - length) for length in lengths] if d.chance(0.6) else [0] * sequences
    tables = d.integers((sequences, columns), -1, blocks if d.chance(0.3) else blocks - 1, torch.int32)
    index = d.pick(torch.int32, torch.int64)
    cumulative = d.chance(0.4)
    given = torch.tensor([0, *lengths]).cumsum(0) if cumulative else torch.tensor(lengths, dtype=torch.int64)
    tokens = sum(lengths) + d.pick(0, 0, 3)
    rows = [any_bits(d, (tokens, heads, width), dtype) for width in widths]
    kwargs = dict(key_cache=views[0], value_cache=views[1],
                  block_tables=d.strided(tables.to(d.pick(torch.int32, torch.int64))), seq_lens=given.to(index),
                  key=d.strided(rows[0]), value=d.strided(rows[1]), is_seq_lens_cumsum=cumulative)
    if any(offsets):
        kwargs["seq_offset"] = torch.tensor(offsets).to(index)
    before = {name: value.clone() for name, value in kwargs.items() if isinstance(value, torch.Tensor)}

    def expected():
        return {name: reference.gather(bits(before[f"{name}_cache"]), tables, lengths, offsets, bits(before[name]), nz)
                for name in ("key", "value")}

    def compare(result, want):
        in_place = "functional" not in op
        assert result in (None, ()) if in_place else len(result) == 2
        got = {name: kwargs[name] if in_place else result[i] for i, name in enumerate(("key", "value"))}
        for name, value in before.items():
            assert torch.equal(bits(got.get(name, kwargs[name])), want.get(name, bits(value))), name

    return Case(op, kwargs, expected, compare)
