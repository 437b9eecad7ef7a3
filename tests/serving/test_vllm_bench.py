"""python -m npufa serve-bench --vllm, with an engine that has vLLM's interface and transformers' greedy tokens."""

import importlib.machinery
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from npufa.serving.bench import main

ARGUMENTS = ["--vllm", "--requests", "5", "--max-length", "64", "--max-num-seqs", "3", "--repeat", "2",
             "--dtype", "float32", "--block-size", "8"]  # fmt: skip
BYTES_PER_BLOCK = 8 * 2 * 2 * 2 * 64 * 4


class FakeEngine:
    """One token of each of the first requests per step; always three blocks in use."""

    def __init__(self, folder, options):
        self.model, self.options = AutoModelForCausalLM.from_pretrained(folder), options
        cache = SimpleNamespace(num_gpu_blocks=options["num_gpu_blocks_override"], block_size=options["block_size"])
        self.vllm_config = SimpleNamespace(cache_config=cache)
        self.waiting, self.preemptions, self.wrong = {}, 0, 0

    def add_request(self, request_id, prompt, params):
        assert params.temperature == 0 and params.ignore_eos
        self.waiting[request_id] = (prompt["prompt_token_ids"], [], params.max_tokens)

    def has_unfinished_requests(self):
        return bool(self.waiting)

    @torch.no_grad()
    def step(self):
        self.preemptions += 1
        outputs = []
        self.running = list(self.waiting)[: self.options["max_num_seqs"]]
        for request_id in self.running:
            prompt, tokens, count = self.waiting[request_id]
            logits = self.model(torch.tensor([prompt + tokens])).logits[0, -1]
            tokens.append(int(logits.argmax()) ^ self.wrong)
            outputs.append(SimpleNamespace(request_id=request_id, outputs=[SimpleNamespace(token_ids=tokens)]))
            if len(tokens) == count:
                del self.waiting[request_id]
        return outputs


class FakeLLM:
    made: list = []

    def __init__(self, folder, **options):
        self.llm_engine = FakeEngine(folder, options)
        self.llm_engine.wrong, self.resets = self.wrong, 0
        self.made.append(self)

    def reset_prefix_cache(self):
        self.resets += 1

    def get_metrics(self):
        engine = self.llm_engine
        used = 3 / (engine.options["num_gpu_blocks_override"] - 1)
        values = {"kv_cache_usage_perc": used, "num_requests_running": len(getattr(engine, "running", [])),
                  "num_preemptions": engine.preemptions}  # fmt: skip
        return [SimpleNamespace(name=f"vllm:{name}", value=value) for name, value in values.items()] + [
            SimpleNamespace(name="vllm:a_histogram", buckets={})]


@pytest.fixture
def vllm(monkeypatch):
    module, platforms = ModuleType("vllm"), ModuleType("vllm.platforms")
    module.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    module.LLM = type("LLM", (FakeLLM,), {"made": [], "wrong": 0})
    module.SamplingParams = SimpleNamespace
    platforms.current_platform = SimpleNamespace(device_type="cpu")
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # both are set by the command
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "1")
    return module


def test_side_by_side(vllm, capsys):
    assert main(ARGUMENTS) == 0
    out = capsys.readouterr().out
    row = re.search(r"^vLLM +(\d+) +([\d.]+) ms +([\d.]+) ms +(\d+) +([\d.]+) MiB$", out, re.M)
    assert row and all(float(figure) > 0 for figure in row.groups()[:3])
    llm, = vllm.LLM.made
    assert int(row.group(4)) == llm.llm_engine.preemptions / 2  # of a run, and there were two alike
    assert float(row.group(5)) == round(3 * BYTES_PER_BLOCK / 2**20, 2)
    assert "vLLM: 100% of requests start with our token, 100% have all of them" in out
    assert llm.resets == 2  # no run finds what the last one left in the cache


def test_vllm_has_our_sizes(vllm):
    main(ARGUMENTS)
    options = vllm.LLM.made[0].llm_engine.options
    assert options | {"dtype": "float32", "max_model_len": 64, "max_num_seqs": 3, "block_size": 8,
                      "num_gpu_blocks_override": 3 * 8 + 1, "enforce_eager": True} == options


def test_other_tokens_show(vllm, capsys):
    vllm.LLM.wrong = 1
    main(ARGUMENTS)
    assert "vLLM: 0% of requests start with our token, 0% have all of them" in capsys.readouterr().out


def test_without_vllm(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="--vllm finds no vllm; expected .* pip install vllm vllm-ascend"):
        main(ARGUMENTS)


def test_a_vllm_for_another_device(vllm):
    sys.modules["vllm.platforms"].current_platform.device_type = "npu"
    with pytest.raises(SystemExit, match="a vLLM for npu; expected one for cpu, where our engine runs: add --npu"):
        main(ARGUMENTS)
