"""A process that calls operators whose kernels make mistakes, so that a crash or an endless loop ends only itself."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

from sim.checks.operator_calls import CALLS

TIMEOUT = 30  # seconds for the calls of one mutant


def _outcome(case) -> str | None:
    """What is wrong with a call; None when it is right and nothing is reported."""
    try:
        case.verify()
    except (AssertionError, RuntimeError) as error:
        return str(error)
    return None


def _serve(connection: Connection, kernels: list[Path]) -> None:
    """Answers (number of a mistake, operator's kernels) with what the first call that shows it says, or None."""
    import npufa.sim

    npufa.sim.enable()
    from cases.on_npu import on_npu

    numbers = [ctypes.c_int.in_dll(ctypes.CDLL(str(path)), "npufa_mutant") for path in kernels]

    @functools.cache
    def case(kernel: str, name: str):
        built = on_npu(CALLS[kernel][name]())
        built.expected = functools.cache(built.expected)
        return built

    while (request := connection.recv()) is not None:
        mutant, operators = request
        for number in numbers:
            number.value = mutant
        calls = ((kernel, name) for kernel in operators for name in CALLS[kernel])
        shown = (f"{call}: {text}" for call in calls if (text := _outcome(case(*call))) is not None)
        connection.send(next(shown, None))


class MutantWorker:
    """Calls with the libraries of `root` and the kernels at `paths`."""

    def __init__(self, root: Path, paths: list[Path]):
        self._root, self._paths = root, paths
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._paths), daemon=True)
        before = os.environ.get("NPUFA_LIBRARY_DIR")
        os.environ["NPUFA_LIBRARY_DIR"] = str(self._root)
        self._process.start()
        if before is None:
            del os.environ["NPUFA_LIBRARY_DIR"]
        else:
            os.environ["NPUFA_LIBRARY_DIR"] = before
        theirs.close()

    def shown(self, mutant: int, operators: list[str]) -> str | None:
        """How the mistake shows in the operators' calls; None when it does not."""
        try:
            self._connection.send((mutant, operators))
            if self._connection.poll(TIMEOUT):
                return self._connection.recv()
            self._process.kill()
            text = f"no end within {TIMEOUT} s"
        except (EOFError, OSError):
            self._process.join()
            text = f"the process ended with code {self._process.exitcode}"
        self._start()
        return text

    def close(self) -> None:
        self._connection.send(None)
        self._process.join()
