"""Command line: python -m npufa info | doctor | run script.py [arguments] | serve-bench [options]."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

import npufa
from npufa import doctor
from npufa.compat import _command


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


def _print_info(arguments: argparse.Namespace) -> None:
    fields = dataclasses.asdict(npufa.info())
    if arguments.json:
        print(json.dumps(fields, indent=2))
    else:
        for name, value in fields.items():
            print(f"{name:<18}{_text(value)}")


def _serve_bench() -> None:
    try:
        from npufa.serving import bench
    except ImportError as error:
        sys.exit(f"python -m npufa serve-bench: {error}")
    sys.exit(bench.main(sys.argv[2:]))


def main() -> None:
    if sys.argv[1:2] == ["serve-bench"]:  # has its own parser: its options are known once transformers is imported
        _serve_bench()
    parser = argparse.ArgumentParser(prog="python -m npufa", description=npufa.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="versions, CPU instruction set, state of the NPU")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(execute=_print_info)
    doctor_parser = commands.add_parser("doctor", help="what is missing on this machine, and what runs where")
    doctor.add_options(doctor_parser)
    doctor_parser.set_defaults(execute=lambda options: sys.exit(doctor.run(options)))
    _command.add_to(commands)
    commands.add_parser("serve-bench", add_help=False,
                        help="throughput, latency and cache memory of continuous batching")
    arguments = parser.parse_args()
    arguments.execute(arguments)


if __name__ == "__main__":
    main()
