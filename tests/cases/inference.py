"""Legal calls of prompt, incre and fused_infer."""

import torch

import reference

from . import compare
from .draw import FLOATS
from .fusion import SOFTCAPS, band_tokens, compressed_mask, cumulative, full_mask, packed_lengths, padded, place
from .model import Case
from .quantised import antiquantise, dequant_scale, int8_inputs, output_scales, quantise_cache
from .versions import WIDE

MASK_DTYPES = (torch.bool, torch.uint8, torch.int8)
MASK_KINDS = ("SS", "BSS", "1SS", "B1SS", "11SS", "BNSS")
FUSED_LAYOUTS = ("BSH", "BSND", "BNSD", "BNSD_BSND", "BSH_NBSD", "BSND_NBSD", "BNSD_NBSD", "TND", "NTD", "TND_NTD",
                 "NTD_TND")


def lengths_list(d, batch, limit):
    """Per-batch lengths: one for all, one each, or more than needed."""
    kind = d.pick("one", "each", "each", "longer")
    count = {"one": 1, "each": batch, "longer": batch + 2}[kind]
    return [d.pick(limit, limit, d.integer(0, limit), d.integer(min(1, limit), limit)) for _ in range(count)]


def inference_pse(d, dtype, batch, heads, sq, skv, packed=False):
    """pse_shift of every documented shape; int8 queries take float16."""
    lead = d.pick((batch, heads), (1, heads))
    rows = 1 if lead[0] == batch and not packed and d.chance(0.2) else padded(d, sq)
    dtype = torch.float16 if dtype == torch.int8 else dtype
    return d.strided(d.normal((*lead, rows, padded(d, skv)), dtype))


def sparsity(d, batch, heads, sq, skv, mode=None, kinds=MASK_KINDS):
    """sparse_mode 0-4 with a mask that fits."""
    mode = d.pick(0, 0, 1, 2, 3, 4) if mode is None else mode
    kw = {"sparse_mode": mode}
    if (mode == 1 and d.chance(0.8)) or (mode == 0 and d.chance(0.5)):
        kw["atten_mask"] = full_mask(d, kinds, batch, heads, sq, skv, MASK_DTYPES)
    elif mode in (2, 3, 4) and d.chance(0.4):
        mask = compressed_mask(dtype=d.pick(*MASK_DTYPES))
        kw["atten_mask"] = mask.view(*d.pick((), (1,), (1, 1)), 2048, 2048)
    if mode in (0, 4) or d.chance(0.2):
        kw["pre_tokens"], kw["next_tokens"] = band_tokens(d, sq, skv)
    return kw


def decode_mask(d, batch, skv):
    """(B, Skv) or a shape that broadcasts to (B, 1, 1, Skv)."""
    shape = d.pick((batch,), (1,), (batch, 1), (batch, 1, 1), (1, 1, 1))
    return d.strided(d.mask((*shape, padded(d, skv)), d.pick(*MASK_DTYPES)))


FUNCTIONS = {"prompt": ("npu_prompt_flash_attention", reference.prompt),
             "incre": ("npu_incre_flash_attention", reference.incre),
             "fused_infer": ("npu_fused_infer_attention_score", reference.fused_infer)}


def _finish(operator, kw, d, antiquant=False, **notes):
    for name in ("query", "key", "value"):
        kw[name] = d.strided(kw[name])
    return inference_case(operator, kw, antiquant, {"seed": d.seed, **notes})


def inference_case(kind, kw, antiquant=False, notes=None):
    """A Case from explicit arguments; a quantised cache (`antiquant`) may be rounded to the query type first."""
    compute = torch.float16 if kw["query"].dtype == torch.int8 else kw["query"].dtype
    terms = 4.0 if antiquant else 1.0
    op, function = FUNCTIONS[kind]

    def check(result, expected):
        out, lse = result if isinstance(result, (tuple, list)) else (result, None)
        assert out.dtype == expected.dtype, f"out: dtype {out.dtype}, expected {expected.dtype}"
        if expected.dtype == torch.int8:
            rounding = compare.tolerance(torch.zeros_like(expected.out), compute, expected.magnitude, terms)
            compare.check_int8("out", out, expected.out, expected.slack, rounding, compute)
        else:
            allowed = compare.tolerance(expected.out, compute, expected.magnitude, terms) + expected.slack
            compare.check("out", out, expected.out, allowed)
        if lse is not None:
            _check_lse(lse, expected, kw, compute, antiquant)

    return Case(op, kw, lambda: function(**kw), check, notes or {})


def _check_lse(lse, expected, kw, compute, antiquant):
    if not kw.get("softmax_lse_flag"):
        assert tuple(lse.shape) == (0,), f"softmax_lse: shape {tuple(lse.shape)} with the flag off"
    elif not antiquant:
        compare.check_statistics("softmax_lse", lse, expected.lse)
    else:
        compare.check("softmax_lse", lse, expected.lse, compare.tolerance(expected.lse, compute) + 1e-2)


def prompt_case(d, **fixed):
    """`fixed`: layout, dtype, sparse_mode, head_dim, int8, out_int8, pse."""
    layout = fixed.get("layout") or d.pick("BSH", "BSND", "BNSD", "BNSD_BSND")
    dtype = fixed.get("dtype") or d.pick(*FLOATS)
    if fixed.get("int8", d.chance(0.1)):
        dtype = torch.int8
    batch, heads, kv_heads, sq, skv, dim = d.dims(head_dim=fixed.get("head_dim"))
    value_dim = d.integer(1, dim) if d.chance(0.15) else dim
    shapes = ((batch, heads, sq, dim), (batch, kv_heads, skv, dim), (batch, kv_heads, skv, value_dim))
    kw = _inputs(d, layout, dtype, shapes)
    kw |= dict(num_heads=heads, input_layout=layout, scale_value=_scale(d, dim, dtype))
    if kv_heads != heads or d.chance(0.5):
        kw["num_key_value_heads"] = kv_heads
    kw |= sparsity(d, batch, heads, sq, skv, fixed.get("sparse_mode"))
    if fixed.get("pse", d.chance(0.25)):
        kw["pse_shift"] = inference_pse(d, dtype, batch, heads, sq, skv)
    if d.chance(0.4):
        kw["actual_seq_lengths"] = lengths_list(d, batch, sq)
    if d.chance(0.4):
        kw["actual_seq_lengths_kv"] = lengths_list(d, batch, skv)
    _quantisation(d, kw, dtype, heads, dim, value_dim, fixed, prefix="deq")
    return _finish("prompt", kw, d)


def _scale(d, dim, dtype):
    return 1.0 if dtype == torch.int8 else d.pick(dim ** -0.5, dim ** -0.5, 0.3, 1.0 / dim)


def _inputs(d, layout, dtype, shapes):
    """query, key, value of (B, N, S, D) shapes placed in a layout."""
    part = layout.split("_")[0]
    tensors = int8_inputs(d, shapes) if dtype == torch.int8 else [d.normal(s, dtype) for s in shapes]
    return {n: place(t, part) for n, t in zip(("query", "key", "value"), tensors)}


def _quantisation(d, kw, dtype, heads, dim, value_dim, fixed, prefix="dequant"):
    """Scales of the all-int8 path and of an int8 output."""
    if dtype == torch.int8:
        kind = d.pick(torch.float32, torch.float32, *WIDE)
        for number, value in ((1, 0.01 / dim ** 0.5), (2, 0.002)):
            kw[f"{prefix}_scale{number}"] = dequant_scale(value, kind)
        kw["quant_scale1"] = torch.tensor([d.pick(127.0, 100.0)])
    if fixed.get("out_int8", d.chance(0.15)):
        kw |= output_scales(d, dtype, heads, value_dim)


def incre_case(d, **fixed):
    """`fixed`: layout, dtype, paged, padding, antiquant, out_int8, head_dim, kv_heads."""
    on = lambda name, p: fixed.get(name, d.chance(p))  # noqa: E731
    layout = fixed.get("layout") or d.pick("BSH", "BSND", "BNSD")
    dtype = fixed.get("dtype") or d.pick(*FLOATS)
    antiquant, paged = on("antiquant", 0.3), on("paged", 0.35)
    shape = _decode_shape(d, fixed)
    batch, heads, kv_heads, skv, dim = shape
    kw = dict(num_heads=heads, input_layout=layout, scale_value=_scale(d, dim, dtype), inner_precise=d.pick(0, 1))
    if kv_heads != heads or d.chance(0.5):
        kw["num_key_value_heads"] = kv_heads
    kw["query"] = place(d.normal((batch, heads, 1, dim), dtype), layout)
    value_dim = d.integer(1, dim) if not antiquant and d.chance(0.15) else dim
    key, value = d.normal((batch, kv_heads, skv, dim), dtype), d.normal((batch, kv_heads, skv, value_dim), dtype)
    if antiquant:
        key, value = quantise_cache(d, "int8", key), quantise_cache(d, "int8", value)
        kw |= antiquantise(d, "combined", 0, dtype, batch, kv_heads, skv, dim, dim)
        if dtype == torch.float32:  # (2, Nkv, D) could be scales per token
            kw |= {n: t.unflatten(1, (kv_heads, 1)) for n, t in kw.items()
                   if n.startswith("antiquant") and t.dim() == 3}
    if paged:
        used = [d.pick(skv, d.integer(0, skv)) for _ in range(batch)]
        columns = _page(d, kw, layout, key, value, used)
        kw["actual_seq_lengths"] = used
    else:
        columns = skv
        kw["key"], kw["value"] = place(key, layout), place(value, layout)
        if d.chance(0.6):
            kw["actual_seq_lengths"] = lengths_list(d, batch, skv)
            if on("padding", 0.3):
                kw["kv_padding_size"] = _padding(d, skv, kw["actual_seq_lengths"])
    if d.chance(0.4):
        kw["atten_mask"] = decode_mask(d, batch, columns)
    if d.chance(0.25):
        kw["pse_shift"] = inference_pse(d, dtype, batch, heads, 1, columns)
    if on("out_int8", 0.15):
        kw |= output_scales(d, dtype, heads, value_dim)
    return _finish("incre", kw, d, antiquant)


def _decode_shape(d, fixed):
    batch, heads, kv_heads, _, skv, dim = d.dims(head_dim=fixed.get("head_dim"), kv_heads=fixed.get("kv_heads"))
    return batch, heads, kv_heads, d.pick(skv, d.size(1300 if d.long else 200)), dim


def _padding(d, size, lengths):
    """Left padding; now and then so large that a sequence falls off, or negative (means none)."""
    room = size - max(lengths)
    return torch.tensor([d.pick(0, room, d.integer(0, room), room + 1, size + 3, -4)])


def _page(d, kw, layout, key, value, used, rope=None, fill=None):
    """Scatter dense caches (B, Nkv, S, D) into pages; returns the number of columns masks must cover."""
    batch, kv_heads = key.shape[:2]
    block_size = d.pick(1, 3, 16, 16, 32, 128)
    per_sequence = max(-(-max(used, default=0) // block_size), 1) + d.pick(0, 0, 2)
    blocks = batch * per_sequence + d.integer(0, 3)
    order = torch.randperm(blocks, generator=d.generator)[:batch * per_sequence].view(batch, per_sequence)
    table = order.to(torch.int32).contiguous()
    four = layout.split("_")[0] != "BSH" and d.chance(0.6)
    heads_first = {"BNSD": True, "BSND": False, "BSH": False}.get(layout.split("_")[0])
    if heads_first is None:
        heads_first = d.chance(0.5) and kv_heads != block_size
    for name, dense in (("key", key), ("value", value), ("key_rope", rope)):
        if dense is None:
            continue
        pool = torch.zeros(blocks, block_size, kv_heads, dense.shape[-1], dtype=dense.dtype)
        pool.view(torch.uint8).random_(0, 100, generator=d.generator)
        for b, length in enumerate(used):
            for t in range(length):
                pool[table[b, t // block_size], t % block_size] = dense[b, :, t]
        if not four:
            pool = pool.flatten(2)
        elif heads_first:
            pool = pool.transpose(1, 2).contiguous()
        kw[name] = pool
    for b, length in enumerate(used):
        table[b, -(-length // block_size):] = d.pick(-1, 2 ** 31 - 1, 0)
    kw |= dict(block_table=d.strided(table), block_size=block_size)
    return per_sequence * block_size


def fused_infer_case(d, **fixed):
    """`fixed`: layout, dtype, sq, kind (plain, paged, padding, prefix, rope, int8), cache, mode, lse, head_dim,
    kv_heads and softcap."""
    layout = fixed.get("layout") or d.pick(*FUSED_LAYOUTS)
    packed = "T" in layout.split("_")[0]
    kinds = ("plain", "plain", "paged", "rope") if packed else ("plain", "plain", "paged", "padding", "prefix", "rope",
                                                                "int8")
    kind = fixed.get("kind") or d.pick(*kinds)
    cache = fixed.get("cache") or d.pick("float", "float", "float", "int8", "int4", "fp8")
    if kind in ("rope", "int8"):
        cache = "float"
    dtype = torch.int8 if kind == "int8" else fixed.get("dtype") or d.pick(*FLOATS)
    build = _Fused(d, layout, dtype, kind, cache, fixed)
    return build.packed() if packed else build.dense()


class _Fused:
    """One fused_infer call under construction."""

    def __init__(self, d, layout, dtype, kind, cache, fixed):
        self.d, self.layout, self.dtype, self.kind, self.cache, self.fixed = d, layout, dtype, kind, cache, fixed
        multiple = 8 if cache == "int4" else 1
        self.batch, self.heads, self.kv_heads, self.sq, self.skv, self.dim = d.dims(
            head_dim=fixed.get("head_dim"), multiple=multiple, kv_heads=fixed.get("kv_heads"))
        if fixed.get("sq") or d.chance(0.3):
            self.sq = fixed.get("sq") or 1
        self.value_dim = d.integer(1, self.dim) if cache == "float" and d.chance(0.15) else self.dim
        self.kw = dict(num_heads=self.heads, input_layout=layout, scale=_scale(d, self.dim, dtype),
                       softmax_lse_flag=fixed.get("lse", d.chance(0.5)), inner_precise=d.pick(0, 1, 2, 3))
        if self.kv_heads != self.heads or d.chance(0.5):
            self.kw["num_key_value_heads"] = self.kv_heads

    def _cache_mode(self):
        """Which scale tensors, (style, key mode, value mode)."""
        d, paged = self.d, self.kind == "paged"
        packed = "T" in self.layout.split("_")[0]
        if self.fixed.get("mode") is not None:
            return self.fixed["mode"]
        combined = [("combined", 0, 0)] + ([("combined", 1, 1)] if not packed and self.kind != "prefix" else [])
        split = [("split", 0, 0), ("split", 2, 2)]
        if self.kind != "prefix" and (not packed or paged):
            split += [("split", m, m) for m in (1, 3)] + [("split", 0, 1)]
            if paged:
                split += [("split", 4, 4), ("split", 5, 5)]
        return d.pick(*combined, *split) if self.cache == "int8" else d.pick(*split)

    def _key_value(self, batch, size):
        """Dense (B, Nkv, S, D) key and value, quantised when asked for."""
        shapes = [(batch, self.kv_heads, size, n) for n in (self.dim, self.value_dim)]
        if self.dtype == torch.int8:
            return int8_inputs(self.d, shapes)
        pair = [self.d.normal(s, self.dtype) for s in shapes]
        return [quantise_cache(self.d, self.cache, t) for t in pair] if self.cache != "float" else pair

    def _scales(self, batch, columns):
        if self.cache == "float":
            return
        style, key_mode, value_mode = self._cache_mode()
        table = self.kw.get("block_table")
        pages = (self.kw["key"].shape[0], self.kw["block_size"]) if table is not None else None
        self.kw |= antiquantise(self.d, style, (key_mode, value_mode), self.dtype, batch, self.kv_heads, columns,
                                self.dim, self.value_dim, pages, self.cache)

    def _case(self):
        kw = {k: v for k, v in self.kw.items() if v is not None}
        if self.kind != "rope":
            _quantisation(self.d, kw, self.dtype, self.heads, self.dim, self.value_dim, self.fixed)
        own = self.d.aside("softcap")
        if self.dtype != torch.int8 and self.fixed.get("softcap", own.chance(0.2)):
            kw["softcap"] = own.pick(*SOFTCAPS)
        return _finish("fused_infer", kw, self.d, self.cache != "float", kind=self.kind, cache=self.cache)

    def dense(self):
        d, kw, part = self.d, self.kw, self.layout.split("_")[0]
        batch, heads, sq, skv = self.batch, self.heads, self.sq, self.skv
        shape = (batch, heads, sq, self.dim)
        query = int8_inputs(d, [shape])[0] if self.dtype == torch.int8 else d.normal(shape, self.dtype)
        kw["query"] = place(query, part)
        key, value = self._key_value(batch, skv)
        rope = None
        if self.kind == "rope":
            width = d.pick(64, 16, 5)
            kw["query_rope"] = place(d.normal((batch, heads, sq, width), self.dtype, 0.3), part)
            rope = d.normal((batch, self.kv_heads, skv, width), self.dtype, 0.3)
        if d.chance(0.4):
            kw["actual_seq_lengths"] = lengths_list(d, batch, sq if sq > 1 else 3)  # one row: zero or not
        columns = skv
        if self.kind == "paged" or (self.kind == "rope" and d.chance(0.4)):
            used = [d.pick(skv, d.integer(0, skv)) for _ in range(batch)]
            columns = _page(d, kw, self.layout, key, value, used, rope)
            kw["actual_seq_lengths_kv"] = used
        else:
            kw |= dict(key=place(key, part), value=place(value, part))
            if rope is not None:
                kw["key_rope"] = place(rope, part)
            if self.kind == "padding" or d.chance(0.4):
                kw["actual_seq_lengths_kv"] = lengths_list(d, batch, skv)
        if self.kind == "padding":
            self._left_padding()
        if self.kind == "prefix":
            columns += self._prefix()
        self._scales(batch, columns if self.kind != "prefix" else skv)
        self._bias_and_mask(columns)
        return self._case()

    def _left_padding(self):
        d, kw = self.d, self.kw
        if d.chance(0.8):
            kw["kv_padding_size"] = _padding(d, self.skv, kw["actual_seq_lengths_kv"])
        if self.sq > 1:
            kw.setdefault("actual_seq_lengths", lengths_list(d, self.batch, self.sq))
            kw["query_padding_size"] = _padding(d, self.sq, kw["actual_seq_lengths"])

    def _prefix(self):
        """Shared prefix of batch 1; returns how many columns it adds."""
        d, size = self.d, self.d.pick(1, 16, 33)
        key, value = self._key_value(1, size)
        part = self.layout.split("_")[0]
        self.kw |= dict(key_shared_prefix=place(key, part), value_shared_prefix=place(value, part))
        if d.chance(0.5):
            size = d.integer(0, size)
            self.kw["actual_shared_prefix_len"] = [size]
        return size

    def _bias_and_mask(self, columns):
        d, kw = self.d, self.kw
        if self.sq == 1:
            if d.chance(0.4):
                kw["atten_mask"] = decode_mask(d, self.batch, columns)
            if d.chance(0.4):
                kw["sparse_mode"] = d.pick(0, 1, 2, 3, 4, 4)
                kw["pre_tokens"], kw["next_tokens"] = band_tokens(d, 1, columns)
                if kw["sparse_mode"] > 1 and "atten_mask" not in kw and d.chance(0.5):
                    kw["atten_mask"] = compressed_mask()
        else:
            kw |= sparsity(d, self.batch, self.heads, self.sq, columns, self.fixed.get("sparse_mode"))
        if self.kind != "rope" and d.chance(0.25):
            kw["pse_shift"] = inference_pse(d, self.dtype, self.batch, self.heads, self.sq, columns)

    def packed(self):
        d, kw = self.d, self.kw
        batch = d.integer(1, 4)
        limit = 64 if self.dim * self.heads <= 128 else 17
        limit = 700 if d.long else limit
        q_sizes = [1] * batch if self.fixed.get("sq") == 1 else packed_lengths(d, batch, limit)
        k_sizes = packed_lengths(d, batch, limit)
        q_total = max(sum(q_sizes) + (d.integer(1, 4) if d.chance(0.15) else 0), 1)
        k_total = max(sum(k_sizes) + (d.integer(1, 4) if d.chance(0.15) else 0), 1)
        ntd = self.layout.startswith("NTD")
        place_packed = lambda t: t.transpose(0, 1).contiguous() if ntd else t  # noqa: E731
        paged = self.kind == "paged" or (self.kind == "rope" and d.chance(0.4))
        judged = ((cumulative(q_sizes), q_total), (cumulative(k_sizes), k_total))[: 1 if paged else 2]
        q_total += reference.lengths.reading(*judged) == "both"
        kw["query"] = place_packed(d.normal((q_total, self.heads, self.dim), self.dtype))
        kw["actual_seq_lengths"] = cumulative(q_sizes)
        width = d.pick(64, 16) if self.kind == "rope" else 0
        if width:
            kw["query_rope"] = place_packed(d.normal((q_total, self.heads, width), self.dtype, 0.3))
        columns = max(k_sizes)
        if paged:
            size = max(columns, 1)
            key, value = self._key_value(batch, size)
            rope = d.normal((batch, self.kv_heads, size, width), self.dtype, 0.3) if width else None
            columns = _page(d, kw, self.layout, key, value, k_sizes, rope)
            kw["actual_seq_lengths_kv"] = k_sizes
        else:
            key, value = (t[0].transpose(0, 1) for t in self._key_value(1, k_total))
            kw |= dict(key=place_packed(key.contiguous()), value=place_packed(value.contiguous()),
                       actual_seq_lengths_kv=cumulative(k_sizes))
            if width:
                kw["key_rope"] = place_packed(d.normal((k_total, self.kv_heads, width), self.dtype, 0.3))
        self._scales(batch, columns)
        sq, skv = max(*q_sizes, 1, 1), max(columns, 1)
        kw |= sparsity(d, batch, self.heads, sq, skv, self.fixed.get("sparse_mode"), ("SS",))
        if not width and d.chance(0.25):
            kw["pse_shift"] = inference_pse(d, self.dtype, batch, self.heads, sq, skv, packed=True)
        return self._case()
