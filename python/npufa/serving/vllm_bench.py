"""The requests of `serve-bench` served by vLLM, with the figures of our engine."""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from .bench import COMMAND, Result, Workload


class VllmServer:
    """vLLM's engine in this process, eager, with a cache of as many blocks as ours."""

    def __init__(self, llm: Any, bytes_per_token: float) -> None:
        self._llm = llm
        self._cache = llm.llm_engine.vllm_config.cache_config
        self._bytes_per_token = bytes_per_token

    def measure(self, load: Workload, label: str) -> Result:
        """Serves all requests out of an empty cache, with a progress bar of generated tokens on standard error."""
        self._llm.reset_prefix_cache()
        preempted, seen = self._metrics()["vllm:num_preemptions"], _Seen(len(load.prompts))
        peak_usage = peak_running = 0.0
        with tqdm(total=sum(load.new_tokens), desc=label, unit="token", leave=False, mininterval=0.2) as bar:
            begin = time.perf_counter()
            self._add(load)
            while self._llm.llm_engine.has_unfinished_requests():
                bar.update(seen.add(self._llm.llm_engine.step(), time.perf_counter() - begin))
                metrics = self._metrics()
                peak_usage = max(peak_usage, metrics["vllm:kv_cache_usage_perc"])
                peak_running = max(peak_running, metrics["vllm:num_requests_running"])
            seconds = time.perf_counter() - begin
        blocks = round(peak_usage * (self._cache.num_gpu_blocks - 1))  # one is vLLM's own
        preemptions = int(metrics["vllm:num_preemptions"] - preempted)
        return Result(
            seconds, sum(load.new_tokens) / seconds, statistics.fmean(seen.first),
            statistics.fmean(seen.between or [0.0]), preemptions, int(peak_running),
            round(blocks * self._cache.block_size * self._bytes_per_token),
            peak_running * load.max_length * self._bytes_per_token, self._bytes_per_token, seen.tokens)

    def _add(self, load: Workload) -> None:
        from vllm import SamplingParams

        for number, (prompt, count) in enumerate(zip(load.prompts, load.new_tokens)):
            params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, detokenize=False)
            self._llm.llm_engine.add_request(str(number), {"prompt_token_ids": prompt}, params)

    def _metrics(self) -> dict[str, float]:
        return {metric.name: metric.value for metric in self._llm.get_metrics() if hasattr(metric, "value")}


class _Seen:
    """Tokens of every request with the seconds until the first and between the others."""

    def __init__(self, requests: int) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(requests)]
        self.first: list[float] = []
        self.between: list[float] = []
        self._last: dict[int, float] = {}

    def add(self, outputs: list[Any], now: float) -> int:
        """Takes over what a step returned; how many tokens are new."""
        new = 0
        for output in outputs:
            number, tokens = int(output.request_id), list(output.outputs[0].token_ids)
            came = len(tokens) - len(self.tokens[number])
            if came:
                since = now - self._last.get(number, 0.0)
                (self.between if number in self._last else self.first).append(since / came)
                self._last[number], self.tokens[number] = now, tokens
            new += came
        return new


@contextmanager
def vllm_server(
    model: PreTrainedModel, load: Workload, device: str, *, max_num_seqs: int, num_blocks: int, block_size: int
) -> Iterator[VllmServer]:
    """vLLM with the weights of this model.

    Raises:
        SystemExit: vLLM is not installed, or is one for another device.
    """
    _check(device)
    # Where it can be measured, and where a simulated chip is.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM

    with tempfile.TemporaryDirectory(prefix="npufa-serve-bench-") as folder:
        model.save_pretrained(folder)
        llm = LLM(
            folder, skip_tokenizer_init=True, dtype=str(model.dtype).removeprefix("torch."), enforce_eager=True,
            max_model_len=load.max_length, max_num_seqs=max_num_seqs, max_num_batched_tokens=max(256, max_num_seqs),
            block_size=block_size, num_gpu_blocks_override=num_blocks + 1, disable_log_stats=False)
        config = model.config
        values = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        yield VllmServer(llm, values * torch.finfo(model.dtype).bits / 8)


def _check(device: str) -> None:
    if importlib.util.find_spec("vllm") is None:
        raise SystemExit(f"{COMMAND}: --vllm finds no vllm; expected vLLM in this environment, on an NPU with "
                         "vllm-ascend: pip install vllm vllm-ascend, or examples/clients/vllm_generate.py makes one")
    from vllm.platforms import current_platform

    found = current_platform.device_type
    if found != device:
        fix = "add --npu" if found == "npu" else f"install a vLLM for {device}"
        raise SystemExit(f"{COMMAND}: --vllm finds a vLLM for {found or 'no device'}; expected one for {device}, where "
                         f"our engine runs: {fix}")
