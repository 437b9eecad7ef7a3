"""Random legal calls of one kind on the simulated NPU: the reference's numbers, and nothing for the checks to report.

NPUFA_RANDOM_CALLS=50000 ./build.sh test -m slow tests/sim/ops   # more of the slow ones, per operator
"""

from __future__ import annotations

import contextlib
import os

from cases import random_case
from cases.device import core_groups
from cases.on_npu import on_npu

MANY = int(os.environ.get("NPUFA_RANDOM_CALLS", "3000"))
BATCH = 50
DEFAULT = range(10_000, 11_000, BATCH)
SLOW = range(100_000, 100_000 + MANY, BATCH)
SLOW_LONG = range(100_000, 100_000 + MANY // 10, BATCH)


# Core groups by seed: all of the chip's, or so few that each works on many tiles and sequences.
FEW = {0: 1, 1: 2}


def few_or_all_groups(seed: int):
    """The chip of random call number `seed`."""
    few = FEW.get(seed % 5)
    return contextlib.nullcontext() if few is None else core_groups(few)


def verify_calls(kind: str, first: int, count: int = BATCH, /, long: bool = False, **fixed) -> None:
    """`count` calls from seed `first` on, with features pinned as the case's generator takes them."""
    for seed in range(first, first + count):
        case = on_npu(random_case(kind, seed, long=long, **fixed))
        case.notes["core_groups"] = FEW.get(seed % 5, "all")
        with few_or_all_groups(seed):
            case.verify()
