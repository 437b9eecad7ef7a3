"""vLLM with vllm-ascend, both as released, on the simulated chip: greedy tokens against transformers.

One command makes an environment (torch with torch_npu, vLLM, npufa for that torch; minutes to an hour, 15 GB), runs
there and prints what it showed:

    python examples/clients/vllm_generate.py                      # every case
    python examples/clients/vllm_generate.py --case qwen2 --case serve

Nothing of vLLM or vllm-ascend is changed, no CANN is installed, and nothing stands in for it but npufa's simulator
(docs/cann_operators.md). Models are tiny and random, made on the spot.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from environment import Client, run_in_environment

CLIENT = Client(
    name="vllm",
    torch="2.10.0",
    requirements="vllm_requirements.txt",
    steps=(
        # Their Python alone: vLLM has no binaries for this device, vllm-ascend's own kernels need CANN's compiler.
        (["--no-deps", "--no-build-isolation", "--no-binary", "vllm", "vllm==0.23.0"],
         {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": "0.23.0"}),
        (["--no-deps", "--no-build-isolation", "--no-binary", "vllm-ascend", "vllm-ascend==0.23.0.post1"],
         {"COMPILE_CUSTOM_KERNELS": "0", "SOC_VERSION": "ascend910b1"}),
    ),
    # The engine in this process, where it can be profiled; nothing is asked of the network.
    variables={"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
)

TOKENS = 6
NUCLEUS = 0.8  # top_p
LENGTHS = [6, 130, 33]  # of the prompts: within a block of the cache, over its end
# Small, because the first step that vLLM makes is of the largest size.
SIZES = {"dtype": "float16", "max_model_len": 256, "max_num_batched_tokens": 256, "max_num_seqs": 8,
         "block_size": 128, "gpu_memory_utilization": 0.02}  # fmt: skip


def ask(report: Any, what: str, model: Path, token_ids: list[list[int]], sampling: list[dict[str, Any]],
        count: int = TOKENS, rounds: int = 1, **options: Any) -> list[list[int]]:
    """What one engine generates after each prompt with its sampling; reports the kernels of its steps."""
    import gc

    from vllm import LLM, SamplingParams

    from report import Steps

    llm, steps = LLM(str(model), **SIZES | options), Steps()
    steps.watch(llm.llm_engine, "step")
    params = [SamplingParams(max_tokens=count, min_tokens=count, ignore_eos=True, **changes) for changes in sampling]
    for _ in range(rounds):
        outputs = llm.generate([{"prompt_token_ids": ids} for ids in token_ids], params, use_tqdm=False)
    report.steps(what, steps)
    if "speculative_config" in options:
        report.counts(what, {metric.name: metric.value for metric in llm.get_metrics() if "spec_decode" in metric.name
                             and hasattr(metric, "value")})  # fmt: skip
    del llm
    gc.collect()
    return [list(output.outputs[0].token_ids) for output in outputs]


def generate(report: Any, what: str, model: Path, expected: list[list[int]], token_ids: list[list[int]],
             rounds: int = 1, **options: Any) -> None:
    """Greedy tokens of one engine against the expected ones."""
    found = ask(report, what, model, token_ids, [{"temperature": 0}] * len(token_ids), len(expected[0]), rounds,
                **options)
    report.equal(f"{what}: tokens of vLLM and transformers", found, expected)


def _plain(name: str, changes: dict[str, Any] | None = None, **options: Any) -> Callable[[Any, Path], None]:
    """Compared with transformers' model with these changes of its config."""

    def case(report: Any, folder: Path) -> None:
        import tiny_models

        model, token_ids = tiny_models.save(name, folder), tiny_models.prompts(LENGTHS)
        expected = tiny_models.greedy(model, token_ids, TOKENS, **changes or {})
        generate(report, f"{name} {options}", model, expected, token_ids, **options)

    return case


def ngram(report: Any, folder: Path) -> None:
    """Drafts of three tokens, looked up in what was there before; a model that repeats itself now and then."""
    import tiny_models

    model = tiny_models.save("qwen2", folder, tie_word_embeddings=True, initializer_range=0.035)
    token_ids = tiny_models.prompts(LENGTHS)
    config = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_min": 1, "prompt_lookup_max": 3}
    generate(report, "qwen2, n-gram drafts", model, tiny_models.greedy(model, token_ids, 16), token_ids, **EAGER,
             speculative_config=config, disable_log_stats=False)


def sampling(report: Any, folder: Path) -> None:
    """Of the most probable token alone, and seeded out of the nucleus; every request of a batch with its own."""
    import tiny_models

    model = tiny_models.save("qwen2", folder)
    ids, other = tiny_models.prompts([33, 6])
    draws = [{"temperature": 1.0, "top_p": NUCLEUS, "seed": seed} for seed in (1, 2, 3, 4, 5, 1)]
    first = [{"temperature": 0.8, "top_k": 1}, {"temperature": 0.8, "top_k": 1, "top_p": NUCLEUS}]
    found = ask(report, "sampling", model, [other, ids] + [ids] * len(draws), first + draws, **EAGER)
    report.equal("top_k=1 at temperature 0.8: tokens of vLLM and transformers' greedy ones", found[:2],
                 tiny_models.greedy(model, [other, ids], TOKENS))
    drawn = found[2:]
    report.equal("the same seed twice: tokens", drawn[-1], drawn[0])
    # A little more than asked for: the two round differently at the nucleus's edge.
    nuclei = [tiny_models.nuclei(model, ids, tokens, NUCLEUS + 0.01) for tokens in drawn]
    outside = [(token, nucleus) for tokens, sets in zip(drawn, nuclei) for token, nucleus in zip(tokens, sets)
               if token not in nucleus]  # fmt: skip
    sizes = [len(nucleus) for sets in nuclei for nucleus in sets]
    different = len({tuple(tokens) for tokens in drawn})
    report.equal(f"top_p={NUCLEUS}, {different} different answers to {len(drawn)} requests with 5 seeds, nuclei of "
                 f"{min(sizes)} to {max(sizes)} tokens: tokens outside of transformers' nucleus", outside, [])


def graph(report: Any, folder: Path) -> None:
    """Decode as one captured graph."""
    from vllm_ascend.utils import enable_custom_op

    enable_custom_op()  # finds no compiled extension; asked here, because Dynamo raises where it meets that import
    options = {"cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": [4]}
    _plain("qwen2", compilation_config=options)(report, folder)


def serve(report: Any, folder: Path) -> None:
    import tiny_models
    import vllm_serve

    model, token_ids = tiny_models.save("qwen2", folder), tiny_models.prompts([5, 9, 17, 33, 64, 100, 130, 12])
    expected = tiny_models.greedy(model, token_ids, TOKENS)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZES.items()]
    with vllm_serve.server(model, [*options, "--enforce-eager"]) as address:
        found, pieces = vllm_serve.stream_all(address, token_ids, TOKENS)
    report.equal(f"vllm serve, {len(token_ids)} streams at once in {pieces} pieces: tokens of vLLM and transformers",
                 found, expected)


EAGER = {"enforce_eager": True}
CASES: dict[str, Callable[[Any, Path], None]] = {
    "qwen2": _plain("qwen2", **EAGER),
    "llama": _plain("llama", **EAGER),
    # vllm-ascend passes the window as pre_tokens, which is one key more.
    "window": _plain("mistral", {"sliding_window": 49}, **EAGER),
    "mla": _plain("deepseek_v2", **EAGER),
    # Prompts in pieces of 64 tokens; the second round finds its prompts' blocks in the cache.
    "chunked": _plain("qwen2", **EAGER, rounds=2, enable_prefix_caching=True, enable_chunked_prefill=True,
                      max_num_batched_tokens=64, async_scheduling=False),
    "async": _plain("qwen2", **EAGER, max_num_batched_tokens=64, async_scheduling=True),
    "ngram": ngram,
    "sampling": sampling,
    "graph": graph,
    "serve": serve,
}  # fmt: skip
# Need vllm-ascend's compiled extension, see docs/clients.md; only where it is named.
OTHERS: dict[str, Callable[[Any, Path], None]] = {
    "moe": _plain("qwen3_moe", **EAGER),
    "sinks": _plain("gpt_oss", {"sliding_window": 49}, **EAGER),
}  # fmt: skip


def main() -> None:
    from report import Report

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=[*CASES, *OTHERS],
                        help=f"one of the cases (default: {', '.join(CASES)})")
    names = parser.parse_args().case or list(CASES)
    if len(names) > 1:  # vllm-ascend keeps tables of a model in its modules, where the next one finds them
        sys.exit(max([subprocess.run([sys.executable, __file__, "--case", name]).returncode for name in names]))
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        (CASES | OTHERS)[names[0]](report, Path(folder))
    report.finish()


if __name__ == "__main__":
    run_in_environment(CLIENT, __file__)
    main()
