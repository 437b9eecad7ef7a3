"""Compares npufa with other attention on the CPU, and with what the machine can do, in one process.

Other sides: torch's scaled_dot_product_attention, ONNX Runtime, a plain read of the cache (its ratio is the fraction of
the measured read bandwidth), and npufa itself on a related problem.

    python benchmarks/attention.py                      every case, about twenty minutes
    python benchmarks/attention.py --quick              the short cases
    python benchmarks/attention.py --filter 'decode bf16'   cases whose name holds every word
    python benchmarks/attention.py --check              exit code 1 when a case is below its bar beyond the noise

A ratio above 1 means that npufa is faster; the calls alternate. The noise is half the 95 % confidence interval of the
median ratio. Before that both results are compared with float64: an error above the other side's ends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch

import machine
import npufa
from cases import NAMES, Case, Sides
from decode_cases import decode_cases
from overhead_cases import overhead_cases
from peer_cases import peer_cases
from prefill_cases import prefill_cases
from timing import Measurement, measure, relative_errors
from training_cases import training_cases
from varlen_cases import varlen_cases

# Both sides round results to their type: a hundredth is left to chance, and what is below a rounding of float32.
ERROR_MARGIN, ERROR_FLOOR = 1.01, 1e-7


def all_cases() -> list[Case]:
    """The table."""
    groups = (prefill_cases, training_cases, decode_cases, varlen_cases, overhead_cases, peer_cases)
    return [case for group in groups for case in group()]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: Case
    errors: tuple[float, float] | None  # ours and the other side's, of the result in which ours is the worst
    measurement: Measurement

    @property
    def verdict(self) -> str:
        bar, result = self.case.bar, self.measurement
        if bar is None:
            return ""
        if result.ratio >= bar:
            return "ok"
        return "within noise" if result.ratio + result.noise >= bar else "BELOW"

    def as_json(self) -> dict[str, object]:
        case = self.case
        names = {"group": case.group, "operator": case.operator, "problem": case.problem, "dtype": NAMES[case.dtype]}
        names["against"] = case.against
        return names | asdict(self.measurement) | {"bar": case.bar, "errors": self.errors, "verdict": self.verdict}


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment() -> dict[str, str]:
    """What the numbers depend on."""
    info = npufa.info()
    return {
        "machine": f"{processor()}, {os.cpu_count()} CPUs, {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "torch": f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})",
        "read": f"{machine.read_bandwidth() / 1e9:.1f} GB/s",
        "npufa": f"{info.npufa} ({info.cpu_capability})",
        "load": f"{os.getloadavg()[0]:.1f}",
        "date": date.today().isoformat(),
    }


def compare(case: Case, sides: Sides) -> tuple[float, float] | None:
    """Errors of both sides against float64; ends the run where ours is the larger."""
    if sides.accuracy is None:
        return None
    exact = sides.accuracy.exact()
    ours = relative_errors(sides.accuracy.part(sides.ours()), exact)
    other = relative_errors(sides.accuracy.other(sides.other()), exact)
    mine, theirs = max(zip(ours, other, strict=True), key=lambda pair: pair[0] / max(pair[1], ERROR_FLOOR))
    if not mine <= max(theirs * ERROR_MARGIN, ERROR_FLOOR):
        raise SystemExit(f"{case.name}: relative error {mine:.2e}; {case.against} has {theirs:.2e}")
    return mine, theirs


def run_case(case: Case, seconds: float) -> Row:
    """Compares both sides with float64, then times them."""
    sides = case.build()
    return Row(case, compare(case, sides), measure(sides.ours, sides.other, seconds))


def show_progress(text: str) -> None:
    """Rewrites one line of a terminal; does nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class Table:
    """Prints each row as soon as it is measured."""

    def __init__(self, cases: list[Case]) -> None:
        self.width = max(len(case.problem) for case in cases)
        self.group = ""
        print(
            f"{'operator':32s}{'problem':{self.width}s} {'dtype':5s}{'against':20s}{'npufa ms':>9s}{'other ms':>9s}"
            f"{'ratio':>7s}{'noise':>6s}{'bar':>5s}{'error':>8s}{'other':>8s}"
        )

    def add(self, row: Row) -> None:
        case, result = row.case, row.measurement
        if case.group != self.group:
            self.group = case.group
            print(f"-- {self.group}")
        bar = "" if case.bar is None else f"{case.bar:.2g}"
        times = f"{result.ours * 1e3:9.3f}{result.other * 1e3:9.3f}{result.ratio:7.2f}{result.noise:6.2f}{bar:>5s}"
        errors = "".join(f"{error:8.1e}" for error in row.errors) if row.errors else " " * 16
        problem = f"{case.operator:32s}{case.problem:{self.width}s} {NAMES[case.dtype]:5s}{case.against:20s}"
        print(f"{problem}{times}{errors}  {row.verdict}".rstrip(), flush=True)


def select(words: str, quick: bool) -> list[Case]:
    """The cases of the table that were asked for."""
    cases = [case for case in all_cases() if all(word in case.name for word in words.split())]
    return [case for case in cases if case.quick or not quick]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short cases, one second each")
    parser.add_argument(
        "--filter",
        default="",
        metavar="WORDS",
        help="only cases whose name holds every word, e.g. 'prefill S2048 bf16'",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a case is below its bar by more than the noise"
    )
    parser.add_argument("--seconds", type=float, help="time per case (default 1.5, with --quick 1)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    cases = select(arguments.filter, arguments.quick)
    if not cases:
        print("no case has all the words of --filter; --list prints the names", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    header = environment()
    for name, value in header.items():
        print(f"{name:8s} {value}")
    seconds = arguments.seconds or (1.0 if arguments.quick else 1.5)
    rows, table = [], Table(cases)
    for number, case in enumerate(cases, 1):
        show_progress(f"[{number}/{len(cases)}] {case.name}")
        with torch.set_grad_enabled(case.group == "forward+backward"):
            rows.append(run_case(case, seconds))
        show_progress("")
        table.add(rows[-1])
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"environment": header, "rows": [row.as_json() for row in rows]}, indent=1) + "\n"
        )
    below = [row for row in rows if row.verdict == "BELOW"]
    barred = sum(row.case.bar is not None for row in rows)
    print(f"{barred - len(below)} of {barred} cases with a bar reach it (noise counted in their favour)")
    return 1 if arguments.check and below else 0


if __name__ == "__main__":
    sys.exit(main())
