"""Calls of npu_prompt_flash_attention on the simulated NPU, compared with the float64 reference."""

from __future__ import annotations

import torch

from cases import Draw
from cases.inference import inference_case, prompt_case
from cases.on_npu import NpuCase, on_npu

HALVES = (torch.float16, torch.bfloat16)
LAYOUTS = ("BSH", "BSND", "BNSD", "BNSD_BSND")
HEAD_DIMS = (1, 16, 17, 31, 33, 64, 80, 127, 128, 129, 192, 256, 257, 511, 512)
ALIBI_ROWS = 1024


def prefill(layout="BNSD", batch=2, heads=4, kv_heads=2, sq=33, skv=40, dim=32, value_dim=None, dtype=torch.float16,
            seed=0, **kw) -> NpuCase:  # fmt: skip
    """A call with tensors drawn from `seed`; `kw` are further arguments of the operator."""
    d = Draw(seed)
    shapes = {
        "query": (batch, heads, sq, dim),
        "key": (batch, kv_heads, skv, dim),
        "value": (batch, kv_heads, skv, value_dim or dim),
    }
    tensors = {name: stored(d.normal(shape, dtype), layout) for name, shape in shapes.items()}
    call = dict(tensors, num_heads=heads, num_key_value_heads=kv_heads, input_layout=layout, scale_value=dim**-0.5)
    return on_npu(inference_case("prompt", call | kw))


def stored(tensor, layout):
    """A (B, N, S, D) tensor as the layout stores it."""
    part = layout.split("_")[0]
    if part == "BNSD":
        return tensor
    tensor = tensor.transpose(1, 2).contiguous()
    return tensor.flatten(2) if part == "BSH" else tensor


def as_bnsd(tensor, layout, heads):
    """A (B, N, S, D) view of a tensor in a layout."""
    part = layout.split("_")[0]
    if part == "BNSD":
        return tensor
    return (tensor.unflatten(2, (heads, -1)) if part == "BSH" else tensor).transpose(1, 2)


def random_prefill(seed, long=False) -> NpuCase:
    """The legal call number `seed`: any feature of the operator that the NPU kernel computes."""
    d = Draw(seed, long)
    head_dim = None if d.chance(0.5) else d.pick(*HEAD_DIMS)
    case = prompt_case(d, dtype=d.pick(*HALVES), int8=False, out_int8=False, head_dim=head_dim)
    kw = dict(case.kwargs)
    if d.chance(0.2):
        kw["scale_value"] = d.pick(0.0, -0.3, -1.0, 5.0)
    if d.chance(0.3):
        _compress_bias(d, kw)
    if "pse_shift" in kw and d.chance(0.4):
        _put_infinities(d, kw["pse_shift"])
    if d.chance(0.4):
        _spoil_unused(d, kw)
    return on_npu(inference_case("prompt", kw, notes={"seed": seed, "long": long}))


def _compress_bias(d, kw):
    """The 1024 stored rows of a bias that depends on j - i, where the call is long and causal enough for them."""
    query, key, layout = kw["query"], kw["key"], kw["input_layout"]
    tokens = as_bnsd(query, layout, kw["num_heads"]).shape[2]
    keys = as_bnsd(key, layout, kw.get("num_key_value_heads") or kw["num_heads"]).shape[2]
    if tokens != keys or tokens <= ALIBI_ROWS or not (kw["sparse_mode"] in (2, 3) or "atten_mask" in kw):
        return
    kw["pse_shift"] = d.normal((1, kw["num_heads"], ALIBI_ROWS, keys), query.dtype)


def _put_infinities(d, bias):
    """-inf in some places and in one whole row."""
    if bias.numel() == 0:
        return
    bias.masked_fill_(d.mask(bias.shape, density=0.1), -torch.inf)
    bias[0, d.integer(0, bias.shape[1] - 1), d.integer(0, bias.shape[2] - 1)] = -torch.inf


def _spoil_unused(d, kw):
    """NaN and infinity in the rows and columns beyond the lengths, which must not be seen."""
    layout, heads = kw["input_layout"], kw["num_heads"]
    junk = d.pick(torch.nan, torch.inf, -torch.inf)
    kv_heads = kw.get("num_key_value_heads") or heads
    sides = (
        ("actual_seq_lengths", (("query", heads),)),
        ("actual_seq_lengths_kv", (("key", kv_heads), ("value", kv_heads))),
    )
    for argument, tensors in sides:
        lengths = kw.get(argument)
        for name, count in tensors if lengths else ():
            for b, rows in enumerate(as_bnsd(kw[name], layout, count)):
                rows[:, lengths[b if len(lengths) > 1 else 0] :] = junk
    if "pse_shift" in kw and kw["pse_shift"].shape[2] != ALIBI_ROWS:
        _spoil_bias(kw, junk)


def _spoil_bias(kw, junk):
    bias = kw["pse_shift"]
    sizes = [as_bnsd(kw[name], kw["input_layout"], heads).shape[2] for name, heads in
             (("query", kw["num_heads"]), ("key", kw.get("num_key_value_heads") or kw["num_heads"]))]  # fmt: skip
    rows = max(kw.get("actual_seq_lengths") or sizes[:1])
    columns = max(kw.get("actual_seq_lengths_kv") or sizes[1:])
    bias[..., columns:] = junk
    if bias.shape[2] > 1:
        bias[:, :, rows:] = junk
