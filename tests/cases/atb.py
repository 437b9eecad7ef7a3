"""Legal calls of atb's attention operators."""

import torch

import reference

from . import compare
from .draw import FLOATS
from .model import Case, operator

PACKED = ("_npu_flash_attention", "_npu_flash_attention_v2", "_npu_flash_attention_v3", "_npu_flash_attention_unpad",
          "_npu_flash_attention_unpad_v2")
DECODE = ("_npu_paged_attention", "_npu_paged_attention_v2", "_npu_paged_attention_mla")
CHUNKS = ("_npu_paged_attention_splitfuse", "_npu_paged_attention_splitfuse_v2", "_npu_flash_attention_qlens",
          "_npu_flash_attention_prefix_v2")
OPERATORS = PACKED + DECODE + CHUNKS
# Their lengths are numbers.
WITH_OUT = ("_npu_paged_attention_v2", "_npu_flash_attention_v2", "_npu_flash_attention_prefix_v2")
MASK_TYPES = {"_npu_flash_attention_v2": (0, 1, 2, 3, 4, 5, 6), "_npu_flash_attention_v3": (3,),
              "_npu_flash_attention_prefix_v2": (3, 4, 5), "_npu_paged_attention_v2": (0, 2),
              "_npu_paged_attention_splitfuse_v2": (5,)}


class AtbCase(Case):
    """`call` returns what was written into a fresh `out`."""

    def call(self, **changes):
        kwargs = {**self.kwargs, **changes}
        kwargs["out"] = kwargs["out"].clone()
        result = operator(self.op)(**kwargs)
        assert result is None or result is kwargs["out"] or result.data_ptr() == kwargs["out"].data_ptr()
        return kwargs["out"]


def atb_case(d, op=None, mask_type=None, dtype=None):
    """A call of one operator; some sequences may be empty, and tokens stand behind the last one."""
    op = op or d.pick(*OPERATORS)
    kw = dict(num_kv_heads=d.pick(1, 1, 2, 3), scale_value=d.pick(0.125, 0.3))
    kv_heads = kw["num_kv_heads"]
    kw["num_heads"] = heads = kv_heads * d.pick(1, 1, 2, 4)
    if heads == kv_heads and d.chance(0.3):
        kw["num_kv_heads"] = 0
    dtype = dtype or d.pick(*FLOATS)
    dim = d.pick(576, 80) if op == "_npu_paged_attention_mla" else d.head_dim(128)
    value_dim = d.pick(dim, d.integer(1, dim))
    batch, largest = d.integer(1, 4), 300 if d.long else 70
    q_lens = [1] * batch if op in DECODE else [d.pick(0, 1, d.integer(1, largest)) for _ in range(batch)]
    tokens = sum(q_lens) + (0 if op in DECODE else d.pick(0, 0, 3))
    tokens = max(tokens, 1)
    kv_lens = q_lens if op in PACKED else [n + d.pick(0, d.integer(0, 2 * largest)) for n in q_lens]
    if op in DECODE and d.chance(0.2):
        kv_lens[0] = 0

    def folded(t):
        return t.reshape(*t.shape[:-2], -1) if d.chance(0.2) else t

    kw["query"] = d.strided(folded(d.normal((tokens, heads, dim), dtype)))
    if op in PACKED:
        kw["key"] = d.strided(folded(d.normal((tokens, kv_heads, dim), dtype)))
        kw["value"] = d.strided(folded(d.normal((tokens, kv_heads, value_dim), dtype)))
    else:
        value_dim = _add_caches(d, kw, op, kv_lens, kv_heads, dim, value_dim, dtype, folded)
    _add_lengths(d, kw, op, q_lens, kv_lens)
    _add_mask(d, kw, op, mask_type, q_lens, kv_lens, tokens, heads, dtype)
    kw["out"] = folded(torch.full((tokens, heads, value_dim), torch.nan, dtype=dtype))

    def check(result, expected):
        out = result.reshape(expected.out.shape)
        compare.check("out", out, expected.out, compare.tolerance(expected.out, dtype, expected.magnitude))

    name = f"{op}.out" if op in WITH_OUT else op
    return AtbCase(name, kw, lambda: reference.atb(op, **kw), check, {"seed": d.seed})


def _add_caches(d, kw, op, kv_lens, kv_heads, dim, value_dim, dtype, folded):
    block = d.pick(1, 7, 16, 128)
    columns = max(1, -(-max(kv_lens) // block)) + d.pick(0, 1)
    blocks = len(kv_lens) * columns + 1
    kw["block_table"] = torch.randperm(blocks, generator=d.generator)[:blocks - 1].view(len(kv_lens), -1).int()
    width = columns + d.pick(0, 2)
    kw["block_table"] = torch.nn.functional.pad(kw["block_table"], (0, width - columns), value=-1)

    def cache(channels):
        return d.normal((blocks, block, kv_heads, channels), dtype)

    if op == "_npu_paged_attention_mla":
        kw["key_cache"] = folded(cache(dim))
        kw["mla_vheadsize"] = value_dim = min(512, value_dim)
        return value_dim
    key, value = cache(dim), cache(value_dim)
    if d.chance(0.2):
        key, value = key.flatten(2), value.flatten(2)
    kw["key_cache"], kw["value_cache"] = d.strided(key), d.strided(value)
    return value_dim


def _add_lengths(d, kw, op, q_lens, kv_lens):
    def given(lengths):
        return lengths if op in WITH_OUT else torch.tensor(lengths, dtype=d.pick(torch.int32, torch.int64))

    if op not in DECODE:
        kw["seq_len"] = given(q_lens)
    if op not in PACKED:
        kw["context_lens"] = given(kv_lens)


def compressed_alibi(d, mask_type, heads, dtype):
    """A bias of 256 rows and keys, of which the later ones are masked, and the slopes that it is multiplied with."""
    index = torch.arange(256)
    bias = (index[:, None] - index).clamp(min=0).double()  # from the last token
    if mask_type == 5:
        bias = bias.sqrt()
    if mask_type == 6:  # from the first one
        bias = -index.double().expand(256, 256)
    sign = d.pick(1, -1)
    mask = (sign * bias).masked_fill(index > index[:, None], 60_000.0 * sign)
    return mask.to(dtype), -sign * d.uniform((heads,), 0.01, 1.0).to(d.pick(torch.float32, torch.float32, dtype))


def _add_mask(d, kw, op, mask_type, q_lens, kv_lens, tokens, heads, dtype):
    if op in MASK_TYPES:
        kw["mask_type"] = d.pick(*MASK_TYPES[op]) if mask_type is None else mask_type
    use = reference.MASKS.get((op, kw.get("mask_type")))
    if use == "causal":
        side = d.pick(128, 16)
        kw["mask"] = d.normal((side, side), dtype)
    if use in ("alibi", "alibi root"):
        kw["mask"], kw["slopes"] = compressed_alibi(d, kw["mask_type"], heads, dtype)
    if use not in ("add", "add per token"):
        return
    rows, columns = max(1, *q_lens), max(1, *kv_lens) + d.pick(0, 5)
    batch = len(kv_lens)
    if use == "add per token":
        shape = (tokens, columns)
    elif op in DECODE:
        shape = d.pick((heads, 1, columns), (1, 1, columns), (batch, heads, 1, columns), (batch, 1, 1, columns))
    else:
        shape = d.pick((rows, columns), (batch, rows, columns), (1, heads, rows, columns),
                       (batch, heads, rows, columns))
    mask = d.normal(shape, dtype)
    mask[d.mask(shape)] = d.pick(-torch.inf, -10000.0)
    kw["mask"] = d.strided(mask)
