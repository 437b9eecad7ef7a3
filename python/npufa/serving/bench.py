"""The command `python -m npufa serve-bench`: continuous batching and its cache, measured on random weights."""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from .._info import info
from .engine import ServingEngine
from .request import SamplingParams

COMMAND = "python -m npufa serve-bench"
_DESCRIPTION = """Serves random requests with a small Llama of random weights and reports throughput, latencies and the
memory of the key/value cache: blocks against room reserved for the longest sequence, and int8 against its type."""
_VOCABULARY = 512


@dataclass(frozen=True)
class Workload:
    """Prompts with the number of tokens to generate after each; no sequence is longer than `max_length`."""

    prompts: list[list[int]]
    new_tokens: list[int]
    max_length: int


@dataclass(frozen=True)
class Result:
    """What a run showed; seconds, tokens per second, bytes.

    `reserved_bytes` is what `peak_running` sequences take in caches of `max_length` tokens each.
    """

    seconds: float
    throughput: float
    time_to_first_token: float
    inter_token_latency: float
    preemptions: int
    peak_running: int
    used_bytes: int
    reserved_bytes: float
    bytes_per_token: float
    tokens: list[list[int]]


Runner = Callable[[Workload, str], Result]


def workload(requests: int, max_length: int, seed: int) -> Workload:
    """Requests of very different lengths, as chats have them: prompt and answer are log-normal (sigma 0.6) with a
    median of an eighth of `max_length` each, and at most half of it."""
    generator = torch.Generator().manual_seed(seed)

    def lengths(limit: int) -> list[int]:
        drawn = (torch.randn(requests, generator=generator) * 0.6).exp() * (max_length / 8)
        return drawn.clamp(1, limit).int().tolist()

    half = max_length // 2
    prompts = [torch.randint(1, _VOCABULARY, (n,), generator=generator).tolist() for n in lengths(half)]
    return Workload(prompts, lengths(half), max_length)


def measure(
    model: PreTrainedModel, load: Workload, label: str, *, max_num_seqs: int, num_blocks: int, block_size: int,
    kv_cache_dtype: torch.dtype | None = None
) -> Result:
    """Serves all requests, with a progress bar of generated tokens on standard error."""
    engine = ServingEngine(model, num_blocks, block_size=block_size, max_num_seqs=max_num_seqs,
                           max_batched_tokens=max(256, max_num_seqs), kv_cache_dtype=kv_cache_dtype)
    with tqdm(total=sum(load.new_tokens), desc=label, unit="token", leave=False, mininterval=0.2) as bar:
        params = [SamplingParams(max_new_tokens=n, ignore_eos=True) for n in load.new_tokens]
        begin = time.perf_counter()
        completions = engine.generate(load.prompts, params, lambda request, token: bar.update())
        seconds = time.perf_counter() - begin
    metrics, usage = engine.metrics, engine.cache.usage()
    return Result(
        seconds, metrics.generated_tokens / seconds, metrics.mean_time_to_first_token, metrics.mean_inter_token_latency,
        metrics.preemptions, metrics.peak_running,
        metrics.peak_used_blocks * usage.bytes_per_block,
        metrics.peak_running * load.max_length * usage.bytes_per_token, usage.bytes_per_token,
        [completion.token_ids for completion in completions])


def _report(options: argparse.Namespace, load: Workload, runs: dict[str, Result]) -> str:
    exact, int8 = runs["batched"], runs["int8 cache"]
    lines = [f"{len(load.prompts)} requests, {sum(map(len, load.prompts))} prompt tokens, "
             f"{sum(load.new_tokens)} generated; at most {load.max_length} tokens a sequence; {options.dtype}, "
             f"{_place(options.device)}, threads: {options.threads}, fastest of {options.repeat}"]
    lines += [f"{'':<18}{'tokens/s':>10}{'first token':>13}{'next token':>12}{'preempted':>11}{'peak cache':>13}"]
    for name, run in runs.items():
        lines.append(f"{name:<18}{run.throughput:>10.0f}{run.time_to_first_token * 1e3:>10.1f} ms"
                     f"{run.inter_token_latency * 1e3:>9.1f} ms{run.preemptions:>11}{run.used_bytes / 2**20:>9.2f} MiB")
    if "one at a time" in runs:
        ratio = exact.throughput / runs["one at a time"].throughput
        lines.append(f"continuous batching: {ratio:.1f} times the throughput of one request at a time")
    saved = 1 - exact.used_bytes / exact.reserved_bytes
    lines += [
        f"paged cache: {saved:.0%} less memory than reserving the longest sequence",
        "  = 1 - peak blocks x block bytes / (running at the peak x longest x bytes per token)",
        f"  = 1 - {exact.used_bytes} / ({exact.peak_running} x {load.max_length} x {exact.bytes_per_token:.0f})",
        f"int8 cache: {int8.bytes_per_token / exact.bytes_per_token:.2f} of the bytes per token "
        f"({int8.bytes_per_token:.0f} / {exact.bytes_per_token:.0f}); {_agreement(exact, int8):.0%} of requests start "
        "with the same token (random weights)",
    ]
    if "vLLM" in runs:
        lines.append(f"vLLM: {_agreement(exact, runs['vLLM']):.0%} of requests start with our token, "
                     f"{_equal(exact, runs['vLLM']):.0%} have all of them")
    return "\n".join(lines)


def _place(device: str) -> str:
    simulated = device == "npu" and info().cann is None
    return "simulated NPU (times are those of the simulator, not of an NPU)" if simulated else device


def _agreement(a: Result, b: Result) -> float:
    return sum(x[0] == y[0] for x, y in zip(a.tokens, b.tokens)) / len(a.tokens)


def _equal(a: Result, b: Result) -> float:
    return sum(x == y for x, y in zip(a.tokens, b.tokens)) / len(a.tokens)


def _model(options: argparse.Namespace) -> PreTrainedModel:
    torch.manual_seed(options.seed)
    config = LlamaConfig(
        vocab_size=_VOCABULARY, hidden_size=256, intermediate_size=512, num_hidden_layers=options.layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, max_position_embeddings=options.max_length,
        eos_token_id=None)
    return LlamaForCausalLM(config).to(getattr(torch, options.dtype)).to(options.device).eval()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.description = _DESCRIPTION
    parser.add_argument("--requests", type=_positive, default=24)
    parser.add_argument("--max-length", type=_positive, default=256, help="tokens of the longest possible sequence")
    parser.add_argument("--max-num-seqs", type=_positive, default=8, help="requests that run at once")
    parser.add_argument("--num-blocks", type=_positive, help="blocks of the cache (default: enough for every request)")
    parser.add_argument("--block-size", type=_positive, default=16)
    parser.add_argument("--layers", type=_positive, default=2)
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--repeat", type=_positive, default=2, help="runs of each kind; the fastest is reported")
    parser.add_argument("--threads", type=_positive, default=1,
                        help="threads of torch; a model this small gains nothing from a second one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vllm", action="store_true",
                        help="serve the same requests with vLLM, too; with --npu this is vllm-ascend, which wants "
                        "--block-size 128")
    parser.add_argument("--npu", dest="device", action="store_const", const="npu", default="cpu",
                        help="run on the NPU, simulated where there is none: take few and short requests")


def main(argv: Sequence[str]) -> int:
    """The command with these arguments; see `run`."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    add_options(parser)
    return run(parser.parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Prints the report.

    Returns:
        Exit status: 0.
    """
    if options.device == "npu":
        from .. import compat, flash_attn, sim

        sim.enable()  # stands aside where CANN is installed
        if options.vllm and info().cann is None:
            compat.install()
            flash_attn.install()
    longest = -(-options.max_length // options.block_size)
    blocks = options.num_blocks or longest * options.max_num_seqs
    if blocks < longest:
        raise SystemExit(f"{COMMAND}: --num-blocks is {blocks}; expected at least {longest}, blocks of one sequence of "
                         f"{options.max_length} tokens")
    torch.set_num_threads(options.threads)
    load, model = workload(options.requests, options.max_length, options.seed), _model(options)
    sizes = {"num_blocks": blocks, "block_size": options.block_size}
    plans: dict[str, dict[str, Any]] = {"batched": {"max_num_seqs": options.max_num_seqs}}
    if options.device == "cpu":
        plans["one at a time"] = {"max_num_seqs": 1}
    plans["int8 cache"] = {"max_num_seqs": options.max_num_seqs, "kv_cache_dtype": torch.int8}
    runners: dict[str, Runner] = {
        name: functools.partial(measure, model, **sizes, **plan) for name, plan in plans.items()}
    with contextlib.ExitStack() as stack:
        if options.vllm:
            from .vllm_bench import vllm_server

            server = vllm_server(model, load, options.device, max_num_seqs=options.max_num_seqs, **sizes)
            runners["vLLM"] = stack.enter_context(server).measure
        runs = _fastest(runners, load, options.repeat)
    print(_report(options, load, runs))
    return 0


def _fastest(runners: dict[str, Runner], load: Workload, repeat: int) -> dict[str, Result]:
    runs: dict[str, Result] = {}
    for turn in range(repeat):  # in turns, so that a busy moment of the machine does not hit one plan alone
        for name, runner in runners.items():
            result = runner(load, f"{name}, run {turn + 1}")
            if name not in runs or result.seconds < runs[name].seconds:
                runs[name] = result
    return runs


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"is {number}; expected at least 1")
    return number
