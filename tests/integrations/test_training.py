"""Gradients of models by attn_implementation="npufa" against "eager"; dropout; checkpointing; torch.compile."""

import pytest
import torch

from integrations.tiny_models import MODELS, batch, build, gradients, labels_of, randomised, right_padded


def compare(model, **inputs):
    model.set_attn_implementation("eager")
    expected = gradients(model, **inputs)
    model.set_attn_implementation("npufa")
    torch.testing.assert_close(gradients(model, **inputs), expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name):
    model = build(name)
    ids, mask = batch()
    compare(model, input_ids=ids, labels=ids)
    compare(model, input_ids=ids, attention_mask=mask, labels=labels_of(ids, mask))
    ids, mask = right_padded()
    compare(model, input_ids=ids, attention_mask=mask, labels=labels_of(ids, mask))


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_gradients_of_a_packed_batch(name):
    ids = batch(8)[0]
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]]).expand(3, -1)
    compare(build(name), input_ids=ids, position_ids=positions, labels=ids)


def test_gradients_of_a_position_bias():
    from transformers import T5Config, T5ForConditionalGeneration

    ids, mask = batch()
    model = randomised(T5ForConditionalGeneration(T5Config(
        vocab_size=97, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, dropout_rate=0.0,
        decoder_start_token_id=0, attn_implementation="eager")))
    compare(model, input_ids=ids, labels=ids)
    compare(model, input_ids=ids, attention_mask=mask, labels=ids)


def test_gradients_with_gaps_in_the_mask():
    ids, mask = batch()
    mask[0, 3] = 0
    compare(build("llama"), input_ids=ids, attention_mask=mask, labels=labels_of(ids, mask))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_with_dropout_repeats_the_mask(reentrant):
    ids, mask = batch()
    model = build("mistral", attention_dropout=0.4, attn_implementation="npufa")
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels_of(ids, mask)}
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(gradients(model, **inputs))
        # its name in older transformers
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": reentrant})
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2], atol=1e-3)


@pytest.mark.parametrize("padded", [pytest.param(False, marks=pytest.mark.slow(group="programs")), True])
def test_compiled_training(padded):
    ids, mask = batch()
    inputs = {"input_ids": ids, "labels": labels_of(ids, mask)}
    if padded:
        inputs["attention_mask"] = mask
    model = build("mistral")
    expected = gradients(model, **inputs)
    model.set_attn_implementation("npufa")
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    model.train()
    model.zero_grad()
    compiled(**inputs, use_cache=False).loss.backward()
    got = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", [pytest.param("llama", marks=pytest.mark.slow(group="programs")), "mistral"])
def test_compiled_packed_batch(name):
    """In a graph only cu_seq_lens tell where sequences begin."""
    ids = batch(20)[0][:1]
    boundaries = torch.tensor([0, 8, 20], dtype=torch.int32)
    model = build(name)
    with torch.no_grad():
        expected = torch.cat([model(ids[:, :8]).logits, model(ids[:, 8:]).logits], dim=1)
        model.set_attn_implementation("npufa")
        got = torch.compile(model, backend="aot_eager", fullgraph=True)(
            ids, use_cache=False, cu_seq_lens_q=boundaries, cu_seq_lens_k=boundaries, max_length_q=12, max_length_k=12,
            position_ids=torch.cat([torch.arange(8), torch.arange(12)])[None]).logits
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=1e-4)


def test_compiled_decode_with_a_static_cache():
    from transformers import CompileConfig

    ids, mask = batch()
    model = build("llama")
    expected = model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False)
    model.set_attn_implementation("npufa")
    config = CompileConfig(backend="aot_eager", fullgraph=True, mode=None)
    config._compile_all_devices = True
    got = model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False, cache_implementation="static",
                         compile_config=config)
    assert got.tolist() == expected.tolist()


def test_layers_compiled_one_by_one():
    """Masks are made outside the graphs then."""
    ids, mask = batch()
    model = build("mistral")
    with torch.no_grad():
        expected = model(ids, attention_mask=mask).logits * mask[..., None]
        model.set_attn_implementation("npufa")
        for layer in model.model.layers:
            layer.compile(backend="aot_eager")
        got = model(ids, attention_mask=mask, use_cache=False).logits * mask[..., None]
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=1e-4)


def test_training_after_inference_mode():
    """What an inference call keeps for the next one serves a training call too."""
    ids, mask = batch()
    model = build("gpt_oss", attn_implementation="npufa")
    with torch.inference_mode():
        model(ids, attention_mask=mask)
    compare(model, input_ids=ids, attention_mask=mask, labels=labels_of(ids, mask))
