"""Calls that between them reach the statements of the attention kernels, each on few cores and for milliseconds."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from cases import Case, Draw, random_case
from cases.fusion import forward_case, grad_case
from cases.inference import inference_case
from cases.model import one_thread
from cases.nz import quantised_case

HALF, FLOAT = torch.float16, torch.float32


CORES = 20  # groups of the chip: with a head for each, no group shares the keys of another


def _tensors(d: Draw, heads: int, kv_heads: int, sq: int, skv: int, dim: int, dtype) -> dict:
    shapes = {"query": (heads, sq), "key": (kv_heads, skv), "value": (kv_heads, skv)}
    return {name: d.normal((1, *shape, dim), dtype) for name, shape in shapes.items()}


def _training(grad: bool, heads: int, kv_heads: int, sq: int, skv: int, dim: int, dtype, rich: bool) -> Case:
    """Several steps of keys; `rich`: bias, mask, dropout, sink and soft capping as well."""
    d = Draw(1)
    with one_thread():
        call = _tensors(d, heads, kv_heads, sq, skv, dim, dtype)
        call |= dict(head_num=heads, input_layout="BNSD", scale=dim**-0.5)
        if rich:
            call |= dict(pse=d.normal((1, heads, sq, skv), dtype), atten_mask=d.mask((sq, skv)),
                         sink=d.normal((heads,)), softcap=1.5, keep_prob=0.7, seed=5, offset=9)  # fmt: skip
        return grad_case(call, 2, d) if grad else forward_case(call, 2)


def _compressed_bias() -> Case:
    """1024 stored rows of a bias for more rows of a causal call."""
    d, tokens = Draw(1), 1030
    with one_thread():
        call = _tensors(d, 1, 1, tokens, tokens, 16, HALF) | {"pse": d.normal((1, 1, 1024, tokens), HALF)}
        return forward_case(call | dict(head_num=1, input_layout="BNSD", scale=0.25, sparse_mode=2))


def _inference(heads: int, sq: int, skv: int, dim: int, dtype, int8: bool) -> Case:
    """Several steps of keys, or with few heads a row shared by all cores; `int8`: keys and values are stored so."""
    d = Draw(1)
    with one_thread():
        call = _tensors(d, heads, heads, sq, skv, dim, dtype)
        call |= dict(num_heads=heads, input_layout="BNSD", scale=dim**-0.5, softmax_lse_flag=True)
        for name in ("key", "value") if int8 else ():
            call[name] = d.integers(call[name].shape, -100, 100)
            call[f"{name}_antiquant_scale"] = d.uniform((heads, dim), 0.008, 0.02, dtype)
            call[f"{name}_antiquant_offset"] = d.uniform((heads, dim), -20.0, 20.0, dtype)
        return inference_case("fused_infer", call, antiquant=int8)


Builder = Callable[[], Case]


def _random(kind: str, seeds, /, **fixed) -> dict[str, Builder]:
    return {f"{kind} {seed} {fixed or ''}": functools.partial(random_case, kind, seed, **fixed) for seed in seeds}


_FORWARD = {
    "steps": (CORES, CORES, 2, 2500, 16, HALF, False),
    "tiles": (6 * CORES, 6 * CORES, 1, 16, 16, HALF, True),
    "rows": (2, 1, 300, 700, 32, HALF, True),
    "wide": (2, 1, 70, 700, 300, HALF, False),
}
_GRADIENT = {"blocks": (2, 1, 300, 1100, 32, HALF, False)}
_DECODE = {
    "cut": (2, 1, 5000, 64, HALF, False),
    "float32": (2, 3, 100, 64, FLOAT, True),
}


def _each(prefix: str, function, table: dict) -> dict[str, Builder]:
    return {f"{prefix} {name}": functools.partial(function, *arguments) for name, arguments in table.items()}


# Operator's kernel: calls by name. The seeds are few that show what many do, the most telling ones first.
CALLS: dict[str, dict[str, Builder]] = {
    "npufa_flash_attention": {
        **_random("fusion", (4, 45, 6, 9, 42, 55, 14, 38, 39)),
        **_random("fusion", (32,), version=2, pse=True),
        **_each("forward", functools.partial(_training, False), _FORWARD),
        "compressed bias": _compressed_bias,
    },
    "npufa_fused_infer_attention_score": {
        **_random("fused_infer", (5, 22, 20, 29, 2, 27), cache="int8"),
        **_random("fused_infer", (24, 8, 6, 0), cache="float"),
        **_random("fused_infer", (13,), cache="int4"),
        **_random("fused_infer", (14, 52, 6, 3), cache="fp8"),
        **_random("fused_infer", (11, 4), cache="float", kind="plain", out_int8=True),
        **_random("fused_infer", (3,), kind="int8"),
        **_random("fused_infer", (2,), kind="paged", layout="BSH", sq=1, head_dim=128, kv_heads=2, dtype=HALF,
                  cache="float"),
        "quantised query": functools.partial(quantised_case, 5, nz=True, kind="rope", layout="TND_NTD", lse=True),
        **_each("inference", _inference, _DECODE),
    },
    "npufa_flash_attention_grad": {
        **_random("fusion_grad", (4, 13, 7, 31, 49, 18, 8, 12, 52, 23, 35, 5)),
        **_random("fusion_grad", (32,), version=2, pse=True),
        **_random("fusion_grad", (33,), version=2, softcap=True),
        **_each("gradient", functools.partial(_training, True), _GRADIENT),
    },
    "npufa_dropout_mask": _random("fusion", (9,), version=1, dropout=True),
}
