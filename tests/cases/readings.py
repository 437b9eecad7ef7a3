"""Calls that torch_npu would refuse or read otherwise, and the one reading that they have here (SPEC 2, 4, 5, 7, 10).

Queries and keys are zeros, so that a row is the mean of the values it sees; results are the rows' first channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .fusion import compressed_mask

NAN = float("nan")
FUSED, FUSED2 = "npu_fused_infer_attention_score", "npu_fused_infer_attention_score_v2"
INCRE, PROMPT, FUSION = "npu_incre_flash_attention", "npu_prompt_flash_attention", "npu_fusion_attention"


@dataclass
class Reading:
    """`rows`: the first channel of every output row; or `error`: parts that the message must have."""

    name: str
    op: str
    kwargs: dict
    rows: list | None = None
    error: tuple[str, ...] = ()

    def __str__(self):
        return self.name


def _packed(op, q_lens, kv_lens, tokens, kv_tokens=None, values=None, layout="TND", **extra):
    """One head of 16 channels; values are the numbers of the keys unless given."""
    kv_tokens = kv_tokens or tokens
    values = torch.arange(float(kv_tokens)) if values is None else torch.tensor(values)
    query, key = torch.zeros(tokens, 1, 16), torch.zeros(kv_tokens, 1, 16)
    value = values[:, None, None].expand(kv_tokens, 1, 16).contiguous()
    if layout.startswith("NTD"):
        query, key, value = (t.transpose(0, 1).contiguous() for t in (query, key, value))
    fusion = op.startswith(FUSION)
    heads = "num_query_heads" if op == FUSED2 else "head_num" if fusion else "num_heads"
    names = ("actual_seq_qlen", "actual_seq_kvlen") if fusion or op == FUSED2 else (
        "actual_seq_lengths", "actual_seq_lengths_kv")
    return dict(query=query, key=key, value=value, input_layout=layout, **{heads: 1},
                **dict(zip(names, (q_lens, kv_lens))),
                **extra)


def _shape(layout, batch, tokens, heads=1, channels=16):
    return {"BSH": (batch, tokens, heads * channels), "BSND": (batch, tokens, heads, channels)}.get(
        layout.split("_")[0], (batch, heads, tokens, channels))


def _padded(rows=1, keys=8, batch=1, layout="BNSD", **extra):
    shape = _shape(layout, batch, keys)
    axes = [1] * len(shape)
    axes[2 if layout.startswith("BNSD") else 1] = keys
    values = torch.arange(float(keys)).view(axes)
    return dict(query=torch.zeros(_shape(layout, batch, rows)), key=torch.zeros(shape),
                value=values.expand(shape).contiguous(), num_heads=1, input_layout=layout, **extra)


def _training(**extra):
    call = _padded(**extra)
    return {"head_num" if name == "num_heads" else name: value for name, value in call.items()}


def _paged_query(lengths):
    pool = torch.zeros(4, 4, 16)
    return _packed(FUSED, lengths, [4] * len(lengths), 4) | dict(
        key=pool, value=pool.clone(), block_size=4, block_table=torch.arange(4, dtype=torch.int32)[:, None])


def _lengths():
    ones, both = [1, 1, 1, 1], ("two readings", r"\[1, 2, 3, 4\]", "a tensor", r"\[1, 1, 1, 1, 0\]")
    yield Reading("lists of ones", FUSED, _packed(FUSED, ones, ones, 4), error=("actual_seq_lengths", *both))
    yield Reading("lists of ones, v2", FUSED2, _packed(FUSED2, ones, ones, 4), error=("actual_seq_qlen", *both))
    yield Reading("lists of ones, paged", FUSED, _paged_query(ones), error=("actual_seq_lengths", *both))
    for lengths in ([264, 736], [500, 500]):
        yield Reading(f"lists {lengths}", FUSED, _packed(FUSED, lengths, lengths, 1000), error=("two readings",))
    for version in ("", "_v2"):
        yield Reading(f"training{version}, lists [1, 2]", FUSION + version,
                      _packed(FUSION + version, [1, 2], [1, 2], 3, values=[1.0, 1, NAN]), error=("two readings",))
    tensor = torch.tensor([1, 2])
    yield Reading("training_v3, tensors [1, 2]", FUSION + "_v3",
                  _packed(FUSION + "_v3", tensor, tensor, 3, values=[1.0, 1, NAN]), [1, 1, 0])
    yield Reading("a trailing zero asks for cumulative", FUSION, _packed(FUSION, [1, 2, 0], [1, 2, 0], 3), [0, 1, 0])
    yield Reading("a trailing zero is no plain length", FUSION, _packed(FUSION, [5, 75, 0], [5, 75, 0], 80),
                  [2] * 5 + [39.5] * 70 + [0] * 5)
    yield Reading("lists are read alike", FUSION, _packed(FUSION, [17, 47, 48], [20, 50, 59], 51, 129),
                  [9.5] * 17 + [34.5] * 30 + [54] + [0] * 3)
    plain = [100, 200, 150, 550]
    means = [49.5] * 100 + [199.5] * 200 + [374.5] * 150 + [724.5] * 550
    yield Reading("plain lists in training", FUSION, _packed(FUSION, plain, plain, 1000), means)
    yield Reading("plain lists in inference", FUSED, _packed(FUSED, plain, plain, 1000),
                  error=("actual_seq_lengths holds plain lengths", r"\[100, 300, 450, 1000\]"))
    yield Reading("a plain list beside a cumulative one", FUSION, _packed(FUSION, [30, 20], [10, 50], 50),
                  error=("actual_seq_qlen decreases",))
    yield Reading("no sequences", FUSED, _packed(FUSED, [], [], 2), [0, 0])
    yield Reading("NTD", FUSED, _packed(FUSED, [1, 3], [2, 4], 3, 4, layout="NTD"), [0.5, 2.5, 2.5])
    yield Reading("empty batch", FUSED, _padded(batch=0, actual_seq_lengths_kv=[]), [])
    yield Reading("one row, cumulative lengths", FUSED, _padded(batch=3, keys=2, actual_seq_lengths=[1, 2, 0]),
                  [0.5, 0.5, 0])


def _masks():
    window = dict(sparse_mode=4, pre_tokens=1, next_tokens=0)
    for layout in ("BNSD", "BSND", "BSH", "BNSD_BSND"):
        yield Reading(f"one row's window, {layout}", FUSED, _padded(layout=layout, **window), [6.5])
    yield Reading("one row's window, compressed mask", FUSED, _padded(atten_mask=compressed_mask(), **window), [6.5])
    keys = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    yield Reading("one row's mask rules alone", FUSED, _padded(atten_mask=keys, **window), [4.5])
    yield Reading("one row, mode 2", FUSED, _padded(sparse_mode=2), [3.5])
    yield Reading("one row, mode 3", FUSED, _padded(sparse_mode=3), [3.5])
    yield Reading("one row, 2048 sequences", FUSED,
                  _padded(batch=2048, keys=2, sparse_mode=4, atten_mask=compressed_mask()),
                  error=("two readings", "None"))
    by_batch = torch.zeros(3, 4, dtype=torch.bool)
    fix = ("atten_mask", r"mask\[:, None, None, :\]")
    yield Reading("mask (B,Skv), Sq 2", FUSED, _padded(rows=2, keys=4, batch=3, atten_mask=by_batch), error=fix)
    yield Reading("mask (B,Skv), prompt", PROMPT, _padded(rows=1, keys=4, batch=3, atten_mask=by_batch), error=fix)
    yield Reading("mask (B,Skv), training", FUSION, _training(rows=2, keys=4, batch=3, atten_mask=by_batch), error=fix)
    last = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]], dtype=torch.bool)
    means = [1, 1, 0.5, 0.5, 0, 0]
    for op, build in ((FUSED, _padded), (PROMPT, _padded), (FUSION, _training)):
        yield Reading(f"mask (B,1,1,Skv), {op}", op, build(rows=2, keys=4, batch=3, atten_mask=last[:, None, None]) |
                      ({"next_tokens": 9} if op == PROMPT else {}), means)
        yield Reading(f"mask (B,N,1,Skv), {op}", op, build(
            rows=2, keys=4, batch=3, atten_mask=last[:, None, None].expand(3, 1, 1, 4).contiguous()) |
            ({"next_tokens": 9} if op == PROMPT else {}), means)
        yield Reading(f"mode 1 without a mask, {op}", op, build(rows=2, keys=4, sparse_mode=1), [1.5, 1.5])
        for dtype, hint in ((torch.float32, "mask < 0"), (torch.int32, "mask != 0")):
            yield Reading(f"{dtype} mask, {op}", op, build(rows=2, keys=4, atten_mask=torch.zeros(2, 4, dtype=dtype)),
                          error=("atten_mask", "1 means masked out", "opposite of scaled_dot_product_attention", hint))


def _numbers():
    yield Reading("scale NaN, fused_infer", FUSED, _padded(scale=NAN), error=("scale is not a number",))
    yield Reading("scale NaN, prompt", PROMPT, _padded(scale_value=NAN), error=("scale_value is not a number",))
    yield Reading("scale NaN, training", FUSION, _training(scale=NAN), error=("scale is not a number",))
    cache = {n: torch.zeros(1, 1, 8, 16, dtype=torch.int8) for n in ("key", "value")}
    half = {f"{n}_antiquant_scale": torch.ones(1, 8, dtype=torch.float16) for n in cache}
    yield Reading("float16 scales per token", FUSED, _padded() | cache | half | dict(
        key_antiquant_mode=1, value_antiquant_mode=1), error=("key_antiquant_scale", "float16", "float32"))
    # Nkv = B and D = Skv: a float32 scale beside a float32 query may be per channel or per token.
    same = {n: torch.ones(1, 1, 16, 16, dtype=torch.int8) for n in cache}
    yield Reading("scales per channel or token", INCRE,
                  _padded(keys=16) | same | dict(antiquant_scale=torch.ones(2, 1, 16)),
                  error=("antiquant_scale has two readings", r"\(2,Nkv,1,D\)", "antiquant_mode=1"))
    yield Reading("scales per channel by shape", INCRE, _padded(keys=16) | same | dict(
        antiquant_scale=torch.full((2, 1, 1, 16), 2.0)), [2.0])
    yield Reading("heads that do not divide H", FUSED, _padded(layout="BSH") | dict(num_heads=3),
                  error=("num_heads = 3",))
    yield Reading("heads that do not divide H, training", FUSION, _training(layout="BSH") | dict(head_num=3),
                  error=("head_num = 3",))


READINGS = [*_lengths(), *_masks(), *_numbers()]


def on(reading: Reading, device: str) -> dict:
    """The arguments of a reading with its tensors on a device."""
    return {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in reading.kwargs.items()}


def rows_of(result, reading: Reading) -> torch.Tensor:
    out = result[0] if isinstance(result, (tuple, list)) else result
    return out.float().cpu().reshape(-1, 16)[:, 0]
