"""What batch-invariant results cost: time with `npufa.batch_invariant()` over time without, for batches of 1 to 32.

    .venv/bin/python benchmarks/batch_invariance.py [--cpu | --npu] [--soc Ascend910B3]

Times on the CPU are measured, those on the NPU modelled (docs/time_model.md). Exit status 1 where a batch of 8
sequences or more takes more than 1.15 times as long.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch

import npufa
import npufa.sim
from timing import measure

BAR, BAR_BATCH = 1.15, 8


def numbers(device: str, *shape: int) -> torch.Tensor:
    dtype = torch.bfloat16 if device == "cpu" else torch.float16
    return torch.zeros(shape, dtype=dtype, device=device)


def decode(device: str, batch: int, keys: int, heads: int = 32, kv_heads: int = 8) -> Callable[[], object]:
    query, cache = numbers(device, batch, heads, 1, 128), numbers(device, batch, kv_heads, keys, 128)
    return lambda: npufa.npu_incre_flash_attention(query, cache, cache, num_heads=heads, num_key_value_heads=kv_heads,
                                                   scale_value=128**-0.5, input_layout="BNSD")  # fmt: skip


def prefill(device: str, batch: int, tokens: int, heads: int = 20) -> Callable[[], object]:
    query, key, value = (numbers(device, batch, heads, tokens, 128) for _ in range(3))
    return lambda: npufa.npu_prompt_flash_attention(query, key, value, num_heads=heads, input_layout="BNSD",
                                                    scale_value=128**-0.5, sparse_mode=2)  # fmt: skip


def backward(device: str, batch: int, tokens: int, heads: int = 20) -> Callable[[], object]:
    query, key, value = (numbers(device, batch, heads, tokens, 128) for _ in range(3))
    statistic = torch.ones(batch, heads, tokens, 8, device=device)
    return lambda: npufa.npu_fusion_attention_grad(
        query, key, value, query, heads, "BNSD", attention_in=query, softmax_max=statistic, softmax_sum=statistic,
        scale_value=128**-0.5, sparse_mode=2)  # fmt: skip


KINDS = {
    "decode N32/8 KV2048": lambda device, batch: decode(device, batch, 2048),
    "decode N32/8 KV8192": lambda device, batch: decode(device, batch, 8192),
    "prefill N20 S1024 causal": lambda device, batch: prefill(device, batch, 1024),
    "backward N20 S1024 causal": lambda device, batch: backward(device, batch, 1024),
}
BATCHES = (1, 8, 32)


def ratio_on_cpu(call: Callable[[], object]) -> float:
    def invariant() -> tuple:
        with npufa.batch_invariant():
            call()
        return ()

    return measure(lambda: (call(), ())[1], invariant, seconds=2.0).ratio


def ratio_on_npu(call: Callable[[], object]) -> float:
    usual = npufa.sim.profile(call).us
    with npufa.batch_invariant():
        return npufa.sim.profile(call).us / usual


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="the CPU only")
    parser.add_argument("--npu", action="store_true", help="the NPU only")
    parser.add_argument("--soc", default="Ascend910B3", help="chip (default: %(default)s)")
    arguments = parser.parse_args()
    devices = {"cpu": ratio_on_cpu} if not arguments.npu else {}
    if not arguments.cpu:
        npufa.sim.enable(soc=arguments.soc, check=False)
        devices["npu"] = ratio_on_npu
    over = 0
    print(f"{'time, batch-invariant / usual':<36}" + "".join(f"{f'B{batch}':>8}" for batch in BATCHES))
    for device, ratio_of in devices.items():
        for name, make in KINDS.items():
            ratios = [ratio_of(make(device, batch)) for batch in BATCHES]
            over += sum(ratio > BAR for ratio, batch in zip(ratios, BATCHES) if batch >= BAR_BATCH)
            print(f"{f'{device} {name}':<36}" + "".join(f"{ratio:>8.2f}" for ratio in ratios), flush=True)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
