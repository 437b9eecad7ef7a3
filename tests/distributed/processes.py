"""Processes in which tests run a function on every rank of a group.

    results = on_ranks(size, function, *arguments)     # function(group, rank, *arguments) of an importable module

The processes are started once; groups of `size` are the last ones of the four, so that ranks in a group differ from
ranks in the world. Results come back in the order of ranks.
"""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

WORLD = 4
GROUP_TIMEOUT, TIMEOUT = 20, 120  # seconds; a collective that some ranks do not join must fail, not hang


def _packed(thing) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def _unpacked(data: bytes):
    return torch.load(io.BytesIO(data), weights_only=False)


def _serve(rank: int, store: str, connection) -> None:
    torch.set_num_threads(1)
    os.environ["NPUFA_SIM_DEVICES"] = str(WORLD)  # for what simulates an NPU per rank
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD,
                            timeout=timedelta(seconds=GROUP_TIMEOUT))
    groups = {size: dist.new_group([*range(WORLD - size, WORLD)]) for size in range(1, WORLD)} | {WORLD: None}
    while (request := connection.recv_bytes()) != b"":
        size, function, arguments = _unpacked(request)
        try:
            answer = (function(groups[size], rank - WORLD + size, *arguments), None)
        except BaseException:
            answer = (None, traceback.format_exc())
        connection.send_bytes(_packed(answer))
    dist.destroy_process_group()


class _Pool:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.folder = tempfile.TemporaryDirectory()
        store = str(Path(self.folder.name) / "store")
        self.connections, self.processes = [], []
        for rank in range(WORLD):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, store, theirs), daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)
        atexit.register(self.end)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        self.folder.cleanup()

    def run(self, size: int, function, arguments) -> list:
        members = self.connections[WORLD - size:]
        for connection in members:
            connection.send_bytes(_packed((size, function, arguments)))
        answers = []
        for rank, connection in enumerate(members):
            if not connection.poll(TIMEOUT):
                answers.append((None, f"no answer of rank {rank} within {TIMEOUT} s"))
                continue
            try:
                answers.append(_unpacked(connection.recv_bytes()))
            except (EOFError, OSError):
                answers.append((None, f"the process of rank {rank} ended"))
        failures = [failure for _, failure in answers if failure is not None]
        if failures:
            self.end()
            pytest.fail("\n".join(failures), pytrace=False)
        return [answer for answer, _ in answers]


_pool: _Pool | None = None


def on_ranks(size: int, function, *arguments) -> list:
    global _pool
    if _pool is None or not all(process.is_alive() for process in _pool.processes):
        _pool = _Pool()
    return _pool.run(size, function, arguments)


def end() -> None:
    """Ends the processes, after a test that left them changed; the next one gets new ones."""
    if _pool is not None:
        _pool.end()
