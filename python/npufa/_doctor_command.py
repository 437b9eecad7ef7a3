"""`python -m npufa doctor` must run where torch is missing or broken, so that it starts before npufa loads torch."""

from __future__ import annotations

import sys


def arguments_of(argv: list[str], command_line: list[str]) -> list[str] | None:
    """Arguments of the doctor when the process is `python -m npufa doctor ...`, else None.

    Args:
        argv: `sys.argv`, which is ["-m", arguments...] while Python looks for the module that it shall run.
        command_line: `sys.orig_argv`.
    """
    if argv[:2] != ["-m", "doctor"] or command_line[-len(argv)] not in ("npufa", "-mnpufa"):
        return None
    return argv[2:]


def run_if_asked() -> None:
    """Ends the process with the doctor's status when it was started for that."""
    arguments = arguments_of(sys.argv, sys.orig_argv)
    if arguments is not None:
        from .doctor import main

        sys.exit(main(arguments))
