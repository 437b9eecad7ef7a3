"""`vllm serve` on loopback, driven by OpenAI's client: eight streams at a time."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START = 900  # seconds until the server answers


@contextlib.contextmanager
def server(model: Path, options: list[str]) -> Iterator[str]:
    """Address of a server for the model, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model), "--host", "127.0.0.1",
               "--port", str(port), "--served-model-name", "tiny", *options]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"})
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen, address: str) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"vllm serve ended with {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(1)
    raise SystemExit(f"vllm serve does not answer after {START} s")


def stream_all(address: str, token_ids: list[list[int]], count: int) -> tuple[list[list[int]], int]:
    """Greedy tokens of all prompts, requested at once, and the number of streamed pieces."""
    from openai import OpenAI

    client = OpenAI(base_url=address, api_key="none", max_retries=0, timeout=START)

    def stream(ids: list[int]) -> tuple[list[int], int]:
        tokens: list[int] = []
        pieces = 0
        more = {"ignore_eos": True, "min_tokens": count, "return_token_ids": True}
        for piece in client.completions.create(model="tiny", prompt=ids, max_tokens=count, temperature=0, stream=True,
                                               extra_body=more):
            pieces += 1
            for choice in piece.choices:
                tokens += (choice.model_extra or {}).get("token_ids") or []
        return tokens, pieces

    with concurrent.futures.ThreadPoolExecutor(len(token_ids)) as pool:
        results = list(pool.map(stream, token_ids))
    return [tokens for tokens, _ in results], sum(pieces for _, pieces in results)
