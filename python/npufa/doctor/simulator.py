"""The simulator: its libraries and the processor that they need."""

from __future__ import annotations

import platform

from .host import Host
from .machine import processor
from .probing import Step
from .report import MISSING, OK, WRONG, Finding

PART = "simulator"


def libraries(host: Host, step: Step) -> Finding:
    name, flags = processor(host)
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return Finding(PART, "libraries", WRONG, f"{name} has no AVX2", "Use an x86-64 CPU with AVX2.")
    if step.error:
        return Finding(PART, "libraries", MISSING, step.error,
                       "Repair npufa first; if npufa is fine, reinstall its wheel or run ./build.sh build.")
    return Finding(PART, "libraries", OK, "chips " + ", ".join(step.values.get("chips", [])))
