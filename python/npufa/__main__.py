"""Command line: python -m npufa info."""

from __future__ import annotations

import argparse
import dataclasses
import json

import npufa


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m npufa", description=npufa.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="versions, CPU instruction set, state of the NPU")
    info.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()

    fields = dataclasses.asdict(npufa.info())
    if arguments.json:
        print(json.dumps(fields, indent=2))
    else:
        for name, value in fields.items():
            print(f"{name:<18}{_text(value)}")


if __name__ == "__main__":
    main()
