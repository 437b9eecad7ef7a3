"""Legal calls of the rotary operators."""

import torch

import reference

from .cache import bits, blocks_apart
from .draw import FLOATS
from .merge import close
from .model import Case


def angles_shape(d, shape, free):
    """The shape with 1 on some of the axes `free`."""
    return tuple(1 if axis in free and d.chance(0.5) else extent for axis, extent in enumerate(shape))


def rotary_case(d, op=None, mode=None, dtype=None):
    op = op or d.pick("npu_rotary_mul", "npu_interleave_rope", "npu_apply_rotary_pos_emb")
    dtype, mode = dtype or d.pick(*FLOATS), mode or d.pick("half", "interleave")
    columns = 2 * d.pick(1, 2, 5, 16, 32, 36, 64, 128, 448 if d.long else 40)
    limit = 40 if d.long else 9
    axes = 4 if "interleave" in op else d.pick(3, 4)
    shape = (*(d.integer(1, limit) for _ in range(axes - 1)), columns)
    angles = angles_shape(d, shape, range(axes - 1))
    cosines, sines = (d.normal(angles, d.pick(*FLOATS) if "mul" in op else dtype) for _ in range(2))
    if op == "npu_rotary_mul":
        x = d.normal(shape, dtype)
        kwargs = dict(input=d.strided(x), r1=d.strided(cosines), r2=d.strided(sines), rotary_mode=mode)
        if d.chance(0.2):
            kwargs["rotate"] = d.normal((columns, columns), d.pick(*FLOATS), columns**-0.5)
        expected = lambda: reference.rotary(x, cosines, sines, mode, kwargs.get("rotate"))  # noqa: E731
    elif op == "npu_interleave_rope":
        x = d.normal(shape, dtype)
        kwargs = dict(x=d.strided(x), cos=d.strided(cosines), sin=d.strided(sines))
        expected = lambda: reference.interleave_rope(x, cosines, sines)  # noqa: E731
    else:
        layout = "TND" if axes == 3 else d.pick("BSND", "SBND", "BNSD")
        heads = layout.index("N")
        key_shape = (*shape[:heads], d.integer(1, 6), *shape[heads + 1:])
        angles = (*angles[:heads], 1, *angles[heads + 1:])
        cosines, sines = (d.normal(angles, dtype) for _ in range(2))
        query, key = d.normal(shape, dtype), d.normal(key_shape, dtype)
        kwargs = dict(query=d.strided(query), key=d.strided(key), cos=d.strided(cosines), sin=d.strided(sines),
                      layout=layout, rotary_mode=mode)
        expected = lambda: [reference.rotary(t, cosines, sines, mode) for t in (query, key)]  # noqa: E731

    def compare(result, want):
        parts = [result] if isinstance(result, torch.Tensor) else result
        for got, part in zip(parts, want if isinstance(want, list) else [want], strict=True):
            assert got.dtype == dtype and got.is_contiguous()
            close(got, part, dtype)

    return Case(op, kwargs, expected, compare)


LATENT_MODES = ("Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ")
LATENT = ("npu_kv_rmsnorm_rope_cache", "npu_kv_rmsnorm_rope_cache_v2")


def latent_index(d, mode, batch, tokens, blocks, block_size):
    """Where the tokens go, and what the operator is told."""
    if mode == "Norm":
        index = torch.stack([torch.randperm(block_size, generator=d.generator)[:tokens] for _ in range(batch)])
        index[torch.rand(index.shape, generator=d.generator) < 0.2] = -1
        slots = torch.where(index < 0, -1, index + torch.arange(batch)[:, None] * block_size)
        return slots.flatten(), index
    if "BLK" in mode:
        per_sequence = -(-tokens // block_size)
        first = torch.randperm(blocks, generator=d.generator)[:batch * per_sequence] * block_size
        first[torch.rand(len(first), generator=d.generator) < 0.2] = -1
        within = torch.arange(tokens)
        slots = [first[b * per_sequence:][within // block_size] for b in range(batch)]
        return torch.cat([torch.where(s < 0, -1, s + within % block_size) for s in slots]), first
    slots = torch.randperm(blocks * block_size, generator=d.generator)[:batch * tokens]
    slots[torch.rand(len(slots), generator=d.generator) < 0.2] = -3
    return slots, slots


def latent_case(d, op=None, mode=None, dtype=None, quantised=None, split=None):
    """`split`: keys and values in rows of their own."""
    op, mode, dtype = op or d.pick(*LATENT), mode or d.pick(*LATENT_MODES), dtype or d.pick(*FLOATS)
    split = d.chance(0.3) if split is None else split
    batch, tokens = d.integer(1, 5), d.integer(1, 60 if d.long else 9)
    nz = mode.endswith("NZ")
    norm = 32 * d.pick(1, 3, 16) if nz else d.pick(1, 24, 64, 512, 600)
    rope = 32 * d.pick(1, 2) if nz else 2 * d.pick(1, 5, 32)
    key = rope + d.pick(0, 32, 128) if split else rope
    block_size = d.integer(tokens, tokens + 4) if mode == "Norm" else d.pick(1, 4, 16)
    blocks = batch if mode == "Norm" else batch * -(-tokens // block_size) + d.integer(0, 3)
    quantised = [d.chance(0.3), d.chance(0.3)] if quantised is None else quantised
    width = key if split else norm + rope
    kv, gamma = d.normal((batch, 1, tokens, width), dtype), d.normal((key if split else norm,), dtype)
    cosines, sines = (d.normal((batch, 1, tokens, rope), dtype) for _ in range(2))
    slots, index = latent_index(d, mode, batch, tokens, blocks, block_size)
    kwargs = dict(kv=d.strided(kv), gamma=gamma, cos=d.strided(cosines), sin=d.strided(sines), index=index,
                  cache_mode=mode, is_output_kv=d.chance(0.5), epsilon=d.pick(1e-5, 1e-2))
    v = d.normal((batch, 1, tokens, norm), dtype) if split else None
    if split:
        kwargs["v"] = d.strided(v)
    before, neighbours, apart = {}, [], d.chance(0.2)
    for name, scale, offset, columns, int8 in (("k_cache", "k_rope_scale", "k_rope_offset", key, quantised[0]),
                                               ("ckv_cache", "c_kv_scale", "c_kv_offset", norm, quantised[1])):
        shape = (blocks, 1, block_size, columns) if mode == "Norm" else (blocks, block_size, 1, columns)
        before[name] = d.normal(shape, torch.float32, 9.0).to(torch.int8 if int8 else dtype)
        kwargs[name] = blocks_apart(d, before[name], neighbours) if apart else before[name].clone()
        if int8:
            kwargs[scale] = d.uniform((columns,), 5.0, 40.0)
            if d.chance(0.5):
                kwargs[offset] = d.uniform((columns,), -30.0, 30.0)

    def rows_of(cache):
        """(slots, columns) of a cache, whatever its form."""
        if not nz:
            return cache.reshape(blocks * block_size, -1)
        last = 32 // cache.element_size()
        return cache.view(blocks, -1, block_size, last).transpose(1, 2).reshape(blocks * block_size, -1)

    def compare(result, want):
        results = result[2:] if op == LATENT[0] else result
        if op == LATENT[0]:
            assert all(torch.equal(bits(got), bits(kwargs[name])) for got, name in zip(result, before))
        quantisers = ("k_rope_scale", "k_rope_offset"), ("c_kv_scale", "c_kv_offset")
        for name, (scale, offset), got, rows in zip(before, quantisers, results, want, strict=True):
            if kwargs["is_output_kv"]:
                assert got.dtype == dtype
                close(got, rows, dtype)
            else:
                assert got.shape == (0,)
            cache, old = rows_of(kwargs[name]), rows_of(before[name])
            kept = torch.ones(len(cache), dtype=torch.bool)
            kept[slots[slots >= 0]] = False
            assert torch.equal(bits(cache[kept]), bits(old[kept])), f"{name} was written elsewhere"
            written, wanted = cache[slots[slots >= 0]], rows.flatten(0, 2)[slots >= 0]
            if kwargs.get(scale) is not None:
                wanted = reference.stored_rows(wanted, kwargs[scale], kwargs.get(offset), torch.int8)
                assert ((written.int() - wanted.int()).abs() <= 1).all(), name
            else:
                close(written, wanted, dtype)
        assert all(torch.equal(bits(blocks), content) for blocks, content in neighbours)

    return Case(op, kwargs, lambda: reference.latent_rows(kv, gamma, cosines, sines, kwargs["epsilon"], v), compare)


def rounded_values():
    """A call that stores 16 values between integers, or beyond them, in an int8 cache; and what it holds then."""
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.75, -0.75, 2, -2, 126.5, 127.5, 300, -127.5, -129, -300])
    offset = torch.zeros(16)
    offset[8], offset[9] = 0.5, -3.25
    kwargs = dict(kv=torch.ones(1, 1, 1, 8), gamma=torch.ones(8),
                  cos=torch.ones(1, 1, 1, 2), sin=torch.ones(1, 1, 1, 2),
                  index=torch.zeros(1, dtype=torch.int64), k_cache=torch.zeros(1, 1, 1, 8),
                  ckv_cache=torch.zeros(1, 1, 1, 16, dtype=torch.int8), v=values.view(1, 1, 1, 16),
                  c_kv_scale=torch.ones(16), c_kv_offset=offset, cache_mode="PA")
    return kwargs, (values + offset).round().clamp(-128, 127).to(torch.int8)
