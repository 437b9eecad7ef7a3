"""Modelled times of the Ascend C kernels on a simulated chip, against bars. Modelled, not measured: docs/time_model.md.

    .venv/bin/python benchmarks/npu_model.py [--soc Ascend910B3] [--filter "decode int8"] [--json FILE]

A bar is the share of the cube's peak that the FLOP a call really needs (its mask's pairs) must reach, the share of
HBM's bandwidth that the bytes of its cache must, the share of what a kernel that only copies them to L1 reaches, or a
ratio between two cases. Exit status 1 when one falls short.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import torch

import npu_calibration
import npufa
import npufa.sim

HALF = torch.float16


@dataclasses.dataclass(frozen=True)
class Case:
    """One call, the FLOP and bytes it needs, and the least percentage of the peak of `unit`: cube, HBM, copy, or bound,
    the resource that is busy longest."""

    name: str
    call: Callable[[], object]
    unit: str
    bar: float
    flop: float = 0.0
    bytes: float = 0.0

    def measure(self) -> tuple[float, float]:
        """Percentage of the peak, and microseconds."""
        report = npufa.sim.profile(self.call, useful_flop=self.flop)
        if self.unit == "cube":
            return report.useful_percent_of_peak, report.us
        if self.unit == "bound":
            return report.kernels[0].bound_percent, report.us
        if self.unit == "copy":
            soc = report.kernels[0].soc
            tiles = math.ceil(self.bytes / int(npufa.sim.chips()[soc]["aic_count"]) / (128 * 256))
            return 100 * self.bytes / report.us / copied_bytes_per_us(soc, min(tiles, 1600)), report.us
        peak = max(kernel.hbm_gb_per_s / kernel.hbm_percent for kernel in report.kernels if kernel.hbm_percent) * 100
        return 100 * self.bytes / (report.us * 1e3) / peak, report.us


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The least ratio between two cases: of their percentages, or of times (first over second; "a + b": their sum)."""

    name: str
    first: str
    second: str
    bar: float
    of_times: bool = False


@functools.cache
def copied_bytes_per_us(soc: str, tiles: int) -> float:
    """All cube cores, each so many tiles of its own: 128 rows of 256 bytes at a time, as attention reads them."""
    cores, rows = int(npufa.sim.chips()[soc]["aic_count"]), tiles * 128
    keys = npu_calibration.device((cores * rows, 128))
    report = npu_calibration.launch("copies", "copies_to_l1", [keys], (*keys.shape, 128, 128, cores, 0, 1, 0), cores,
                                    soc)
    return keys.nbytes / report.us


def zeros(*shape: int, dtype: torch.dtype = HALF) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device="cpu" if dtype.itemsize == 1 else "npu").npu()


def pairs(lengths: Sequence[int], causal: bool = False) -> float:
    return sum(n * (n + 1) / 2 if causal else n * n for n in lengths)


def dense(heads: int = 20, seq: int = 8192, dim: int = 128) -> list[torch.Tensor]:
    return [zeros(1, heads, seq, dim) for _ in range(3)]


def prefill(sparse_mode: int) -> None:
    npufa.npu_prompt_flash_attention(*dense(), num_heads=20, input_layout="BNSD", scale_value=128**-0.5,
                                     sparse_mode=sparse_mode)  # fmt: skip


def short(batch: int, heads: int, kv_heads: int, seq: int, dim: int = 128, value_dim: int = 0) -> None:
    query, key = zeros(batch, heads, seq, dim), zeros(batch, kv_heads, seq, dim)
    value = zeros(batch, kv_heads, seq, value_dim or dim)
    npufa.npu_fusion_attention(query, key, value, heads, "BNSD", scale=dim**-0.5)


def mixed(prompts: Sequence[int], decodes: Sequence[int]) -> None:
    """Prompts beside sequences of one token with so many keys, packed, causal."""
    queries, keys = [*prompts, *(1 for _ in decodes)], [*prompts, *decodes]
    mask = torch.ones(2048, 2048, dtype=torch.bool).triu(1).npu()
    npufa.npu_fusion_attention(zeros(sum(queries), 20, 128), zeros(sum(keys), 20, 128), zeros(sum(keys), 20, 128), 20,
                               "TND", scale=128**-0.5, actual_seq_qlen=list(itertools.accumulate(queries)),
                               actual_seq_kvlen=list(itertools.accumulate(keys)), sparse_mode=3,
                               atten_mask=mask)  # fmt: skip


def training(sparse_mode: int) -> None:
    npufa.npu_fusion_attention(*dense(), 20, "BNSD", scale=128**-0.5, sparse_mode=sparse_mode)


def backward(sparse_mode: int) -> None:
    query, key, value = dense()
    statistic = torch.ones(1, 20, 8192, 8, device="npu")
    npufa.npu_fusion_attention_grad(query, key, value, query, 20, "BNSD", attention_in=query, softmax_max=statistic,
                                    softmax_sum=statistic, scale_value=128**-0.5, sparse_mode=sparse_mode)  # fmt: skip


def packed(lengths: Sequence[int], on_device: bool = False) -> None:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    tensors = [zeros(sum(lengths), 20, 128) for _ in range(3)]
    if on_device:
        npufa.npu_fusion_attention_v3(*tensors, 20, "TND", scale=128**-0.5, actual_seq_qlen=torch.tensor(ends).npu(),
                                      actual_seq_kvlen=torch.tensor(ends).npu())  # fmt: skip
        return
    npufa.npu_fusion_attention(*tensors, 20, "TND", scale=128**-0.5, actual_seq_qlen=ends, actual_seq_kvlen=ends)


def decode(dtype: torch.dtype = HALF, block_size: int = 0, on_device: bool = False, batch: int = 16,
           keys: int = 8192) -> None:  # fmt: skip
    """N32 Nkv8 D128, so many keys each."""
    heads, kv_heads, dim = 32, 8, 128
    arguments: dict = {"num_heads": heads, "num_key_value_heads": kv_heads, "scale_value": dim**-0.5,
                       "actual_seq_lengths": [keys] * batch, "input_layout": "BNSD"}  # fmt: skip
    if on_device:
        arguments["actual_seq_lengths"] = torch.tensor(arguments["actual_seq_lengths"]).npu()
    # int4: eight to an int32.
    query, cache = zeros(batch, heads, 1, dim), (batch, kv_heads, keys, dim // 8 if dtype == torch.int32 else dim)
    if dtype != HALF:
        arguments["antiquant_scale"] = zeros(2, kv_heads, 1, dim)
    if block_size:
        blocks = batch * keys // block_size
        order = torch.randperm(blocks, generator=torch.Generator().manual_seed(0)).int()
        arguments |= {"input_layout": "BSH", "block_size": block_size, "block_table": order.view(batch, -1).npu()}
        query, cache = query.view(batch, 1, -1), (blocks, block_size, kv_heads * dim)
    npufa.npu_incre_flash_attention(query, zeros(*cache, dtype=dtype), zeros(*cache, dtype=dtype), **arguments)


MLA = {"batch": 16, "heads": 128, "keys": 8192, "dim": 512, "rope": 64}


def mla_decode() -> None:
    batch, heads, keys, dim, rope = MLA.values()
    cache = zeros(batch, keys, 1, dim)
    npufa.npu_fused_infer_attention_score(
        zeros(batch, 1, heads, dim), cache, cache, query_rope=zeros(batch, 1, heads, rope),
        key_rope=zeros(batch, keys, 1, rope), num_heads=heads, num_key_value_heads=1, input_layout="BSND",
        scale=(dim + rope) ** -0.5)  # fmt: skip


CACHE = {"tokens": 4096, "heads": 8, "dim": 128, "blocks": 64, "block_size": 128}


def scatter(nz: bool = False, in_order: bool = False) -> None:
    """Keys and values of 4096 tokens into their slots of a paged cache."""
    tokens, heads, dim, blocks, block_size = CACHE.values()
    slots = torch.randperm(blocks * block_size, generator=torch.Generator().manual_seed(0))
    slots = (torch.arange(len(slots)) if in_order else slots)[:tokens].int().npu()
    shape = (blocks, heads * dim // 16, block_size, 16) if nz else (blocks, block_size, heads, dim)
    npufa.npu_scatter_pa_kv_cache(zeros(tokens, heads, dim), zeros(tokens, heads, dim), zeros(*shape), zeros(*shape),
                                  slots, cache_mode="PA_NZ" if nz else "Norm")  # fmt: skip


def gather() -> None:
    """Keys and values of 4096 tokens from blocks in any order."""
    tokens, heads, dim, blocks, block_size = CACHE.values()
    table = torch.randperm(blocks, generator=torch.Generator().manual_seed(0))[: tokens // block_size]
    cache = zeros(blocks, block_size, heads, dim)
    npufa.npu_gather_pa_kv_cache(cache, cache, table.int().view(4, -1).npu(), torch.full((4,), tokens // 4).int().npu(),
                                 zeros(tokens, heads, dim), zeros(tokens, heads, dim))  # fmt: skip


BALANCED, UNEVEN = [1024] * 8, [3072, 2048, 1024, 768, 512, 384, 256, 128]
HEAD_FLOP = 4 * 20 * 128  # of both products, per pair, all heads
DECODE_BYTES = 2 * 16 * 8 * 8192 * 128
MLA_FLOP = 2.0 * MLA["batch"] * MLA["heads"] * MLA["keys"] * (2 * MLA["dim"] + MLA["rope"])
CACHE_BYTES = 4.0 * CACHE["tokens"] * CACHE["heads"] * CACHE["dim"] * 2  # keys and values, read and written
PROMPTS, DECODES = [1024, 2048], [4096] * 16
FULL, CAUSAL = HEAD_FLOP * pairs([8192]), HEAD_FLOP * pairs([8192], causal=True)

CASES = [
    Case("prefill fp16 B1 N20 S8192 D128", functools.partial(prefill, 0), "cube", 48.0, FULL),
    Case("prefill fp16 B1 N20 S8192 D128 causal", functools.partial(prefill, 2), "cube", 46.0, CAUSAL),
    Case("training fp16 B1 N20 S8192 D128", functools.partial(training, 0), "cube", 48.0, FULL),
    Case("training fp16 B1 N20 S8192 D128 causal", functools.partial(training, 2), "cube", 46.0, CAUSAL),
    Case("training fp16 TND N20 D128, 8 x 1024", functools.partial(packed, BALANCED), "cube", 0.0,
         HEAD_FLOP * pairs(BALANCED)),
    Case("training fp16 TND N20 D128, 3072 to 128", functools.partial(packed, UNEVEN), "cube", 0.0,
         HEAD_FLOP * pairs(UNEVEN)),
    Case("backward fp16 B1 N20 S8192 D128", functools.partial(backward, 0), "cube", 40.0, 2.5 * FULL),
    Case("backward fp16 B1 N20 S8192 D128 causal", functools.partial(backward, 2), "cube", 0.0, 2.5 * CAUSAL),
    Case("decode fp16 B16 N32/8 KV8192 D128", decode, "copy", 95.0, bytes=2.0 * DECODE_BYTES),
    Case("decode fp16 B16 N32/8 KV8192 D128 paged 128", functools.partial(decode, block_size=128), "copy", 96.0,
         bytes=2.0 * DECODE_BYTES),
    Case("decode fp16 B16 N32/8 KV8192 D128 paged 16", functools.partial(decode, block_size=16), "copy", 88.0,
         bytes=2.0 * DECODE_BYTES),
    Case("decode int8 B16 N32/8 KV8192 D128", functools.partial(decode, torch.int8), "copy", 0.0, bytes=DECODE_BYTES),
    Case("decode int4 B16 N32/8 KV8192 D128", functools.partial(decode, torch.int32), "copy", 0.0,
         bytes=DECODE_BYTES / 2),
    Case("decode e4m3 B16 N32/8 KV8192 D128", functools.partial(decode, torch.float8_e4m3fn), "copy", 0.0,
         bytes=DECODE_BYTES),
    Case("decode e5m2 B16 N32/8 KV8192 D128", functools.partial(decode, torch.float8_e5m2), "copy", 0.0,
         bytes=DECODE_BYTES),
    Case("decode fp16 paged 128, device lengths", functools.partial(decode, block_size=128, on_device=True),
         "copy", 95.0, bytes=2.0 * DECODE_BYTES),
    Case("training fp16 TND 3072 to 128, device lengths", functools.partial(packed, UNEVEN, True), "cube", 0.0,
         HEAD_FLOP * pairs(UNEVEN)),
    Case("scatter fp16 4096 tokens N8 D128", scatter, "HBM", 80.0, bytes=CACHE_BYTES),
    Case("scatter fp16 4096 tokens N8 D128 in order", functools.partial(scatter, in_order=True), "HBM", 80.0,
         bytes=CACHE_BYTES),
    Case("scatter fp16 4096 tokens N8 D128 NZ in order", functools.partial(scatter, True, True), "HBM", 80.0,
         bytes=CACHE_BYTES),
    Case("scatter fp16 4096 tokens N8 D128 NZ", functools.partial(scatter, nz=True), "HBM", 48.0, bytes=CACHE_BYTES),
    Case("gather fp16 4096 tokens N8 D128", gather, "HBM", 80.0, bytes=CACHE_BYTES),
    *(Case(f"decode fp16 B1 N32/8 KV{keys} D128", functools.partial(decode, batch=1, keys=keys), "copy", bar,
           bytes=2.0 * DECODE_BYTES * keys / (16 * 8192)) for keys, bar in ((2048, 64.0), (8192, 86.0), (32768, 94.0))),
    *(Case(f"training fp16 B8 N20 S{seq} D128", functools.partial(short, 8, 20, 20, seq), "cube", 0.0,
           8 * HEAD_FLOP * pairs([seq])) for seq in (256, 512, 1024)),
    Case("training fp16 B1 N64/1 S2048 D128", functools.partial(short, 1, 64, 1, 2048), "cube", 0.0,
         64 / 20 * HEAD_FLOP * pairs([2048])),
    *(Case(f"training fp16 TND {name}", functools.partial(mixed, prompts, decodes), "bound", 0.0)
      for name, prompts, decodes in (("prompts", PROMPTS, ()), ("decodes", (), DECODES), ("mixed", PROMPTS, DECODES))),
    *(Case(f"training fp16 N20 S2048 D{dim}{f'/{value_dim}' if value_dim else ''}",
           functools.partial(short, 1, 20, 20, 2048, dim, value_dim), "bound", 85.0)
      for dim, value_dim in ((64, 0), (80, 0), (96, 0), (192, 128), (256, 0))),
    # Its FLOP per byte lie beyond the ridge of the chip: the cube binds.
    Case("decode MLA fp16 B16 N128/1 KV8192 D512+64", mla_decode, "cube", 72.5, MLA_FLOP),
]  # fmt: skip

LONG = "training fp16 B1 N20 S8192 D128"
CONTIGUOUS = "decode fp16 B16 N32/8 KV8192 D128"
RATIOS = [
    Ratio("TND uneven over balanced", "training fp16 TND N20 D128, 3072 to 128", "training fp16 TND N20 D128, 8 x 1024",
          0.9),
    Ratio("TND device lengths over known ones", "training fp16 TND 3072 to 128, device lengths",
          "training fp16 TND N20 D128, 3072 to 128", 0.9),
    Ratio("B8 S256 over S8192", "training fp16 B8 N20 S256 D128", LONG, 0.0),
    Ratio("B8 S512 over S8192", "training fp16 B8 N20 S512 D128", LONG, 0.8),
    Ratio("B8 S1024 over S8192", "training fp16 B8 N20 S1024 D128", LONG, 0.8),
    Ratio("MQA with 64 heads over S8192", "training fp16 B1 N64/1 S2048 D128", LONG, 0.8),
    Ratio("its parts' times over a mixed batch's", "training fp16 TND prompts + training fp16 TND decodes",
          "training fp16 TND mixed", 0.8, of_times=True),
    Ratio("decode int8 faster than fp16", CONTIGUOUS, CONTIGUOUS.replace("fp16", "int8"), 1.8, of_times=True),
    Ratio("decode int4 faster than fp16", CONTIGUOUS, CONTIGUOUS.replace("fp16", "int4"), 0.0, of_times=True),
    Ratio("decode e4m3 faster than fp16", CONTIGUOUS, CONTIGUOUS.replace("fp16", "e4m3"), 1.2, of_times=True),
    Ratio("decode e5m2 faster than fp16", CONTIGUOUS, CONTIGUOUS.replace("fp16", "e5m2"), 1.3, of_times=True),
]


def verdict(value: float, bar: float) -> str:
    return "  below" if value < bar else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soc", default="Ascend910B3", help="the bars are for this chip (default: %(default)s)")
    parser.add_argument("--filter", default="", help="cases whose name holds every word")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    arguments = parser.parse_args()
    npufa.sim.enable(soc=arguments.soc, check=False)
    print(f"modelled on {arguments.soc}\n\n{'case':<46}{'% of peak':>15}{'us':>10}{'bar':>7}")
    short = 0
    measured: dict[str, tuple[float, float]] = {}
    rows: list[dict[str, object]] = []
    for case in CASES:
        if not all(word in case.name for word in arguments.filter.split()):
            continue
        share, us = measured[case.name] = case.measure()
        bar = f"{case.bar:.1f}" if case.bar else "-"
        short += share < case.bar
        print(f"{case.name:<46}{share:>10.1f} {case.unit:<4}{us:>10.0f}{bar:>7}{verdict(share, case.bar)}", flush=True)
        rows.append({"name": case.name, "percent": round(share, 1), "of": case.unit, "us": round(us, 1),
                     "bar": case.bar})
    for ratio in RATIOS:
        firsts = ratio.first.split(" + ")
        if all(name in measured for name in (*firsts, ratio.second)):
            index = 1 if ratio.of_times else 0
            value = sum(measured[name][index] for name in firsts) / measured[ratio.second][index]
            short += value < ratio.bar
            print(f"{ratio.name:<46}{value:>10.2f} {'':<14}{ratio.bar:>7.2f}{verdict(value, ratio.bar)}")
            rows.append({"name": ratio.name, "ratio": round(value, 2), "bar": ratio.bar})
    if arguments.json:
        environment = {"soc": arguments.soc, "npufa": npufa.__version__, "date": date.today().isoformat()}
        arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
