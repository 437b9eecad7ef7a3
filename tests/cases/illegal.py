"""A table of illegal calls: which legal call is changed how, and which argument the message must name."""

import torch

from . import illegal_cache, illegal_rows
from .draw import Draw
from .fusion import compressed_mask, forward_case, grad_case
from .illegal_call import bad, normal

F16, F32, I64 = torch.float16, torch.float32, torch.int64


def fusion(version, layout="BNSD", **extra):
    """B 2, N 4, Nkv 2, Sq 6, Skv 8, D 16; packed: lengths 2,4 and 3,5."""
    shapes = {"BNSD": ((2, 4, 6, 16), (2, 2, 8, 16)), "BSH": ((2, 6, 64), (2, 8, 32)), "TND": ((6, 4, 16), (8, 2, 16))}
    q, k = shapes[layout]
    kw = dict(query=normal(*q), key=normal(*k), value=normal(*k), head_num=4, input_layout=layout, scale=0.25, **extra)
    if layout == "TND":
        lengths = [2, 6], [3, 8]
        kw["actual_seq_qlen"], kw["actual_seq_kvlen"] = map(torch.tensor, lengths) if version == 3 else lengths
    return kw


def gradient(version, **extra):
    case = grad_case(fusion(version, **extra), version, Draw(2))
    return case.op, case.kwargs


def prompt(**extra):
    return dict(query=normal(2, 4, 6, 16), key=normal(2, 2, 8, 16), value=normal(2, 2, 8, 16), num_heads=4,
                num_key_value_heads=2, input_layout="BNSD", **extra)


def prompt_int8():
    q, k = Draw(1).integers((2, 4, 6, 16), -9, 9), Draw(1).integers((2, 2, 8, 16), -9, 9)
    return prompt() | dict(query=q, key=k, value=k.clone(), deq_scale1=torch.ones(1), quant_scale1=torch.ones(1),
                           deq_scale2=torch.ones(1))


def incre(**extra):
    return prompt(**extra) | dict(query=normal(2, 4, 1, 16))


def incre_int8():
    k = Draw(1).integers((2, 2, 8, 16), -9, 9)
    return incre() | dict(key=k, value=k.clone(), antiquant_scale=normal(2, 2, 1, 16).abs())


def paged(sq=1, lengths="actual_seq_lengths_kv"):
    pool = normal(6, 2, 4, 16)
    return prompt() | {"query": normal(2, 4, sq, 16), "key": pool, "value": pool.clone(), "block_size": 4,
                       "block_table": torch.tensor([[0, 1, 2], [3, 4, -1]], dtype=torch.int32), lengths: [9, 8]}


def packed(**extra):
    return dict(query=normal(6, 4, 16), key=normal(8, 2, 16), value=normal(8, 2, 16), num_heads=4,
                num_key_value_heads=2, input_layout="TND", actual_seq_lengths=[2, 6], actual_seq_lengths_kv=[3, 8],
                **extra)


def prefixed():
    return prompt() | dict(key_shared_prefix=normal(1, 2, 5, 16), value_shared_prefix=normal(1, 2, 5, 16))


def roped():
    return prompt() | dict(query_rope=normal(2, 4, 6, 8), key_rope=normal(2, 2, 8, 8))


def split_scales(sq=6):
    k = Draw(1).integers((2, 2, 8, 16), -9, 9)
    scale = torch.ones(2, 16, dtype=F16)
    return prompt() | dict(query=normal(2, 4, sq, 16), key=k, value=k.clone(), key_antiquant_scale=scale,
                           value_antiquant_scale=scale.clone())


def advance(**extra):
    ints = lambda *s: torch.arange(int(torch.tensor(s).prod())).view(s)  # noqa: E731
    return dict(input_tokens=ints(4), sampled_token_ids=ints(3, 1), input_positions=ints(4), seq_lens=ints(4),
                slot_mapping=ints(4), block_tables=ints(4, 3), num_seqs=4, num_queries=3, block_size=4, **extra)


def speculative():
    ints = lambda *s: torch.arange(int(torch.tensor(s).prod())).view(s)  # noqa: E731
    return dict(input_tokens=ints(6), sampled_token_ids=ints(3, 2), input_positions=ints(6), seq_lens=ints(6),
                slot_mapping=ints(6), block_tables=ints(3, 4), num_seqs=3, num_queries=3, block_size=4,
                spec_token=ints(3, 1), accepted_num=torch.zeros(3, dtype=I64))


def _forward(version, **extra):
    case = forward_case(fusion(version, **extra), version)
    return case.op, case.kwargs


FUSED, INCRE, PROMPT = "npu_fused_infer_attention_score", "npu_incre_flash_attention", "npu_prompt_flash_attention"
ADVANCE = "npu_advance_step_flashattn"
BASES = {
    **{f"v{v}": lambda v=v: _forward(v) for v in (1, 2, 3)},
    **{f"v{v} BSH": lambda v=v: _forward(v, layout="BSH") for v in (1, 2, 3)},
    **{f"v{v} TND": lambda v=v: _forward(v, layout="TND") for v in (1, 2, 3)},
    "v2 rope": lambda: _forward(2, query_rope=normal(2, 4, 6, 8), key_rope=normal(2, 2, 8, 8)),
    "v2 alibi": lambda: _forward(2, pse=torch.ones(4), pse_type=2),
    **{f"grad v{v}": lambda v=v: gradient(v) for v in (1, 2, 3)},
    "prompt": lambda: (PROMPT, prompt()),
    "prompt int8": lambda: (PROMPT, prompt_int8()),
    "incre": lambda: (INCRE, incre()),
    "incre int8": lambda: (INCRE, incre_int8()),
    "incre paged": lambda: (INCRE, paged(lengths="actual_seq_lengths")),
    "fused": lambda: (FUSED, prompt()),
    "fused one": lambda: (FUSED, incre()),
    "fused paged": lambda: (FUSED, paged(6)),
    "fused TND": lambda: (FUSED, packed()),
    "fused prefix": lambda: (FUSED, prefixed()),
    "fused rope": lambda: (FUSED, roped()),
    "fused split": lambda: (FUSED, split_scales()),
    "fused one split": lambda: (FUSED, split_scales(1)),
    "advance": lambda: (ADVANCE, advance()),
    "advance spec": lambda: (ADVANCE, speculative()),
    **illegal_cache.BASES,
    **illegal_rows.BASES,
}


def _fusion_common(v):
    """Illegal calls shared by v1, v2 and v3."""
    b, h, t = f"v{v}", f"v{v} BSH", f"v{v} TND"
    listed = (lambda x: torch.tensor(x)) if v == 3 else (lambda x: x)
    return [
        bad(b, "query", query=lambda kw: kw["query"].double()),
        bad(b, "query", query=lambda kw: kw["query"].to(torch.int8)),
        bad(b, ("key", "query"), key=lambda kw: kw["key"].float()),
        bad(b, "value", value=lambda kw: kw["value"].bfloat16()),
        bad(b, "input_layout", input_layout="XYZ"),
        bad(b, "input_layout", input_layout=""),
        bad(b, "input_layout", input_layout="BNSD_BSND"),
        bad(b, "query", query=normal(2, 6, 64)),
        bad(b, "key", key=normal(3, 2, 8, 16)),
        bad(b, ("key", "query"), key=normal(2, 2, 8, 24)),
        bad(b, "value", value=normal(2, 2, 9, 16)),
        bad(b, "value", value=normal(2, 1, 8, 16)),
        bad(b, "value", value=normal(2, 2, 8, 17)),
        bad(b, ("head_num", "query"), head_num=8),
        bad(b, "head_num", head_num=0),
        bad(b, "head_num", head_num=-4),
        bad(b, ("key", "head_num"), key=normal(2, 3, 8, 16), value=normal(2, 3, 8, 16)),
        bad(b, "query", query=normal(1, 4, 2, 769), key=normal(1, 2, 2, 769), value=normal(1, 2, 2, 769)),
        bad(h, "head_num", head_num=5),
        bad(h, "head_num", key=normal(2, 8, 24), value=normal(2, 8, 24)),
        bad(b, "sparse_mode", sparse_mode=9),
        bad(b, "sparse_mode", sparse_mode=-1),
        bad(b, "sparse_mode", sparse_mode=7),
        bad(b, "sparse_mode", sparse_mode=8),
        bad(t, "sparse_mode", sparse_mode=5, prefix=[1, 1]),
        bad(b, ("scale", "scale_value"), scale=float("nan")),
        bad(b, "atten_mask", atten_mask=torch.zeros(2, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8, dtype=torch.int32)),
        bad(b, "atten_mask", atten_mask=torch.zeros(2, 1, 5, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(5, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 7, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(3, 1, 6, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8, dtype=torch.int8)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8, dtype=torch.bool), sparse_mode=3),
        bad(b, "atten_mask", atten_mask=compressed_mask().float(), sparse_mode=2),
        bad(b, "atten_mask", atten_mask=compressed_mask(), sparse_mode=6, prefix=[1, 1]),
        bad(t, "atten_mask", atten_mask=torch.zeros(2, 6, 8, dtype=torch.bool)),
        bad(b, "prefix", sparse_mode=6),
        bad(b, "prefix", sparse_mode=5),
        bad(b, "prefix", sparse_mode=6, prefix=[1]),
        bad(b, "prefix", sparse_mode=6, prefix=[1, -1]),
        bad(b, "prefix", sparse_mode=6, prefix=[1, 9]),
        bad(b, "pse", pse=normal(2, 4, 6, 8, dtype=F32)),
        bad(b, "pse", pse=normal(2, 4, 6, 7)),
        bad(b, "pse", pse=normal(2, 4, 5, 8)),
        bad(b, "pse", pse=normal(2, 3, 6, 8)),
        bad(b, "pse", pse=normal(3, 4, 6, 8)),
        bad(b, "pse", pse=normal(4, 6, 8)),
        bad(b, "padding_mask", padding_mask=torch.zeros(2, 8)),
        bad(b, "sink", sink=torch.zeros(4, dtype=F16)),
        bad(b, "sink", sink=torch.zeros(5)),
        bad(b, "keep_prob", keep_prob=0.0),
        bad(b, "keep_prob", keep_prob=-0.5),
        bad(b, "keep_prob", keep_prob=1.5),
        bad(b, "keep_prob", keep_prob=float("nan")),
        bad(t, "softmax_layout", softmax_layout="ABC"),
        bad(t, "actual_seq_qlen", actual_seq_qlen=None),
        bad(t, "actual_seq_kvlen", actual_seq_kvlen=None),
        bad(t, "actual_seq_qlen", by_value=v == 3, actual_seq_qlen=listed([5, 4])),
        bad(t, "actual_seq_qlen", by_value=v == 3, actual_seq_qlen=listed([2, 7])),
        bad(t, "actual_seq_kvlen", by_value=v == 3, actual_seq_kvlen=listed([-1, 8])),
        bad(t, ("actual_seq_qlen", "actual_seq_kvlen"), actual_seq_qlen=listed([2, 4, 6])),
    ]


FUSION = [entry for v in (1, 2, 3) for entry in _fusion_common(v)] + [
    bad("v1", "dropout_mask", keep_prob=0.5, dropout_mask=torch.zeros(47, dtype=torch.uint8)),
    bad("v1", "dropout_mask", keep_prob=0.5, dropout_mask=torch.zeros(48)),
    bad("v2", "dropout_mask", keep_prob=0.5, dropout_mask=torch.zeros(48, dtype=torch.int8)),
    bad("v2 rope", ("key_rope", "query_rope"), key_rope=None),
    bad("v2 rope", ("key_rope", "query_rope"), query_rope=None),
    bad("v2 rope", "query_rope", query_rope=normal(2, 4, 5, 8)),
    bad("v2 rope", "key_rope", key_rope=normal(2, 4, 8, 8)),
    bad("v2 rope", ("key_rope", "query_rope"), key_rope=normal(2, 2, 8, 9)),
    bad("v2 rope", "query_rope", query_rope=normal(2, 4, 6, 8, dtype=F32)),
    bad("v2 alibi", "pse_type", pse_type=4),
    bad("v2 alibi", "pse_type", pse_type=-1),
    bad("v2 alibi", "pse", pse=torch.ones(5)),
    bad("v2 alibi", "pse", pse=torch.ones(4, dtype=F16)),
    bad("v2 alibi", "pse", pse=None),
    bad("v3 TND", "actual_seq_qlen", actual_seq_qlen=torch.tensor([2.0, 6.0])),
    bad("v3 TND", "actual_seq_kvlen", actual_seq_kvlen=torch.tensor([[3, 8]])),
]
FUSION += [bad("v1 TND", "actual_seq_qlen", actual_seq_qlen=[4, 2, 0], actual_seq_kvlen=[5, 3, 0])]
FUSION += [bad(f"v{v} TND", "actual_seq_qlen", actual_seq_qlen=[2, 4], actual_seq_kvlen=[3, 5]) for v in (1, 2)]
GRAD = [entry for v in (1, 2, 3) for entry in (
    bad(f"grad v{v}", "dy", dy=normal(2, 4, 5, 16)),
    bad(f"grad v{v}", "dy", dy=normal(2, 4, 6, 16, dtype=F32)),
    bad(f"grad v{v}", "softmax_max", softmax_max=torch.zeros(2, 4, 6)),
    bad(f"grad v{v}", "softmax_max", softmax_max=None),
    bad(f"grad v{v}", "softmax_sum", softmax_sum=torch.ones(2, 4, 7, 8)),
    bad(f"grad v{v}", "softmax_sum", softmax_sum=torch.ones(2, 4, 6, 8, dtype=F16)),
    bad(f"grad v{v}", "attention_in", attention_in=normal(2, 4, 6, 8)),
    bad(f"grad v{v}", "attention_in", attention_in=None),
    bad(f"grad v{v}", "sparse_mode", sparse_mode=11),
    bad(f"grad v{v}", "key", key=normal(2, 2, 9, 16)),
    bad(f"grad v{v}", "keep_prob", keep_prob=2.0),
)]


def _inference_common(b, name):
    """Illegal calls shared by prompt and fused_infer (int8 scales are spelled deq_/dequant_)."""
    return [
        bad(b, "query", query=lambda kw: kw["query"].double()),
        bad(b, ("key", "query"), key=lambda kw: kw["key"].float()),
        bad(b, "value", value=lambda kw: kw["value"].bfloat16()),
        bad(b, "input_layout", input_layout="SBH"),
        bad(b, "input_layout", input_layout="bnsd"),
        bad(b, ("query", "num_heads"), query=normal(2, 6, 4, 16)),
        bad(b, "query", query=normal(2, 6, 64)),
        bad(b, "key", key=normal(3, 2, 8, 16)),
        bad(b, ("key", "query"), key=normal(2, 2, 8, 8)),
        bad(b, "value", value=normal(2, 2, 7, 16)),
        bad(b, "value", value=normal(2, 2, 8, 24)),
        bad(b, ("num_heads", "query"), num_heads=8),
        bad(b, "num_heads", num_heads=0),
        bad(b, "num_key_value_heads", num_key_value_heads=3),
        bad(b, "num_key_value_heads", num_key_value_heads=-2),
        bad(b, ("num_key_value_heads", "key"), num_key_value_heads=4),
        bad(b, "query", query=normal(1, 4, 2, 513), key=normal(1, 2, 2, 513), value=normal(1, 2, 2, 513)),
        bad(b, "sparse_mode", sparse_mode=5),
        bad(b, "sparse_mode", sparse_mode=8),
        bad(b, "sparse_mode", sparse_mode=-1),
        bad(b, ("scale", "scale_value"), **{"scale" if name == "dequant" else "scale_value": float("nan")}),
        bad(b, "atten_mask", atten_mask=torch.zeros(2, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8, dtype=torch.int32)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 7, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(3, 6, 8, dtype=torch.bool)),
        bad(b, "atten_mask", atten_mask=torch.zeros(6, 8, dtype=F16)),
        bad(b, "atten_mask", atten_mask=torch.zeros(64, 64, dtype=torch.bool), sparse_mode=4),
        bad(b, "pse_shift", pse_shift=normal(2, 4, 6, 7)),
        bad(b, "pse_shift", pse_shift=normal(2, 2, 6, 8)),
        bad(b, "pse_shift", pse_shift=normal(2, 4, 6, 8, dtype=torch.bfloat16)),
        bad(b, "actual_seq_lengths", actual_seq_lengths=[7]),
        bad(b, "actual_seq_lengths", actual_seq_lengths=[6, -1]),
        bad(b, "actual_seq_lengths", actual_seq_lengths=[]),
        bad(b, "actual_seq_lengths_kv", actual_seq_lengths_kv=[9, 8]),
        bad(b, "actual_seq_lengths_kv", actual_seq_lengths_kv=[-2]),
        bad(b, f"{name}_scale1", **{f"{name}_scale1": torch.ones(1)}),
        bad(b, "quant_scale1", quant_scale1=torch.ones(1)),
        bad(b, f"{name}_scale2", **{f"{name}_scale2": torch.ones(1)}),
        bad(b, ("quant_offset2", "quant_scale2"), quant_offset2=torch.ones(1)),
        bad(b, "quant_scale2", quant_scale2=torch.ones(63)),
        bad(b, "quant_scale2", quant_scale2=torch.ones(1, dtype=F16)),
        bad(b, "quant_scale2", quant_scale2=torch.ones(1, dtype=torch.bfloat16)),
        bad(b, "quant_offset2", quant_scale2=torch.ones(64), quant_offset2=torch.ones(1)),
        bad(b, "quant_offset2", quant_scale2=torch.ones(1), quant_offset2=torch.ones(1, dtype=torch.bfloat16)),
    ]


PROMPT_CALLS = _inference_common("prompt", "deq") + [
    bad("prompt", "input_layout", input_layout="TND"),
    bad("prompt", "padding_mask", padding_mask=torch.zeros(2, 8)),
    bad("prompt int8", "deq_scale1", deq_scale1=None),
    bad("prompt int8", "quant_scale1", quant_scale1=None),
    bad("prompt int8", "deq_scale2", deq_scale2=None),
    bad("prompt int8", ("quant_offset2", "quant_scale2"), quant_offset2=torch.ones(1)),
    bad("prompt int8", "deq_scale1", deq_scale1=torch.ones(2)),
    bad("prompt int8", "deq_scale1", deq_scale1=torch.ones(1, dtype=F16)),
    bad("prompt int8", "quant_scale1", quant_scale1=torch.ones(1, dtype=I64)),
    bad("prompt int8", ("key", "query"), key=normal(2, 2, 8, 16)),
    bad("prompt int8", "pse_shift", pse_shift=normal(2, 4, 6, 8, dtype=torch.bfloat16)),
]
INCRE_CALLS = [
    bad("incre", "query", query=lambda kw: kw["query"].double()),
    bad("incre", "query", query=normal(2, 4, 2, 16)),
    bad("incre", "antiquant_scale", antiquant_scale=normal(2)),
    bad("incre", ("key", "query"), key=lambda kw: kw["key"].float()),
    bad("incre", "input_layout", input_layout="TND"),
    bad("incre", "input_layout", input_layout="SBH"),
    bad("incre", ("num_heads", "query"), num_heads=2),
    bad("incre", "scale_value", scale_value=float("nan")),
    bad("incre", "num_key_value_heads", num_key_value_heads=3),
    bad("incre", "key", key=normal(1, 2, 8, 16)),
    bad("incre", "padding_mask", padding_mask=torch.zeros(2, 8)),
    bad("incre", "atten_mask", atten_mask=torch.zeros(2, 7, dtype=torch.bool)),
    bad("incre", "atten_mask", atten_mask=torch.zeros(3, 8, dtype=torch.bool)),
    bad("incre", "atten_mask", atten_mask=torch.zeros(2, 8)),
    bad("incre", "pse_shift", pse_shift=normal(2, 4, 1, 7)),
    bad("incre", "pse_shift", pse_shift=normal(2, 4, 1, 8, dtype=F32)),
    bad("incre", "actual_seq_lengths", actual_seq_lengths=[9]),
    bad("incre", "actual_seq_lengths", actual_seq_lengths=[3, -3]),
    bad("incre", "kv_padding_size", actual_seq_lengths=[3], kv_padding_size=torch.tensor([1.0])),
    bad("incre", "kv_padding_size", actual_seq_lengths=[3], kv_padding_size=torch.tensor([1, 2])),
    bad("incre", "dequant_scale1", dequant_scale1=torch.ones(1)),
    bad("incre", "quant_scale1", quant_scale1=torch.ones(1)),
    bad("incre", ("quant_offset2", "quant_scale2"), quant_offset2=torch.ones(1)),
    bad("incre", "quant_scale2", quant_scale2=torch.ones(65)),
    bad("incre int8", "antiquant_scale", antiquant_scale=None),
    bad("incre int8", "antiquant_scale", antiquant_scale=normal(2, 3, 1, 16)),
    bad("incre int8", "antiquant_scale", antiquant_scale=normal(3)),
    bad("incre int8", ("antiquant_offset", "antiquant_scale"), antiquant_scale=None, antiquant_offset=normal(2)),
    bad("incre int8", "antiquant_offset", antiquant_offset=normal(2)),
    bad("incre int8", "value", value=normal(2, 2, 8, 16)),
    bad("incre paged", "actual_seq_lengths", actual_seq_lengths=None),
    bad("incre paged", "actual_seq_lengths", actual_seq_lengths=[13, 8]),
    bad("incre paged", "block_table", block_table=lambda kw: kw["block_table"].long()),
    bad("incre paged", "block_table", block_table=lambda kw: kw["block_table"][0]),
    bad("incre paged", "block_table", block_table=lambda kw: kw["block_table"][:1]),
    bad("incre paged", "block_size", block_size=0),
    bad("incre paged", "block_size", block_size=-4),
    bad("incre paged", ("block_size", "key"), block_size=8),
    bad("incre paged", ("key", "value"), value=normal(5, 2, 4, 16)),
    bad("incre paged", "block_table", True, block_table=torch.tensor([[0, 1, 6], [3, 4, -1]], dtype=torch.int32)),
    bad("incre paged", "block_table", True, block_table=torch.tensor([[0, -1, 2], [3, 4, -1]], dtype=torch.int32)),
]
FUSED_CALLS = _inference_common("fused", "dequant") + [
    bad("fused", "key_rope_antiquant_scale", key_rope_antiquant_scale=torch.ones(1)),
    bad("fused", "query_padding_size", actual_seq_lengths=[3], query_padding_size=torch.tensor([0.5])),
    bad("fused", "kv_padding_size", actual_seq_lengths_kv=[3], kv_padding_size=torch.tensor([1, 1])),
    bad("fused one", "atten_mask", atten_mask=torch.zeros(2, 7, dtype=torch.bool)),
    bad("fused rope", ("key_rope", "query_rope"), key_rope=None),
    bad("fused rope", ("key_rope", "query_rope"), query_rope=None),
    bad("fused rope", "key_rope", key_rope=normal(2, 2, 9, 8)),
    bad("fused rope", "query_rope", query_rope=normal(2, 4, 6, 8, dtype=F32)),
    bad("fused prefix", ("key_shared_prefix", "value_shared_prefix"), value_shared_prefix=None),
    bad("fused prefix", ("key_shared_prefix", "value_shared_prefix"), key_shared_prefix=None),
    bad("fused prefix", "key_shared_prefix", key_shared_prefix=normal(2, 2, 5, 16),
        value_shared_prefix=normal(2, 2, 5, 16)),
    bad("fused prefix", "value_shared_prefix", value_shared_prefix=normal(1, 2, 6, 16)),
    bad("fused prefix", "key_shared_prefix", key_shared_prefix=normal(1, 2, 5, 8)),
    bad("fused prefix", "key_shared_prefix", key_shared_prefix=normal(1, 2, 5, 16, dtype=F32)),
    bad("fused prefix", "actual_shared_prefix_len", actual_shared_prefix_len=[6]),
    bad("fused prefix", "actual_shared_prefix_len", actual_shared_prefix_len=[-1]),
    bad("fused prefix", "actual_shared_prefix_len", actual_shared_prefix_len=[1, 2]),
    bad("fused prefix", ("key_shared_prefix", "key_antiquant_mode", "key_antiquant_scale"), key_antiquant_mode=1,
        value_antiquant_mode=1, **{f"{n}_antiquant_scale": torch.ones(2, 8) for n in ("key", "value")},
        **{n: lambda kw, n=n: kw[n].to(torch.int8)
           for n in ("key", "value", "key_shared_prefix", "value_shared_prefix")}),
    bad("fused split", ("key_antiquant_scale", "value_antiquant_scale"), value_antiquant_scale=None),
    bad("fused split", ("key_antiquant_scale", "value_antiquant_scale", "antiquant_scale"), key_antiquant_scale=None,
        value_antiquant_scale=None),
    bad("fused split", ("key_antiquant_offset", "value_antiquant_offset"),
        key_antiquant_offset=torch.ones(2, 16, dtype=F16)),
    bad("fused split", "key_antiquant_scale", key_antiquant_scale=torch.ones(3, 16, dtype=F16)),
    bad("fused split", "value_antiquant_scale", value_antiquant_scale=torch.ones(2, 2, 16, dtype=F16)),
    bad("fused split", "key_antiquant_mode", key_antiquant_mode=6),
    bad("fused split", "value_antiquant_mode", key_antiquant_mode=2, value_antiquant_mode=-1),
    bad("fused split", ("key_antiquant_mode", "value_antiquant_mode"), key_antiquant_mode=1, value_antiquant_mode=0,
        key_antiquant_scale=torch.ones(2, 8)),
    bad("fused one split", "key_antiquant_scale", key_antiquant_mode=1, value_antiquant_mode=1,
        key_antiquant_scale=torch.ones(2, 7), value_antiquant_scale=torch.ones(2, 8)),
    bad("fused one split", ("key_antiquant_mode", "block_table"), key_antiquant_mode=4, value_antiquant_mode=4,
        key_antiquant_scale=torch.ones(2, 8), value_antiquant_scale=torch.ones(2, 8)),
    bad("fused split", ("key", "value"), key=lambda kw: kw["key"][..., :8].contiguous()),
    bad("fused split", "antiquant_mode", key_antiquant_scale=None, value_antiquant_scale=None, antiquant_mode=2,
        antiquant_scale=torch.ones(2, dtype=F16)),
    bad("fused paged", "actual_seq_lengths_kv", actual_seq_lengths_kv=None),
    bad("fused paged", "actual_seq_lengths_kv", actual_seq_lengths_kv=[9, 13]),
    bad("fused paged", "block_size", block_size=0),
    bad("fused paged", "block_table", block_table=lambda kw: kw["block_table"].float()),
    bad("fused paged", "block_table", block_table=lambda kw: kw["block_table"][:1]),
    bad("fused paged", "block_table", True, block_table=torch.tensor([[0, 1, 99], [3, 4, -1]], dtype=torch.int32)),
    bad("fused paged", "block_table", True, block_table=torch.tensor([[0, 1, 2], [-1, 4, -1]], dtype=torch.int32)),
    bad("fused paged", "atten_mask", atten_mask=torch.zeros(6, 11, dtype=torch.bool)),
    bad("fused paged", "pse_shift", pse_shift=normal(2, 4, 6, 11)),
    bad("fused TND", "actual_seq_lengths", actual_seq_lengths=None),
    bad("fused TND", "actual_seq_lengths_kv", actual_seq_lengths_kv=None),
    bad("fused TND", "actual_seq_lengths", actual_seq_lengths=[4, 2]),
    bad("fused TND", "actual_seq_lengths", actual_seq_lengths=[2, 7]),
    bad("fused TND", "actual_seq_lengths_kv", actual_seq_lengths_kv=[3, 9]),
    bad("fused TND", "actual_seq_lengths_kv", actual_seq_lengths_kv=[-3, 8]),
    bad("fused TND", ("actual_seq_lengths", "actual_seq_lengths_kv"), actual_seq_lengths=[2, 4, 6]),
    bad("fused TND", "actual_seq_lengths", actual_seq_lengths=[1, 5], actual_seq_lengths_kv=[3, 5]),
    bad("fused TND", "actual_seq_lengths", actual_seq_lengths=[4, 2], actual_seq_lengths_kv=[3, 5]),
    bad("fused one", "actual_seq_lengths", actual_seq_lengths=[1, -1]),
    bad("fused one", "actual_seq_lengths", actual_seq_lengths=[]),
    bad("fused one split", "key_antiquant_scale", key_antiquant_mode=1, value_antiquant_mode=1,
        key_antiquant_scale=torch.ones(2, 8, dtype=F16), value_antiquant_scale=torch.ones(2, 8)),
    bad("fused TND", "query", query=normal(2, 3, 4, 16)),
]


def _int64(*shape):
    return torch.zeros(shape, dtype=I64)


ADVANCE_CALLS = [
    *(bad("advance", name, **{name: lambda kw, n=name: kw[n].to(torch.int32)}) for name in
      ("input_tokens", "sampled_token_ids", "input_positions", "seq_lens", "slot_mapping", "block_tables")),
    *(bad("advance", name, **{name: _int64(3)})
      for name in ("input_tokens", "input_positions", "seq_lens", "slot_mapping")),
    bad("advance", "sampled_token_ids", sampled_token_ids=_int64(2, 1)),
    bad("advance", "sampled_token_ids", sampled_token_ids=_int64(3, 2)),
    bad("advance", "block_tables", block_tables=_int64(3, 3)),
    bad("advance", "block_tables", block_tables=_int64(12)),
    bad("advance", "num_seqs", num_seqs=0),
    bad("advance", "num_seqs", num_seqs=-1),
    bad("advance", "num_queries", num_queries=5),
    bad("advance", "num_queries", num_queries=-1),
    bad("advance", "block_size", block_size=0),
    bad("advance", "block_size", block_size=-4),
    bad("advance", "seq_lens", True, seq_lens=torch.tensor([0, 1, 12, 0])),
    bad("advance", "seq_lens", True, seq_lens=torch.tensor([0, 1, -1, 0])),
    bad("advance", ("accepted_num", "spec_token"), spec_token=_int64(4, 1)),
    bad("advance", ("accepted_num", "spec_token"), accepted_num=_int64(4)),
    bad("advance spec", "spec_token", spec_token=_int64(2, 1)),
    bad("advance spec", "spec_token", spec_token=_int64(3)),
    bad("advance spec", "spec_token", spec_token=torch.zeros(3, 1)),
    bad("advance spec", "accepted_num", accepted_num=_int64(4)),
    bad("advance spec", "accepted_num", accepted_num=torch.zeros(3, dtype=torch.int32)),
    bad("advance spec", "sampled_token_ids", sampled_token_ids=_int64(3, 1)),
    bad("advance spec", "input_tokens", input_tokens=_int64(5)),
    bad("advance spec", ("input_positions", "block_tables"), True, input_positions=torch.tensor([0, 1, 2, 3, 4, 16])),
]
_CAPS = (-1.0, float("nan"), float("inf"), 1e-40, 1e40)
SOFTCAP_CALLS = [bad(base, "softcap", softcap=cap)
                 for base in ("v2", "v3", "grad v2", "grad v3", "fused", "fused paged")
                 for cap in _CAPS] + [bad("fused", "softcap", softcap=1.0, query=lambda kw: kw["query"].to(torch.int8))]
TABLE = SOFTCAP_CALLS + FUSION + GRAD + PROMPT_CALLS + INCRE_CALLS + FUSED_CALLS + ADVANCE_CALLS
TABLE += illegal_cache.CALLS + illegal_rows.CALLS
