"""Requests of the serving engine: sampling, callbacks, abort, failures, refusals, metrics."""

import pytest
import torch
import transformers

from integrations.tiny_models import COMMON, build
from npufa.serving import SamplingParams, ServingEngine
from npufa.serving.request import Request
from npufa.serving.sampling import choose

PROMPTS = [[5, 6, 7, 8, 9], [3], list(range(10, 40))]


@pytest.fixture(scope="module")
def model():
    return build("llama")


def sampler(params, seed=0):
    return Request(0, 1, [1], params, frozenset(), 0.0, generator=torch.Generator().manual_seed(seed))


def test_sampling_frequencies_and_top_p():
    probabilities = torch.tensor([0.1, 0.45, 0.05, 0.4])
    for params, expected in (
        (SamplingParams(temperature=1.0), probabilities),
        (SamplingParams(temperature=1.0, top_p=0.8), torch.tensor([0, 0.45, 0, 0.4]) / 0.85),
        (SamplingParams(temperature=1.0, top_p=0.4), torch.tensor([0, 1.0, 0, 0])),
        (SamplingParams(temperature=0.5), probabilities**2 / (probabilities**2).sum()),
    ):
        request = sampler(params)
        drawn = torch.tensor([choose(probabilities.log()[None], [request])[0] for _ in range(3000)])
        got = drawn.bincount(minlength=4) / 3000
        assert (got - expected).abs().max() < 0.03 and bool((got[expected == 0] == 0).all())


def test_a_seed_gives_the_same_tokens_in_any_batch(model):
    params = SamplingParams(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=5)
    greedy = SamplingParams(max_new_tokens=12)
    (alone,) = ServingEngine(model, 32).generate(PROMPTS[:1], params)
    together = ServingEngine(model, 12, block_size=4, max_num_seqs=3, max_batched_tokens=5).generate(
        PROMPTS, [params, greedy, SamplingParams(max_new_tokens=12, temperature=1.0)])
    assert together[0].token_ids == alone.token_ids != together[1].token_ids
    (other,) = ServingEngine(model, 32).generate(
        PROMPTS[:1], SamplingParams(max_new_tokens=12, temperature=1.0, seed=6))
    assert other.token_ids != alone.token_ids


def test_tokens_are_streamed(model):
    streamed = {}
    engine = ServingEngine(model, 10, block_size=4, max_num_seqs=3, max_batched_tokens=8)
    completions = engine.generate(PROMPTS, SamplingParams(max_new_tokens=6),
                                  lambda request, token: streamed.setdefault(request, []).append(token))
    assert streamed == {c.request_id: c.token_ids for c in completions}


def test_abort(model):
    engine = ServingEngine(model, 32, max_num_seqs=2)
    ids = [engine.add_request(p, SamplingParams(max_new_tokens=8)) for p in PROMPTS]
    engine.step()
    engine.abort(ids[2])  # waits
    engine.abort(ids[0])  # runs
    finished = {c.request_id: c for c in engine.run()}
    assert [finished[i].finish_reason for i in ids] == ["abort", "length", "abort"]
    assert [len(finished[i].token_ids) for i in ids] == [1, 8, 0]
    assert finished[ids[2]].time_to_first_token is None
    assert engine.cache.usage().used_blocks == 0 and engine.metrics.aborted_requests == 2
    with pytest.raises(ValueError, match="request_id is unknown, got 0"):
        engine.abort(ids[0])


def test_abort_from_a_callback(model):
    engine = ServingEngine(model, 32)

    def aborting(request, token):
        if request == 2 and engine.metrics.steps == 2:
            engine.abort(1)

    completions = engine.generate(PROMPTS, SamplingParams(max_new_tokens=8), aborting)
    assert [c.finish_reason for c in completions] == ["length", "abort", "length"]
    assert len(completions[1].token_ids) == 2


def test_a_callback_that_raises_loses_nothing(model):
    engine = ServingEngine(model, 32)
    expected = [c.token_ids for c in ServingEngine(model, 32).generate(PROMPTS, SamplingParams(max_new_tokens=2))]
    called = []

    def raising(request, token):
        called.append(request)
        raise OSError(f"connection {request}")

    for prompt in PROMPTS:
        engine.add_request(prompt, SamplingParams(max_new_tokens=2), raising)
    for _ in range(2):
        with pytest.raises(OSError, match="connection"):
            engine.step()
    assert sorted(called) == [0, 0, 1, 1, 2, 2]
    assert [c.token_ids for c in engine.run()] == expected


def test_a_model_that_raises_can_be_asked_again(model, monkeypatch):
    params = SamplingParams(max_new_tokens=5)
    expected = [c.token_ids for c in ServingEngine(model, 32).generate(PROMPTS, params)]
    engine = ServingEngine(model, 32, block_size=4, max_num_seqs=3, max_batched_tokens=20)
    for prompt in PROMPTS:
        engine.add_request(prompt, params)
    original, calls = model.lm_head.forward, []

    def failing(hidden):
        calls.append(0)
        if len(calls) % 2:
            raise RuntimeError("out of memory")
        return original(hidden)

    monkeypatch.setattr(model.lm_head, "forward", failing)
    finished, failures = [], 0
    while engine.unfinished:
        try:
            finished += engine.step()
        except RuntimeError:
            failures += 1
            assert model.config._attn_implementation == "eager"
    assert failures >= 5
    assert [c.token_ids for c in sorted(finished, key=lambda c: c.request_id)] == expected
    assert engine.metrics.prompt_tokens == sum(map(len, PROMPTS))


def test_metrics(model):
    engine = ServingEngine(model, 32)
    completions = engine.generate(PROMPTS, SamplingParams(max_new_tokens=6))
    metrics = engine.metrics
    assert metrics.generated_tokens == 18 and metrics.finished_requests == 3 and metrics.prompt_tokens == 36
    assert metrics.computed_tokens == 36 + 3 * 5 and metrics.steps == 6 and metrics.peak_running == 3
    assert len(metrics.times_to_first_token) == 3 and len(metrics.inter_token_latencies) == 15
    assert 0 < metrics.mean_time_to_first_token <= metrics.busy_time
    assert metrics.throughput == 18 / metrics.busy_time
    assert sorted(c.time_to_first_token for c in completions) == sorted(metrics.times_to_first_token)
    assert metrics.peak_used_blocks == 1 + 1 + 3


def long_request(engine):
    return engine.add_request([1] * 20, SamplingParams(max_new_tokens=30))


REFUSED = {
    "prompt is empty": lambda e: e.add_request([]),
    "token outside the vocabulary, got 1 to 97; expected 0 to 96": lambda e: e.add_request([1, 97]),
    r"do not fit the cache, got 20 \+ 30; expected at most 48 tokens of 3 blocks": long_request,
    r"too long, got 1 \+ 256; expected at most 256": lambda e: e.add_request([1], SamplingParams(max_new_tokens=256)),
    "params has the wrong length, got 1; expected 2": lambda e: e.generate([[1], [2]], [SamplingParams()]),
    "max_new_tokens is out of range, got 0": lambda e: SamplingParams(max_new_tokens=0),
    "temperature is out of range, got -1": lambda e: SamplingParams(temperature=-1.0),
    "top_p is out of range, got 0": lambda e: SamplingParams(top_p=0.0),
    "max_num_seqs is not positive": lambda e: ServingEngine(e.model, 3, max_num_seqs=0),
    "max_batched_tokens is too small, got 2; expected at least max_num_seqs, 4":
        lambda e: ServingEngine(e.model, 3, max_num_seqs=4, max_batched_tokens=2),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_change_nothing(model, message):
    engine = ServingEngine(model, 3)
    with pytest.raises(ValueError, match=message):
        REFUSED[message](engine)
    assert engine.unfinished == 0 and engine.cache.usage().used_blocks == 0
    engine.add_request([1])
    with pytest.raises(ValueError, match=r"generate\(\) found 1 unfinished requests"):
        engine.generate([[1]])


def test_models_that_cannot_be_served():
    bloom = transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=97, hidden_size=32, n_layer=1, n_head=2))
    falcon = transformers.FalconForCausalLM(transformers.FalconConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=1, num_attention_heads=2))
    dynamic = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **COMMON, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}))
    for model, message in (
        (bloom, "call the attention function"), (falcon, "cannot run without the masks of its own attention"),
        (dynamic, "rope_type of the model is 'dynamic'"),
    ):
        with pytest.raises(ValueError, match=message):
            ServingEngine(model.eval(), 3)
        assert model.config._attn_implementation != "npufa_paged"
    with pytest.raises(ValueError, match="model is in training mode"):
        ServingEngine(build("llama").train(), 3)
