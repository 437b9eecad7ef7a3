"""Every test: simulated kernels meet what hardware leaves open, by a seed that repeats (NPUFA_SIM_SHUFFLE)."""

import os

os.environ.setdefault("NPUFA_SIM_SHUFFLE", "1")

SLOW_GROUPS = ("draws", "programs", "builds", "limits")  # what each shows: tests/README.md


def pytest_collection_modifyitems(items):
    """Every slow test is in a group, so that -m 'slow(group="draws")' leaves none out of all four."""
    for item in items:
        for mark in item.iter_markers("slow"):
            if mark.kwargs.get("group") not in SLOW_GROUPS:
                raise ValueError(f"{item.nodeid}: slow(group=...) is one of {', '.join(SLOW_GROUPS)}, got {mark}")
