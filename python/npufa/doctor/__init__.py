"""`python -m npufa doctor`: what is installed on this machine, what is missing for what, and what to do.

Nothing here imports torch; a process of its own does (probe.py), so that a broken installation is a finding.
"""

from __future__ import annotations

import argparse
import sys

from . import cann, machine, package, simulator
from .host import Host, has_module
from .probing import Step, probe
from .report import OK, Finding, Report, Target
from .targets import targets

__all__ = ["Finding", "Host", "Report", "Target", "diagnose", "main"]

REQUIRABLE = ("npu", "sim", "graph", "aclgraph")


def diagnose(host: Host | None = None) -> Report:
    """Looks at everything, takes some seconds (torch is imported by another process), changes nothing.

    Args:
        host: the machine; this one by default.
    """
    host = host or Host()
    torch_npu = machine.torch_npu()
    has_cann = cann.library(host).state == OK
    steps = ["torch", "npufa", "sim"] + (["torch_npu"] if has_cann and torch_npu.state == OK else [])
    results = probe(host, steps) if has_module("torch") else dict.fromkeys(steps, Step({}, "torch is not installed"))
    findings = [
        *machine.machine(host),
        machine.python(),
        machine.tested(),
        machine.torch(results["torch"]),
        *machine.autoload(),
        machine.npufa(results["npufa"]),
        torch_npu,
        cann.torch_npu(results.get("torch_npu"), package.chips(host)),
        *machine.torchair(),
        *cann.findings(host),
        *package.findings(host),
        simulator.libraries(host, results["sim"]),
    ]
    return Report(findings, targets(findings, has_cann))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.description = ("What is installed on this machine, what is missing, and what runs. "
                          "The exit status is 1 when CPU tensors do not work.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--require", action="append", default=[], choices=REQUIRABLE,
                        help="exit with status 1 also when this does not work; may be repeated")


def main(arguments: list[str]) -> int:
    """The command with these arguments; see `run`."""
    parser = argparse.ArgumentParser(prog="python -m npufa doctor")
    add_options(parser)
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Prints the report.

    Returns:
        Exit status: 0 when CPU tensors and everything required work, else 1.
    """
    report = diagnose()
    print(report.as_json() if options.json else report.as_text())
    failed = [name for name in dict.fromkeys(["cpu", *options.require]) if not report.works(name)]
    if failed:
        print(f"npufa doctor: does not work here: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
