"""Calls with NZ caches and with quantised queries, made of plain calls: their results are the same."""

import dataclasses

import torch

import reference

from .draw import Draw
from .inference import fused_infer_case, inference_case
from .model import Case
from .variants import as_v2

CACHES = ("key", "value", "key_rope")


def columns_of(dtype):
    """Elements of 32 bytes."""
    return 32 // dtype.itemsize


def to_nz(cache, kv_heads, block_size, head_first):
    """(blocks, Nkv, D / C, block_size, C) of a cache in any of the other forms."""
    if cache.dim() == 3:
        cache = cache.unflatten(2, (kv_heads, -1))
    elif head_first:
        cache = cache.transpose(1, 2)
    assert cache.shape[1:3] == (block_size, kv_heads)
    return cache.unflatten(3, (-1, columns_of(cache.dtype))).permute(0, 2, 3, 1, 4).contiguous()


def in_nz(case: Case, d: Draw) -> Case:
    """A paged call of fused_infer with its caches in NZ."""
    v2 = case.op.endswith("_v2")
    kw = dict(case.kwargs)
    heads = kw["num_query_heads" if v2 else "num_heads"]
    kv_heads, block_size = kw.get("num_key_value_heads", 0) or heads, kw["block_size"]
    part = kw["input_layout"].split("_")[0]
    for name in CACHES:
        if kw.get(name) is None:
            continue
        token_first = kw[name].shape[1:3] == (block_size, kv_heads) and part != "BNSD"
        kw[name] = d.strided(to_nz(kw[name], kv_heads, block_size, not token_first), 0.15)
    return dataclasses.replace(case, kwargs=kw, notes={**case.notes, "nz": True})


def can_be_nz(case: Case, quantised: bool = False) -> bool:
    """Paged, and every row whole pieces of 32 bytes; `quantised`: with key and value in int8."""
    kw = case.kwargs
    if kw.get("block_table") is None:
        return False
    kv_heads = kw.get("num_key_value_heads", 0) or kw["num_heads"]
    for name in CACHES:
        cache = kw.get(name)
        if cache is None:
            continue
        width = cache.shape[-1] // kv_heads if cache.dim() == 3 else cache.shape[-1]
        stored = torch.int8 if quantised and name != "key_rope" else cache.dtype
        if stored.itemsize > 2 or width % columns_of(stored):
            return False
    return True


def nz_case(seed, **fixed):
    """A random legal call with an NZ cache; `fixed` as of fused_infer_case."""
    d = Draw(seed)
    for attempt in range(1000):
        wanted = {"kind": d.pick("paged", "paged", "rope"), "cache": d.pick("float", "int8"),
                  "dtype": d.pick(torch.float16, torch.bfloat16), "head_dim": d.pick(32, 64, 96, 128, 160, 256, 512)}
        case = fused_infer_case(Draw(1000 * seed + attempt, fixed.get("long", False)),
                               **wanted | without(fixed, "long"))
        if can_be_nz(case):
            return in_nz(case, d)
    raise AssertionError(f"no call can have an NZ cache: {fixed}")


def without(fixed, name):
    return {key: value for key, value in fixed.items() if key != name}


def quantise_rows(query):
    """int8 rows and the scale of each."""
    scale = (query.float().abs().amax(-1) / 127).clamp(min=1e-6)
    return (query.float() / scale[..., None]).round().to(torch.int8), scale


def quantised_query(case: Case, d: Draw, key_scale=4 / 127, value_scale=3.5 / 127) -> Case:
    """A call of fused_infer with float tensors as one of the second version with an int8 query, key and value."""
    # Soft caps do not go with int8 products.
    case = dataclasses.replace(case, kwargs={n: v for n, v in case.kwargs.items() if n != "softcap"})
    kw, dense = dict(case.kwargs), {}
    heads, dtype = kw["num_heads"], kw["query"].dtype
    part = kw["input_layout"].split("_")[0]
    rows = kw["query"].unflatten(-1, (heads, -1)) if part == "BSH" else kw["query"]
    query, scale = quantise_rows(rows)
    kw["query"], dense["query"] = (t.flatten(2) if part == "BSH" else t for t in
                                   (query, query.double() * scale[..., None].double()))
    kw["dequant_scale_query"] = d.strided(scale)
    factors = {"key": key_scale, "value": value_scale}
    for name, factor in factors.items():
        stored = (kw[name].float().nan_to_num() / factor).round().clamp(-127, 127).to(torch.int8)
        factors[name] = torch.tensor([factor])
        kw[name], dense[name] = stored, stored.double() * factors[name].double()
        kw[f"{name}_antiquant_scale"] = factors[name]
    if kw.get("query_rope") is not None:  # divided by the scales, as the products are multiplied by them
        width = scale[..., None]
        rope = kw["query_rope"].unflatten(-1, (heads, -1)) if part == "BSH" else kw["query_rope"]
        rope = (rope.float() / width / factors["key"]).to(dtype)
        kw["query_rope"], dense["query_rope"] = (t.flatten(2) if part == "BSH" else t for t in
                                                 (rope, rope.double() * width.double()))
        dense["key_rope"] = kw["key_rope"].double() * factors["key"].double()
    like = inference_case("fused_infer", case.kwargs, notes=case.notes)
    expected = lambda: dataclasses.replace(  # noqa: E731
        reference.fused_infer(**case.kwargs | dense), dtype=dtype)
    v2 = as_v2(dataclasses.replace(case, kwargs=kw))
    return dataclasses.replace(v2, kwargs={**v2.kwargs, "query_quant_mode": 3}, expected=expected, compare=like.compare)


def quantised_case(seed, nz=None, **fixed):
    """A random legal call with a quantised query, in ND or NZ."""
    d = Draw(seed)
    nz = d.chance(0.5) if nz is None else nz
    for attempt in range(1000):
        kind = fixed.get("kind") or d.pick("plain", "paged", "rope", "rope")
        dtype = d.pick(torch.float16, torch.bfloat16) if kind == "rope" else torch.float16
        wanted = {"kind": kind, "dtype": dtype, "cache": "float", "out_int8": False}
        if nz:
            wanted |= {"kind": d.pick("paged", "rope") if kind == "plain" else kind,
                       "head_dim": d.pick(32, 64, 128, 512)}
            wanted["dtype"] = dtype if wanted["kind"] == "rope" else torch.float16
        case = fused_infer_case(Draw(1000 * seed + attempt, fixed.get("long", False)),
                               **wanted | without(fixed, "long"))
        if not nz:
            return quantised_query(case, d)
        if can_be_nz(case, quantised=True):
            return in_nz(quantised_query(case, d), d)
    raise AssertionError(f"no such call: {fixed}")


def exact_case(lengths, block_size=128, head_dim=128, rope=0, cache=torch.float16, rows=1, heads=4, kv_heads=2,
               layout="BSND", seed=1):
    """A call with an NZ cache of these sizes, NaN (or 99) where no token is stored."""
    d = Draw(seed)
    quantised = cache.itemsize == 1
    dtype = torch.bfloat16 if quantised else cache
    batch, per_sequence = len(lengths), max(-(-max(lengths) // block_size), 1)
    order = torch.randperm(batch * per_sequence + 1, generator=d.generator)[:batch * per_sequence]
    table = order.view(batch, per_sequence).to(torch.int32)
    kw = dict(num_heads=heads, num_key_value_heads=kv_heads, input_layout=layout, scale=head_dim ** -0.5,
              block_table=table, block_size=block_size, actual_seq_lengths_kv=list(lengths), softmax_lse_flag=True)
    packed = layout.startswith("TND")
    for name, width in (("query", head_dim), ("query_rope", rope)):
        if width:
            dense = d.normal((batch, rows, heads, width), dtype)
            kw[name] = dense.flatten(0, 1) if packed else dense
    if packed:
        kw["actual_seq_lengths"] = [rows * (b + 1) for b in range(batch)]
    for name, width in zip(CACHES, (head_dim, head_dim, rope), strict=True):
        if not width:
            continue
        kind = dtype if name == "key_rope" else cache
        size = (len(order) + 1, block_size, kv_heads, width)
        pool = d.integers(size, -99, 99) if kind == torch.int8 else d.normal(size, torch.float32)
        used = torch.zeros(size[:2], dtype=torch.bool)
        for b, length in enumerate(lengths):
            tokens = torch.arange(length)
            used[table[b].long()[tokens // block_size], tokens % block_size] = True
        pool[~used] = 99 if kind == torch.int8 else torch.nan
        kw[name] = pool.to(kind)
    if quantised:
        low, high = (0.01, 0.02) if cache == torch.int8 else (0.5, 1.0)
        kw |= {f"{n}_antiquant_scale": d.uniform((kv_heads, head_dim), low, high, dtype) for n in ("key", "value")}
    return in_nz(inference_case("fused_infer", kw, antiquant=quantised), Draw(0))


def int8_products_case():
    """The first version's int8 query, key and value over a cache in NZ."""
    d = Draw(7)
    query, key, value = (d.integers(s, -30, 30) for s in ((2, 3, 4, 64), (6, 16, 2, 64), (6, 16, 2, 64)))
    kw = dict(query=query, key=key, value=value, num_heads=4, num_key_value_heads=2, input_layout="BSND",
              dequant_scale1=torch.tensor([0.01 / 8]), quant_scale1=torch.tensor([127.0]),
              dequant_scale2=torch.tensor([0.002]), block_size=16, actual_seq_lengths_kv=[40, 7],
              block_table=torch.tensor([[4, 1, 0], [5, -1, -1]], dtype=torch.int32))
    return in_nz(inference_case("fused_infer", kw), d)


def quantised_rows_case():
    """More rows with a scale each than fit beside so many keys at once."""
    d = Draw(9)
    query, key, value = (d.normal(s, torch.float16) for s in ((1, 100, 2, 64), (1, 700, 1, 64), (1, 700, 1, 64)))
    return quantised_query(inference_case("fused_infer", dict(
        query=query, key=key, value=value, num_heads=2, num_key_value_heads=1, input_layout="BSND", scale=0.125)), d)
