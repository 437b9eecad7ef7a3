"""Illegal calls of the operators that read caches, merge partial attentions, and rotate."""

import torch

from .illegal_call import bad, normal

F16, F32, I32, I64 = torch.float16, torch.float32, torch.int32, torch.int64


def gather(**extra):
    """B 2, N 2, D 16, Dv 32; lengths 3 and 2 of 3 blocks of 4 tokens."""
    return dict(key_cache=normal(3, 4, 2, 16), value_cache=normal(3, 4, 2, 32),
                block_tables=torch.tensor([[0, 1], [2, -1]], dtype=I32), seq_lens=torch.tensor([3, 2], dtype=I32),
                key=normal(5, 2, 16), value=normal(5, 2, 32), **extra)


def update():
    return dict(lse=[normal(5, dtype=F32), normal(5, dtype=F32)], local_out=[normal(5, 8), normal(5, 8)], update_type=1)


def ring():
    """S 4, B 2, N 2, Dv 8."""
    names = (f"{step}_softmax_{name}" for step in ("prev", "cur") for name in ("max", "sum"))
    statistics = {name: torch.ones(2, 2, 4, 8) for name in names}
    return dict(prev_attn_out=normal(4, 2, 16), cur_attn_out=normal(4, 2, 16), **statistics)


def packed_ring():
    """T 4, N 2, Dv 8."""
    statistics = {name: torch.ones(4, 2, 8) for name in ring() if "softmax" in name}
    return dict(prev_attn_out=normal(4, 2, 8), cur_attn_out=normal(4, 2, 8), actual_seq_qlen=torch.tensor([1, 4]),
                input_layout="TND", **statistics)


def rotary():
    return dict(input=normal(2, 3, 4, 16), r1=normal(2, 1, 4, 16), r2=normal(2, 1, 4, 16))


def interleave():
    return dict(x=normal(2, 3, 4, 16), cos=normal(2, 1, 4, 16), sin=normal(2, 1, 4, 16))


def apply():
    return dict(query=normal(2, 3, 4, 16), key=normal(2, 3, 2, 16), cos=normal(2, 3, 1, 16), sin=normal(2, 3, 1, 16))


def latent(mode="PA", index=(0, 7, -1, 4), **extra):
    """B 2, S 2, 32 normalised and 16 rotated columns; 2 blocks of 4 tokens."""
    return dict(kv=normal(2, 1, 2, 48), gamma=normal(32), cos=normal(2, 1, 2, 16), sin=normal(2, 1, 2, 16),
                index=torch.tensor(index), k_cache=normal(2, 4, 1, 16), ckv_cache=normal(2, 4, 1, 32), cache_mode=mode,
                **extra)


BASES = {
    "gather": lambda: ("npu_gather_pa_kv_cache", gather()),
    "gather cumulative": lambda: ("npu_gather_pa_kv_cache", gather(is_seq_lens_cumsum=True) | dict(
        seq_lens=torch.tensor([0, 3, 5], dtype=I32))),
    "update": lambda: ("npu_attention_update", update()),
    "ring": lambda: ("npu_ring_attention_update", ring()),
    "ring TND": lambda: ("npu_ring_attention_update", packed_ring()),
    "rotary": lambda: ("npu_rotary_mul", rotary()),
    "rotary backward": lambda: ("npu_rotary_mul_backward", rotary() | dict(grad=normal(2, 3, 4, 16))),
    "interleave": lambda: ("npu_interleave_rope", interleave()),
    "apply": lambda: ("npu_apply_rotary_pos_emb", apply()),
    "latent": lambda: ("npu_kv_rmsnorm_rope_cache", latent()),
    "latent v2": lambda: ("npu_kv_rmsnorm_rope_cache_v2", latent("PA_NZ")),
    "latent blocks": lambda: ("npu_kv_rmsnorm_rope_cache_v2", latent("PA_BLK_BNSD", (0, 4))),
    "latent Norm": lambda: ("npu_kv_rmsnorm_rope_cache_v2", latent("Norm", ((0, 1), (3, -1))) | dict(
        k_cache=normal(2, 1, 4, 16), ckv_cache=normal(2, 1, 4, 32))),
}


def _ints(*values, dtype=I32):
    return torch.tensor(values, dtype=dtype)


GATHER = [
    bad("gather", "key", key=normal(5, 2, 16, dtype=torch.float64)),
    bad("gather", "key", key=normal(5, 32)),
    bad("gather", "key_cache", key_cache=normal(3, 4, 2, 24)),
    bad("gather", "key_cache", key_cache=normal(3, 4, 2, 16, dtype=F32)),
    bad("gather", "value", value=normal(4, 2, 32)),
    bad("gather", "value", value=normal(5, 2, 32, dtype=F32), value_cache=normal(3, 4, 2, 32, dtype=F32)),
    bad("gather", "value_cache", value_cache=normal(2, 4, 2, 32)),
    bad("gather", "block_tables", block_tables=_ints(0, 1)),
    bad("gather", "block_tables", block_tables=torch.zeros(2, 2)),
    bad("gather", "seq_lens", seq_lens=_ints(3, 2, 0)),
    bad("gather", "seq_lens", seq_lens=torch.zeros(2)),
    bad("gather", "seq_lens", True, seq_lens=_ints(3, 3)),
    bad("gather", "seq_lens", True, seq_lens=_ints(3, -1)),
    bad("gather", "seq_offset", seq_offset=_ints(0, 0, 0)),
    bad("gather", "seq_offset", seq_offset=torch.zeros(2)),
    bad("gather", "seq_offset", True, seq_offset=_ints(0, -1)),
    bad("gather cumulative", "seq_lens", seq_lens=_ints(3, 5)),
    bad("gather cumulative", "seq_lens", True, seq_lens=_ints(0, 3, 2)),
]
MERGE = [
    bad("update", "update_type", update_type=2),
    bad("update", "update_type", update_type=-1),
    bad("update", "lse", lse=[]),
    bad("update", "local_out", local_out=[normal(5, 8)]),
    bad("update", "local_out", local_out=[normal(5, 8), normal(5, 9)]),
    bad("update", "local_out", local_out=[normal(5, 8), normal(5, 8, dtype=F32)]),
    bad("update", "local_out", local_out=[normal(5, 8, dtype=torch.int8)] * 2),
    bad("update", "local_out", local_out=[normal(5, 2, 4)] * 2),
    bad("update", "lse", lse=[normal(5), normal(5)]),
    bad("update", "lse", lse=[normal(5, dtype=F32), normal(4, dtype=F32)]),
    bad("update", "lse", lse=[normal(5, 1, dtype=F32)] * 2),
    bad("ring", "input_layout", input_layout="BSH"),
    bad("ring", "input_softmax_layout", input_softmax_layout="NTD"),
    bad("ring", "prev_attn_out", prev_attn_out=normal(4, 32)),
    bad("ring", "prev_attn_out", prev_attn_out=normal(4, 2, 16, dtype=torch.float64)),
    bad("ring", "cur_attn_out", cur_attn_out=normal(4, 2, 15)),
    bad("ring", "cur_attn_out", cur_attn_out=normal(4, 2, 16, dtype=F32)),
    bad("ring", "prev_softmax_max", prev_softmax_max=torch.ones(2, 2, 3, 8)),
    bad("ring", "prev_softmax_max", prev_softmax_max=torch.ones(2, 3, 4, 8)),
    bad("ring", "prev_softmax_sum", prev_softmax_sum=torch.ones(2, 2, 4, 1)),
    bad("ring", "cur_softmax_max", cur_softmax_max=torch.ones(2, 2, 4, 8, dtype=F16)),
    bad("ring", "cur_softmax_sum", cur_softmax_sum=torch.ones(4, 2, 2, 8)),
    bad("ring TND", "actual_seq_qlen", actual_seq_qlen=None),
    bad("ring TND", "actual_seq_qlen", actual_seq_qlen=_ints(1, 4)),
    bad("ring TND", "actual_seq_qlen", actual_seq_qlen=torch.tensor([[1, 4]])),
    bad("ring TND", "actual_seq_qlen", True, actual_seq_qlen=torch.tensor([3, 2])),
    bad("ring TND", "actual_seq_qlen", True, actual_seq_qlen=torch.tensor([2, 5])),
    bad("ring TND", "cur_softmax_max", cur_softmax_max=torch.ones(2, 2, 4, 8)),
]


def _angles(base, input_name, cosines, sines):
    return [
        bad(base, input_name, **{input_name: normal(2, 3, 4, 16, dtype=torch.float64)}),
        bad(base, input_name, **{input_name: normal(2, 3, 4, 15)}),
        bad(base, cosines, **{cosines: normal(2, 3, 3, 16)}),
        bad(base, cosines, **{cosines: normal(2, 1, 4, 8)}),
        bad(base, cosines, **{cosines: normal(4, 16)}),
        bad(base, sines, **{sines: normal(1, 1, 4, 16)}),
        bad(base, sines, **{sines: normal(2, 1, 4, 16, dtype=torch.int32)}),
    ]


ROTARY = [
    *_angles("rotary", "input", "r1", "r2"), *_angles("interleave", "x", "cos", "sin"),
    bad("rotary", "input", input=normal(4, 16), r1=normal(4, 16), r2=normal(4, 16)),
    bad("rotary", "input", input=normal(1, 1, 1, 2048), r1=normal(1, 1, 1, 2048), r2=normal(1, 1, 1, 2048)),
    bad("rotary", "rotary_mode", rotary_mode="quarter"),
    bad("rotary", "rotary_mode", rotary_mode="deinterleave"),
    bad("rotary", "rotate", rotate=normal(16, 8)),
    bad("rotary", "rotate", rotate=normal(16, 16, dtype=torch.int32)),
    bad("rotary backward", "grad", grad=normal(2, 3, 4, 8)),
    bad("rotary backward", "grad", grad=normal(2, 3, 4, 16, dtype=F32)),
    bad("interleave", "x", x=normal(3, 4, 16), cos=normal(1, 4, 16), sin=normal(1, 4, 16)),
    bad("apply", "layout", layout="BSH"),
    bad("apply", "query", layout="TND"),
    bad("apply", "rotary_mode", rotary_mode="quarter"),
    bad("apply", ("key", "cos"), key=normal(2, 4, 2, 16)),
    bad("apply", ("key", "cos"), key=normal(2, 3, 2, 8)),
    bad("apply", "cos", cos=normal(2, 3, 2, 16), sin=normal(2, 3, 2, 16)),
]


def _latent(base):
    return [
        bad(base, "kv", kv=normal(2, 2, 2, 48)),
        bad(base, "kv", kv=normal(2, 1, 48)),
        bad(base, "kv", kv=normal(2, 1, 2, 47)),
        bad(base, "kv", kv=normal(2, 1, 2, 48, dtype=torch.int8)),
        bad(base, "gamma", gamma=normal(32, 1)),
        bad(base, "gamma", gamma=normal(32, dtype=F32)),
        bad(base, "kv", gamma=normal(48)),
        bad(base, "cos", cos=normal(2, 1, 2, 8)),
        bad(base, "sin", sin=normal(1, 1, 2, 16)),
        bad(base, "k_cache", k_cache=normal(2, 4, 1, 24)),
        bad(base, "k_cache", k_cache=lambda kw: kw["k_cache"].float()),
        bad(base, "ckv_cache", ckv_cache=lambda kw: kw["ckv_cache"].to(torch.int8)),
        bad(base, "ckv_cache", ckv_cache=lambda kw: torch.cat([kw["ckv_cache"]] * 2)),
        bad(base, "ckv_cache", c_kv_scale=torch.ones(32)),
        bad(base, "c_kv_scale", c_kv_scale=torch.ones(16), ckv_cache=lambda kw: kw["ckv_cache"].to(torch.int8)),
        bad(base, "k_rope_scale", k_rope_scale=torch.ones(16, dtype=F16),
            k_cache=lambda kw: kw["k_cache"].to(torch.int8)),
        bad(base, "index", index=lambda kw: kw["index"].to(I32)),
        bad(base, "index", index=_ints(0, 1, 2, dtype=I64)),
        bad(base, "cache_mode", cache_mode="BNSD"),
        bad(base, "epsilon", epsilon=-1.0),
        bad(base, "k_rope_offset", k_rope_offset=torch.ones(16)),
        bad(base, "c_kv_offset", c_kv_offset=torch.ones(32)),
        bad(base, "k_rope_offset", k_rope_scale=torch.ones(16), k_rope_offset=torch.ones(8),
            k_cache=lambda kw: kw["k_cache"].to(torch.int8)),
        bad(base, "v", v=normal(2, 2, 8)),
        bad(base, "v", v=normal(2, 1, 3, 8)),
        bad(base, "v", v=normal(2, 1, 2, 8, dtype=F32)),
        bad(base, "gamma", v=normal(2, 1, 2, 8)),
        bad(base, "cos", v=normal(2, 1, 2, 8), gamma=normal(48), cos=normal(2, 1, 2, 64)),
        bad(base, "cos", v=normal(2, 1, 2, 8), gamma=normal(48), cos=normal(2, 1, 2, 15)),
        bad(base, "sin", v=normal(2, 1, 2, 8), gamma=normal(48), sin=normal(2, 1, 2, 32)),
        bad(base, "k_cache", v=normal(2, 1, 2, 32), gamma=normal(48)),
    ]


LATENT = [
    *_latent("latent v2"), *_latent("latent Norm"), *_latent("latent"),
    bad("latent v2", "k_cache_dtype", k_cache_dtype=1),
    bad("latent v2", "index", True, index=_ints(0, 1, 8, 2, dtype=I64)),
    bad("latent blocks", "index", True, index=_ints(0, 8, dtype=I64)),
    bad("latent Norm", "index", True, index=torch.tensor([[0, 1], [4, 2]])),
]
CALLS = GATHER + MERGE + ROTARY + LATENT
