"""Published times of other projects' attention kernels, and our forward pass, modelled, on the same problem."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import torch

import npufa
import npufa.sim

SOC, CORES = "Ascend910B2", 24
SHARED = ("l2_bandwidth", "hbm_bandwidth")


@dataclasses.dataclass(frozen=True)
class Case:
    """One head of size 128, fp16, no mask."""

    name: str
    queries: int
    keys: int
    measured_us: float
    cores: int = 0  # 0: all, and the launch is part of the measurement

    @property
    def flop(self) -> float:
        return 4.0 * self.queries * self.keys * 128


def square(length: int, tflops: float, whose: str) -> Case:
    flop = 4.0 * length * length * 128
    return Case(f"{whose}, one head, S {length}", length, length, flop / tflops * 1e-6)


def rows(cores: int, us: float) -> Case:
    """Our kernel spreads one tile over the chip. So: a tile on each of its cores, and as much of L2 and HBM for each as
    if it were one of so many."""
    return Case(f"pto-isa, 128 x 8192 on each of {cores} cores", 128 * CORES, 8192, us, cores)


LENGTHS = (4096, 8192, 16384, 32768)
CASES = [
    *(square(n, t, "pto-isa") for n, t in zip(LENGTHS, (96.6, 117.4, 151.2, 168.5))),
    *(square(n, t, "torch_npu") for n, t in zip(LENGTHS, (72.6, 97.3, 122.9, 150.8))),
    rows(1, 74.5), rows(4, 86.3), rows(8, 107.3),
]  # fmt: skip


def parameter(name: str) -> float:
    """Of the time model, as it stands."""
    source = Path(__file__).resolve().parents[2] / "sim" / "chip" / "chips.json"
    return json.loads(source.read_text())["model"][name]["value"]


@functools.cache
def forward(queries: int, keys: int, cores: int = 0) -> npufa.sim.ProfileReport:
    model = {name: parameter(name) * CORES / cores for name in SHARED} if cores else {}
    if cores == 1:
        model["shared_read"] = 1.0
    npufa.sim.enable(soc=SOC, check=False)
    query, key, value = [torch.zeros(1, 1, n, 128, dtype=torch.float16, device="npu") for n in (queries, keys, keys)]
    return npufa.sim.profile(npufa.npu_prompt_flash_attention, query, key, value, num_heads=1, input_layout="BNSD",
                             scale_value=128**-0.5, next_tokens=2**31 - 1, model=model)  # fmt: skip


def modelled_us(case: Case) -> float:
    report = forward(case.queries, case.keys, case.cores)
    return report.us if case.cores else report.us + report.launch_us
