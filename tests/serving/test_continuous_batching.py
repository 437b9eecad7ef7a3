"""Greedy serving against `model.generate` for every prompt alone, whatever the batching."""

import pytest
import torch
import transformers

from cases.device import on_device
from integrations.tiny_models import COMMON, MODELS, build, randomised
from npufa.serving import SamplingParams, ServingEngine

PROMPT_LENGTHS = (1, 17, 5, 40, 9, 3)
NEW = 10
ROOMY = {"num_blocks": 64}
TIGHT = {"num_blocks": 14, "block_size": 4, "max_num_seqs": 5, "max_batched_tokens": 7}  # chunks and preemptions


def prompts(lengths=PROMPT_LENGTHS):
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(2, 97, (n,), generator=generator).tolist() for n in lengths]


def generated(model, prompt, new=NEW, **settings):
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, **settings)
    return output[0, len(prompt):].tolist()


def served(engine, *arguments):
    return [completion.token_ids for completion in engine.generate(*arguments)]


QUICK = [("llama", TIGHT), ("mistral", TIGHT), ("gpt_oss", TIGHT), ("qwen3", ROOMY), ("gemma2", ROOMY)]


@pytest.mark.parametrize("name, settings", QUICK + [
    pytest.param(name, settings, marks=pytest.mark.slow(group="programs"))
    for name in MODELS for settings in (ROOMY, TIGHT) if (name, settings) not in QUICK])
def test_same_tokens_as_generate(name, settings):
    model = build(name)
    engine = ServingEngine(model, **settings)
    assert served(engine, prompts(), SamplingParams(max_new_tokens=NEW)) == [generated(model, p) for p in prompts()]
    assert (engine.metrics.preemptions > 0) == (settings is TIGHT)
    assert engine.cache.usage().used_blocks == 0 and engine.unfinished == 0
    assert model.config._attn_implementation == "eager"


OTHERS = {
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=97, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=None)),
    "deepseek": (transformers.DeepseekV3ForCausalLM, transformers.DeepseekV3Config(**{
        **COMMON, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "moe_intermediate_size": 32, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
        "v_head_dim": 16, "qk_nope_head_dim": 16, "first_k_dense_replace": 1, "experts_implementation": "eager"})),
}


@pytest.mark.parametrize("name", OTHERS)
def test_absolute_positions_and_value_head_dim(name):
    model = randomised(OTHERS[name][0](OTHERS[name][1]))
    engine = ServingEngine(model, **TIGHT)
    assert served(engine, prompts(), SamplingParams(max_new_tokens=NEW)) == [generated(model, p) for p in prompts()]
    assert engine.cache.value_head_dim == 16


@pytest.mark.parametrize("budget, sequences, block_size, blocks, order", [
    (3, 3, 1, 60, -1), (64, 6, 7, 9, 1), (13, 4, 16, 4, -1),
    pytest.param(1, 1, 16, 4, 1, marks=pytest.mark.slow(group="programs")),
])
def test_any_batching(budget, sequences, block_size, blocks, order):
    model, asked = build("llama"), prompts()[::order]
    engine = ServingEngine(model, blocks, block_size=block_size, max_num_seqs=sequences, max_batched_tokens=budget)
    lengths = [1, 12, 7, 3, 10, 5]
    params = [SamplingParams(max_new_tokens=n) for n in lengths]
    assert served(engine, asked, params) == [generated(model, p, n) for p, n in zip(asked, lengths)]
    assert engine.metrics.peak_running <= sequences and engine.metrics.peak_used_blocks <= blocks


@pytest.mark.slow(group="programs")
@pytest.mark.parametrize("seed", range(30))
def test_random_batching(seed):
    generator = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    model = build(["llama", "mistral", "gpt_oss"][seed % 3])
    asked = prompts([number(1, 50) for _ in range(number(1, 12))])
    lengths = [number(1, 20) for _ in asked]
    block_size, sequences = number(1, 20), number(1, 6)
    engine = ServingEngine(model, -(-70 // block_size) + number(0, 4), block_size=block_size, max_num_seqs=sequences,
                           max_batched_tokens=sequences + number(0, 30), prefix_caching=bool(number(0, 1)))
    params = [SamplingParams(max_new_tokens=n) for n in lengths]
    assert served(engine, asked, params) == [generated(model, p, n) for p, n in zip(asked, lengths)]
    assert engine.cache.usage().used_blocks == 0


def test_requests_join_while_others_run():
    model = build("qwen2")
    engine = ServingEngine(model, **TIGHT)
    ids, finished = {}, []
    for number, prompt in enumerate(prompts()):
        ids[engine.add_request(prompt, SamplingParams(max_new_tokens=NEW))] = prompt
        for _ in range(number):
            finished += engine.step()
    finished += engine.run()
    assert {c.request_id: c.token_ids for c in finished} == {i: generated(model, p) for i, p in ids.items()}
    assert all(c.prompt_token_ids == ids[c.request_id] and c.finish_reason == "length" for c in finished)


def test_stop_tokens():
    model = build("llama")
    prompt = prompts()[3]
    tokens = generated(model, prompt)
    eos = tokens[4]
    end = tokens.index(eos) + 1
    model.generation_config.eos_token_id = eos
    (completion, ignoring, other) = ServingEngine(model, 64).generate(
        [prompt] * 3, [SamplingParams(max_new_tokens=NEW), SamplingParams(max_new_tokens=NEW, ignore_eos=True),
                       SamplingParams(max_new_tokens=NEW, stop_token_ids=(tokens[1],))])
    assert completion.token_ids == tokens[:end] == generated(model, prompt) and completion.finish_reason == "stop"
    assert ignoring.token_ids == tokens and ignoring.finish_reason == "length"
    assert other.token_ids == tokens[:tokens.index(tokens[1]) + 1]


def test_prefixes_are_shared():
    model = build("llama")
    shared = prompts()[3]
    asked = [shared + [7 + i] for i in range(3)] + [shared]
    expected = [generated(model, p) for p in asked]
    engine = ServingEngine(model, 64, block_size=4)
    params = SamplingParams(max_new_tokens=NEW)
    first = engine.generate(asked[:1], params)
    second = engine.generate(asked, params)
    assert [c.token_ids for c in first + second] == [expected[0], *expected]
    assert [c.cached_prompt_tokens for c in second] == [40, 40, 40, 36]  # the last token of a prompt is computed
    assert engine.metrics.cached_tokens == 156 and engine.metrics.prompt_tokens == 4 * 41 + 40
    off = ServingEngine(model, 64, block_size=4, prefix_caching=False)
    assert [c.token_ids for c in off.generate(asked, params)] == expected and off.metrics.cached_tokens == 0


def test_int8_cache_and_half_precision():
    model = build("llama").bfloat16()
    exact = served(ServingEngine(model, 64), prompts(), SamplingParams(max_new_tokens=NEW))
    engine = ServingEngine(model, 64, kv_cache_dtype=torch.int8)
    got = served(engine, prompts(), SamplingParams(max_new_tokens=NEW))
    assert [len(tokens) for tokens in got] == [NEW] * len(got)
    assert sum(a[0] == b[0] for a, b in zip(exact, got)) >= 5
    assert engine.cache.storage.key.dtype == torch.int8


def test_decode_state_follows_the_cache():
    """What npu_advance_step_flashattn computes is what cache and requests know."""
    engine = ServingEngine(build("llama"), 64, block_size=4)
    for prompt in prompts():
        engine.add_request(prompt, SamplingParams(max_new_tokens=NEW))
    engine.step()
    buffers = set()
    for _ in range(NEW - 2):
        engine.step()
        state, running = engine._decode, engine._scheduler.running
        buffers.add(state.seq_lens.data_ptr())
        assert state.seq_lens.tolist() == [r.computed for r in running] == [len(r.tokens) - 1 for r in running]
        assert state.input_tokens.tolist() == [r.tokens[-2] for r in running]
        assert state.input_positions.tolist() == [r.computed - 1 for r in running]
        slots = [engine.cache.slot_mapping(r.sequence, r.computed - 1).item() for r in running]
        assert state.slot_mapping.tolist() == slots
    assert len(buffers) == 1  # advanced in place


@on_device
def test_on_npu():
    from integrations.tiny_models import build
    from npufa.serving import SamplingParams, ServingEngine
    from serving.test_continuous_batching import generated, prompts, served

    asked = prompts((6, 11))
    expected = [generated(build("mistral"), p, 4) for p in asked]
    engine = ServingEngine(build("mistral").npu(), 3, block_size=8, max_num_seqs=2, max_batched_tokens=12)
    assert engine.cache.storage.key.device.type == "npu"
    assert served(engine, asked, SamplingParams(max_new_tokens=4)) == expected
    assert engine.metrics.preemptions > 0
