"""Tests on the NPU (simulated, unless CANN is installed): one process with torch_npu for all of them, so that the
others run without it.

    @on_device
    def test_something(): ...   # executed in that process; arguments (pytest's parameters) are pickled
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.metadata
import importlib.util
import multiprocessing
import os
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

SOC = "Ascend910B3"
LIMIT = float(os.environ.get("PYTEST_TIMEOUT", 120))  # pytest-timeout's own variable, and the default of pytest.ini
TIMEOUT = LIMIT / 2  # seconds; a test of a broken queue or event may never end
START = max(300, LIMIT)  # seconds until the device is there
# After a capture that failed torch_npu up to 2.12 counts one as under way until the process ends.
CAPTURES_RECOVER = tuple(map(int, importlib.metadata.version("torch").split(".")[:2])) >= (2, 13)

_in_worker = False


def _load(path: str):
    spec = importlib.util.spec_from_file_location("on_device_" + Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _serve(connection: Connection) -> None:
    global _in_worker
    _in_worker = True
    import npufa.sim

    npufa.sim.enable(SOC)
    connection.send(None)
    load = functools.cache(_load)
    while (request := connection.recv()) is not None:
        path, name, arguments = request
        try:
            getattr(load(path), name)(**arguments)
            connection.send(None)
        except BaseException:
            connection.send(traceback.format_exc())


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        self.started = False
        theirs.close()
        atexit.register(self.process.kill)  # npugraph_ex makes a process ignore SIGTERM, which the end would wait for

    def run(self, *request) -> str | None:
        """Returns the traceback of a failure."""
        try:
            if not self.started:
                if not self.connection.poll(START):
                    self.process.kill()
                    return f"no device within {START} s"
                self.connection.recv()
                self.started = True
            self.connection.send(request)
            if self.connection.poll(TIMEOUT):
                return self.connection.recv()
            self.process.kill()
            return f"no answer within {TIMEOUT:.0f} s"
        except (EOFError, OSError):
            self.process.join()
            return f"the process with the device ended with code {self.process.exitcode}"


_worker: _Worker | None = None


@contextlib.contextmanager
def core_groups(count: int):
    """Inside such a test: a chip with `count` cube cores and two vector cores for each, so that a group sees many
    tiles.

    torch.npu.set_device_limit does this once per process.
    """
    import torch
    import torch_npu

    def limit(cube_core_num: int, vector_core_num: int) -> None:
        for kind, number in enumerate((cube_core_num, vector_core_num)):
            torch_npu._C._npu_set_device_res_limit(0, kind, number)

    torch.npu.set_device(0)
    before = torch.npu.get_device_limit(0)
    limit(count, 2 * count)
    try:
        yield
    finally:
        limit(**before)


def fails_a_capture(test):
    """Marks a test (below `on_device`) whose process serves no other one where captures do not recover."""
    test.fails_a_capture = True
    return test


def on_device(test):
    """Runs the test where `torch.npu` is a simulated Ascend910B3 or, where CANN is installed, a real chip."""

    @functools.wraps(test)
    def run(**arguments):
        global _worker
        if _in_worker:
            test(**arguments)
            return
        if _worker is None or not _worker.process.is_alive():
            _worker = _Worker()
        failure = _worker.run(test.__code__.co_filename, test.__name__, arguments)
        if getattr(test, "fails_a_capture", False) and not CAPTURES_RECOVER:
            _worker.process.kill()
            _worker = None
        if failure is not None:
            pytest.fail(failure, pytrace=False)

    return run
