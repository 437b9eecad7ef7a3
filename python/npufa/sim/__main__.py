"""Command line: python -m npufa.sim run script.py or program.asc [arguments], python -m npufa.sim chips."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from .. import _autoload, _script
from . import chips, enable, profile, program
from ._session import DEFAULT_SOC, set_devices
from .profiling import ProfileError, ProfileReport


def _run(arguments: argparse.Namespace) -> None:
    if program.is_source(arguments.script):
        return _run_program(arguments)
    _script.require(arguments.script, "python -m npufa.sim run")
    if arguments.devices is not None:
        set_devices(arguments.devices)
    if arguments.children:
        _autoload.ask_children(arguments.soc, check=not arguments.no_check)
        _autoload.simulate_if_asked()
    else:
        enable(arguments.soc, check=not arguments.no_check, force=arguments.force)
    if not _profiles(arguments):
        _script.run(arguments.script, arguments.arguments)
        return
    _finish(profile(_exit_code, arguments.script, arguments.arguments), arguments)


def _profiles(arguments: argparse.Namespace) -> bool:
    return arguments.profile or arguments.trace is not None or arguments.html is not None


def _finish(report: ProfileReport, arguments: argparse.Namespace) -> NoReturn:
    print(report)
    status = report.result
    try:
        if arguments.html is not None:
            report.save_html(arguments.html, title=" ".join([Path(arguments.script).name, *arguments.arguments]))
        if arguments.trace is not None:
            report.save_trace(arguments.trace)
    except ProfileError as error:
        print(f"python -m npufa.sim run: {error}", file=sys.stderr)
        status = status or 1
    sys.exit(status)


def _run_program(arguments: argparse.Namespace) -> None:
    sources = [arguments.script]
    words = arguments.arguments
    while words and program.is_source(words[0]) and Path(words[0]).is_file():
        sources.append(words.pop(0))
    if words[:1] == ["--"]:
        words.pop(0)
    for source in sources:
        _script.require(source, "python -m npufa.sim run")
    options = {"include": arguments.include, "defines": arguments.define, "soc": arguments.soc,
               "check": not arguments.no_check, "auto_sync": not arguments.no_auto_sync}  # fmt: skip
    try:
        if not _profiles(arguments):
            sys.exit(program.run_program(sources, words, **options))
        report = profile(program.run_program, sources, words, **options)
    except (program.CompileError, program.ProgramError, ValueError) as error:
        sys.exit(f"python -m npufa.sim run: {error}")
    _finish(report, arguments)


def _exit_code(script: str, arguments: list[str]) -> Any:
    """Runs the script; returns what it passed to sys.exit, so that its profile survives that, and 1 where it raised."""
    try:
        _script.run(script, arguments)
    except SystemExit as end:
        return end.code
    except Exception:
        traceback.print_exc()
        return 1
    return None


def _chips() -> None:
    rows = [("chip", "cube cores", "vector cores", "MHz", "HBM GiB", "L2 MiB")]
    for name, facts in chips().items():
        number = {fact: float(value) for fact, value in facts.items() if not isinstance(value, str)}
        rows.append((name, f"{number['aic_count']:.0f}", f"{number['aiv_count']:.0f}", f"{number['clock_mhz']:.0f}",
                     f"{number['hbm_bytes'] / 2**30:.0f}", f"{number['l2_bytes'] / 2**20:.0f}"))
    for first, *rest in rows:
        print(f"{first:<16}" + "".join(f"{cell:>14}" for cell in rest))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m npufa.sim", description="The simulated Ascend NPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a Python script, or an Ascend C program, on a simulated chip")
    run.add_argument("--soc", default=DEFAULT_SOC, help="the chip (default: %(default)s)")
    run.add_argument("--devices", type=int, choices=range(1, 17), metavar="N",
                     help="of a script: chips for the process and its children (default: NPUFA_SIM_DEVICES, or 1)")
    run.add_argument("--no-check", action="store_true", help="do not check kernels: faster")
    run.add_argument("--trace", metavar="FILE", help="profile the whole script; print the table and save the trace, "
                     "which ui.perfetto.dev opens")
    run.add_argument("--html", metavar="FILE", help="profile likewise; print the table and save a page for a browser: "
                     "timelines, pipes, findings beside the source")
    run.add_argument("--profile", action="store_true", help="print the modelled time of every kernel")
    run.add_argument("-I", dest="include", metavar="DIRECTORY", action="append", default=[],
                     help="of a program: a directory of headers")
    run.add_argument("-D", dest="define", metavar="NAME=VALUE", action="append", default=[],
                     help="of a program: a macro")
    run.add_argument("--no-auto-sync", action="store_true", help="of a program: as compiled with --cce-auto-sync=off")
    run.add_argument("--children", action="store_true", help="of a script: route torch_npu's operators to npufa, here "
                     "and in the processes it starts, which simulate, too (NPUFA_SIM)")
    run.add_argument("--force", action="store_true", help="simulate although this host has a CANN")
    run.add_argument("script", help=".py, or .asc and .cpp with a main(); more sources may follow")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script or program")
    commands.add_parser("chips", help="list the known chips")
    arguments = parser.parse_args()
    if arguments.command == "run" and arguments.children and arguments.force:
        run.error("--children: a host with a CANN cannot be simulated by several processes; leave out --force")
    if arguments.command == "run":
        _run(arguments)
    else:
        _chips()


if __name__ == "__main__":
    main()
