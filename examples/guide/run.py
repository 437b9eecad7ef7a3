"""Runs the usage guide's code samples on npufa, each with its section's number, and checks what the guide promises.

    python examples/guide/run.py                 all sections on the CPU
    python examples/guide/run.py 4.3 7           some
    python examples/guide/run.py --npu 2.2       on an NPU; without one, on the simulated chip (slow)
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from report import Report


def sections() -> dict[str, str]:
    """Number ("4.3") and module of every section, in the guide's order."""
    names = sorted(path.stem for path in HERE.glob("section_*.py"))
    return {".".join(name.split("_")[1:3]): name for name in names}


def prepare(npu: bool) -> str:
    """Returns the device; an NPU is simulated where there is no CANN."""
    if not npu:
        return "cpu"
    import npufa.sim

    npufa.sim.enable()
    return "npu"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="numbers such as 4.3, or chapters such as 4")
    parser.add_argument("--npu", action="store_true", help="tensors on the NPU")
    arguments = parser.parse_args()
    found = sections()
    asked = [number for number in found
             if not arguments.sections or number in arguments.sections or number.split(".")[0] in arguments.sections]
    unknown = [text for text in arguments.sections if not any(n == text or n.split(".")[0] == text for n in found)]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(found)}")
    device = prepare(arguments.npu)
    report = Report()
    for number in asked:
        module = importlib.import_module(found[number])
        title = (module.__doc__ or "").splitlines()[0].partition(": ")[2]
        report.part(f"{number} {title[:1].upper()}{title[1:]}")
        torch.manual_seed(0)
        module.show(report, device)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
