"""The benchmark's case table: each row is one problem, solved by an npufa operator and by torch SDPA."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, product

import torch
import torch.nn.functional as F
from torch import Tensor

import npufa
from timing import Run

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16
NAMES = {F32: "f32", F16: "f16", BF16: "bf16"}


@dataclass(frozen=True)
class Sides:
    """Both implementations of a case; ``comparable`` brings torch's result into the layout of ours (not timed)."""

    ours: Run
    torch: Run
    comparable: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = lambda result: result


@dataclass(frozen=True)
class Case:
    """``bar`` is the least acceptable ratio torch time / npufa time; None: informational."""

    group: str
    operator: str
    problem: str
    dtype: torch.dtype
    bar: float | None
    quick: bool  # part of --quick
    build: Callable[[], Sides]

    @property
    def name(self) -> str:
        return f"{self.group} {self.operator} {self.problem} {NAMES[self.dtype]}"


def _bar(dtype: torch.dtype, bar: float) -> float | None:
    return None if dtype == F16 else bar


def _random(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(math.prod(shape) + len(shape))).to(dtype)


def _inputs(shape: tuple[int, ...], dtype: torch.dtype, grad: bool = False) -> list[Tensor]:
    return [
        x.to(dtype).requires_grad_(grad) for x in torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    ]


# ---- prefill ----------------------------------------------------------------------------------------------------


def _prefill(operator: str, heads: int, length: int, size: int, causal: bool, dtype: torch.dtype) -> Sides:
    query, key, value = _inputs((1, heads, length, size), dtype)
    scale, mode = 1.0 / math.sqrt(size), 3 if causal else 0
    infer = {"num_heads": heads, "input_layout": "BNSD", "sparse_mode": mode}
    ours: dict[str, Run] = {
        "npu_fusion_attention": lambda: npufa.npu_fusion_attention(
            query, key, value, heads, "BNSD", scale=scale, sparse_mode=mode
        )[:1],
        "npu_prompt_flash_attention": lambda: (
            npufa.npu_prompt_flash_attention(query, key, value, scale_value=scale, **infer),
        ),
        "npu_fused_infer_attention_score": lambda: npufa.npu_fused_infer_attention_score(
            query, key, value, scale=scale, **infer
        )[:1],
    }
    return Sides(ours[operator], lambda: (F.scaled_dot_product_attention(query, key, value, is_causal=causal),))


def prefill_cases() -> Iterator[Case]:
    heads = 8
    for dtype in (BF16, F32, F16):
        operators = cycle(("npu_fusion_attention", "npu_prompt_flash_attention", "npu_fused_infer_attention_score"))
        for length, size, causal in product((1024, 2048, 4096), (64, 128), (True, False)):
            operator = next(operators)
            yield Case(
                "prefill",
                operator,
                f"B1 N{heads} S{length} D{size} {'causal' if causal else 'full'}",
                dtype,
                _bar(dtype, 1.0),
                length == 1024,
                lambda o=operator, s=length, d=size, c=causal, t=dtype: _prefill(o, heads, s, d, c, t),
            )


# ---- forward and backward ---------------------------------------------------------------------------------------


def _training(heads: int, length: int, size: int, causal: bool, dtype: torch.dtype) -> Sides:
    inputs = _inputs((1, heads, length, size), dtype, grad=True)
    gradient = _random(1, heads, length, size, dtype=dtype)

    def with_gradients(output: Tensor) -> tuple[Tensor, ...]:
        return (output, *torch.autograd.grad(output, inputs, gradient))

    return Sides(
        lambda: with_gradients(
            npufa.npu_fusion_attention(
                *inputs, heads, "BNSD", scale=1.0 / math.sqrt(size), sparse_mode=3 if causal else 0
            )[0]
        ),
        lambda: with_gradients(F.scaled_dot_product_attention(*inputs, is_causal=causal)),
    )


def training_cases() -> Iterator[Case]:
    heads = 8
    for dtype, length, size, causal in product((BF16, F32), (1024, 2048, 4096), (64, 128), (True, False)):
        yield Case(
            "forward+backward",
            "npu_fusion_attention",
            f"B1 N{heads} S{length} D{size} {'causal' if causal else 'full'}",
            dtype,
            _bar(dtype, 1.0),
            length == 1024,
            lambda s=length, d=size, c=causal, t=dtype: _training(heads, s, d, c, t),
        )


# ---- decode -----------------------------------------------------------------------------------------------------


def _paged(cache: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Scatters a cache (B, Nkv, S, D) over blocks (blocks, block_size, Nkv * D); returns them with the block table."""
    batch, heads, length, size = cache.shape
    blocks = batch * length // block_size
    table = torch.randperm(blocks, generator=torch.Generator().manual_seed(0)).view(batch, -1)
    tokens = cache.transpose(1, 2).reshape(blocks, block_size, heads * size)
    return tokens[table.flatten().argsort()].contiguous(), table.to(torch.int32)


def _decode(
    operator: str, heads: int, kv_heads: int, dtype: torch.dtype, block_size: int = 0, fold: bool = False
) -> Sides:
    batch, length, size = 8, 4096, 128
    group = heads // kv_heads
    query = _random(batch, heads, 1, size, dtype=dtype)
    key = _random(batch, kv_heads, length, size, dtype=dtype)
    value = _random(batch, kv_heads, length, size, dtype=dtype).flip(0).contiguous()
    settings = {"num_heads": heads, "num_key_value_heads": kv_heads}
    cache, layout, ours_query = (key, value), "BNSD", query
    if block_size:
        key_cache, table = _paged(key, block_size)
        cache, layout, ours_query = (key_cache, _paged(value, block_size)[0]), "BSH", query.view(batch, 1, heads * size)
        settings |= {"block_table": table, "block_size": block_size}
    scale, lengths = 1.0 / math.sqrt(size), [length] * batch
    ours: dict[str, Run] = {
        "npu_incre_flash_attention": lambda: (
            npufa.npu_incre_flash_attention(
                ours_query, *cache, input_layout=layout, scale_value=scale, actual_seq_lengths=lengths, **settings
            ),
        ),
        "npu_fused_infer_attention_score": lambda: npufa.npu_fused_infer_attention_score(
            ours_query, *cache, input_layout=layout, scale=scale, actual_seq_lengths_kv=lengths, **settings
        )[:1],
    }
    folded = query.view(batch, kv_heads, group, size)  # the heads of a group as query rows: needs no enable_gqa
    sdpa = (
        (lambda: (F.scaled_dot_product_attention(folded, key, value),))
        if fold
        else (lambda: (F.scaled_dot_product_attention(query, key, value, enable_gqa=group > 1),))
    )
    return Sides(ours[operator], sdpa, lambda result: (result[0].reshape(ours_query.shape),))


def decode_cases() -> Iterator[Case]:
    fused, incre = "npu_fused_infer_attention_score", "npu_incre_flash_attention"
    variants = (  # operator, Nkv, block size, SDPA with the group folded into query rows, label, bar
        (fused, 32, 0, False, "", 1.0),
        (incre, 32, 0, False, "", 1.0),
        (incre, 8, 0, False, "", 1.0),
        (fused, 8, 0, False, "", 1.0),
        (fused, 8, 0, True, " SDPA folded", None),
        (fused, 32, 128, False, " paged 128", None),
        (fused, 8, 128, True, " paged 128, SDPA folded", None),
    )
    for dtype, (operator, kv_heads, block_size, fold, label, bar) in product((BF16, F32, F16), variants):
        yield Case(
            "decode",
            operator,
            f"B8 N32/{kv_heads} KV4096 D128{label}",
            dtype,
            bar and _bar(dtype, bar),
            kv_heads == 8,
            lambda o=operator, n=kv_heads, b=block_size, f=fold, t=dtype: _decode(o, 32, n, t, b, f),
        )


# ---- sequences of different length ------------------------------------------------------------------------------


def _varlen(operator: str, causal: bool, dtype: torch.dtype) -> Sides:
    heads, size, lengths = 8, 128, (2048, 1024, 700, 300, 24)
    ends = torch.tensor(lengths).cumsum(0).tolist()
    packed = _inputs((sum(lengths), heads, size), dtype)
    padded = [
        torch.nn.utils.rnn.pad_sequence(list(x.split(lengths)), batch_first=True).transpose(1, 2).contiguous()
        for x in packed
    ]
    taken = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    # Padding lies to the right: under a causal mask SDPA needs no padding mask.
    sdpa = {"is_causal": True} if causal else {"attn_mask": taken[:, None, None, :]}
    scale, mode = 1.0 / math.sqrt(size), 3 if causal else 0
    ours: dict[str, Run] = {
        "npu_fusion_attention": lambda: npufa.npu_fusion_attention(
            *packed, heads, "TND", scale=scale, sparse_mode=mode, actual_seq_qlen=ends, actual_seq_kvlen=ends
        )[:1],
        "npu_fused_infer_attention_score": lambda: npufa.npu_fused_infer_attention_score(
            *packed,
            num_heads=heads,
            input_layout="TND",
            scale=scale,
            sparse_mode=mode,
            actual_seq_lengths=ends,
            actual_seq_lengths_kv=ends,
        )[:1],
    }
    return Sides(
        ours[operator],
        lambda: (F.scaled_dot_product_attention(*padded, **sdpa),),
        lambda result: (result[0].transpose(1, 2)[taken],),
    )


def varlen_cases() -> Iterator[Case]:
    operators = cycle(("npu_fusion_attention", "npu_fused_infer_attention_score"))
    for dtype, causal in product((BF16, F32), (True, False)):
        operator = next(operators)
        yield Case(
            "varlen TND / padded",
            operator,
            f"B5 N8 T4096 Smax2048 D128 {'causal' if causal else 'full'}",
            dtype,
            None,
            causal,
            lambda o=operator, c=causal, t=dtype: _varlen(o, c, t),
        )


def all_cases() -> list[Case]:
    return [*prefill_cases(), *training_cases(), *decode_cases(), *varlen_cases()]
