"""Modelled times of the Ascend C kernels on a simulated chip, against bars. Modelled, not measured: docs/time_model.md.

    .venv/bin/python benchmarks/npu_model.py [--soc Ascend910B3] [--filter causal]

A bar is the share of the cube's peak that the products a call really needs (its mask's pairs) must reach. Exit status 1
when a case falls short.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys

import torch

import npufa
import npufa.sim


@dataclasses.dataclass(frozen=True)
class Case:
    """One call: shapes, mask, and the least share of the cube's peak in percent."""

    name: str
    heads: int
    seq: int
    dim: int
    causal: bool
    bar: float

    def flop(self) -> float:
        """FLOP of both products over the pairs that take part."""
        pairs = self.seq * (self.seq + 1) / 2 if self.causal else self.seq * self.seq
        return 4.0 * self.heads * self.dim * pairs

    def run(self) -> None:
        query, key, value = (torch.zeros(1, self.heads, self.seq, self.dim, dtype=torch.half).npu() for _ in range(3))
        npufa.npu_prompt_flash_attention(
            query,
            key,
            value,
            num_heads=self.heads,
            input_layout="BNSD",
            scale_value=1.0 / math.sqrt(self.dim),
            sparse_mode=2 if self.causal else 0,
        )


CASES = [
    Case("prefill fp16 B1 N20 S8192 D128", 20, 8192, 128, False, 50.0),
    Case("prefill fp16 B1 N20 S8192 D128 causal", 20, 8192, 128, True, 45.0),
]


def measure(case: Case, alternative: bool = False) -> float:
    """Percent of the cube's peak in the model; `alternative` reads the one contested rate the slow way."""
    model = {"l0c_to_gm": 40.6} if alternative else None
    return npufa.sim.profile(case.run, useful_flop=case.flop(), model=model).useful_percent_of_peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soc", default="Ascend910B3", help="the bars are for this chip (default: %(default)s)")
    parser.add_argument("--filter", default="", help="cases whose name holds every word")
    arguments = parser.parse_args()
    npufa.sim.enable(soc=arguments.soc, check=False)
    print(f"modelled on {arguments.soc}, % of cube peak; slow rate: L0C to GM at 40.6 bytes per cycle\n")
    print(f"{'case':<42}{'model':>8}{'slow rate':>11}{'bar':>7}")
    short = 0
    for case in CASES:
        if not all(word in case.name for word in arguments.filter.split()):
            continue
        share = measure(case)
        short += share < case.bar
        verdict = "" if share >= case.bar else "  below"
        print(f"{case.name:<42}{share:>8.1f}{measure(case, True):>11.1f}{case.bar:>7.1f}{verdict}", flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
