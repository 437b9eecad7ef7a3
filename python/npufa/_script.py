"""Running somebody's script in this process, after npufa has prepared it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def require(script: str, command: str) -> None:
    """Ends the process with a message of `command` unless `script` is a file."""
    if not Path(script).is_file():
        raise SystemExit(f"{command}: {script} is not a file")


def run(script: str, arguments: list[str]) -> None:
    """Runs `script` as `python script arguments...` would: its `sys.argv`, `sys.path[0]` and name `__main__`."""
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


def run_module(module: str, arguments: list[str]) -> None:
    """Runs `module` as `python -m module arguments...` would."""
    sys.argv = [module, *arguments]
    sys.path[0] = str(Path.cwd())
    runpy.run_module(module, run_name="__main__", alter_sys=True)
