"""attn_implementation="npufa" against "eager": tokens, logits, padded and packed batches, caches, encoders."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    ModernBertConfig,
    ModernBertModel,
    T5Config,
    T5ForConditionalGeneration,
    masking_utils,
)

from integrations.calls import Calls
from integrations.tiny_models import MODELS, batch, build, randomised, right_padded

ENCODER = {"vocab_size": 97, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
           "attn_implementation": "eager"}


def both(model, function):
    """Results of a function of the model, by eager attention and by npufa."""
    results = []
    for implementation in ("eager", "npufa"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            results.append(function(model))
    return results


def assert_same_logits(model, function, kept=1.0):
    expected, got = both(model, function)
    torch.testing.assert_close(got * kept, expected * kept, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("cache", [None, "static"])
@pytest.mark.parametrize("name", MODELS)
def test_generates_the_same_tokens(name, cache):
    ids, mask = batch()
    expected, got = both(build(name), lambda model: model.generate(
        ids, attention_mask=mask, max_new_tokens=8, do_sample=False, cache_implementation=cache))
    assert got.tolist() == expected.tolist()
    assert len({tuple(row) for row in got[:, -8:].tolist()}) == 3


@pytest.mark.parametrize("name", MODELS)
def test_logits(name):
    model, (ids, mask) = build(name), batch()
    assert_same_logits(model, lambda model: model(ids).logits)
    assert_same_logits(model, lambda model: model(ids, attention_mask=mask).logits, mask[..., None])
    ids, mask = right_padded()
    assert_same_logits(model, lambda model: model(ids, attention_mask=mask).logits, mask[..., None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "gpt_oss"])
def test_half_precision_is_as_exact_as_eager(name, dtype):
    ids, mask = batch()

    def logits(model):
        return model(ids, attention_mask=mask).logits.float() * mask[..., None]

    exact, _ = both(build(name), logits)
    eager, got = both(build(name).to(dtype), logits)
    assert (got - exact).abs().max() <= 1.5 * (eager - exact).abs().max()
    assert (got - exact).square().mean() <= 1.2 * (eager - exact).square().mean()


@pytest.mark.parametrize("name", ["mistral", "gpt_oss"])
def test_autocast(name):
    ids, mask = batch()
    model = build(name)

    def logits(model):
        return model(ids, attention_mask=mask).logits.float() * mask[..., None]

    exact, _ = both(model, logits)
    with torch.autocast("cpu", torch.bfloat16):
        eager, got = both(model, logits)
    assert 0 < (got - exact).abs().max() <= 1.5 * (eager - exact).abs().max()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("given", ["position_ids", "cu_seq_lens"])
def test_packed_batch_is_its_sequences(name, given):
    model, (ids, _) = build(name), batch()
    lengths = [5, 9, 8]
    tokens = [row[:length] for row, length in zip(ids, lengths)]
    tokens = [torch.cat([t, t.flip(0)])[:length][None] for t, length in zip(tokens, lengths)]
    model.set_attn_implementation("npufa")
    packed = {"position_ids": torch.cat([torch.arange(n) for n in lengths])[None]}
    if given == "cu_seq_lens":
        boundaries = torch.tensor([0, 5, 14, 22], dtype=torch.int32)
        packed |= {"cu_seq_lens_q": boundaries, "cu_seq_lens_k": boundaries, "max_length_q": 9, "max_length_k": 9}
    with torch.no_grad():
        expected = torch.cat([model(t).logits for t in tokens], dim=1)
        for use_cache in (False, True):
            got = model(torch.cat(tokens, dim=1), use_cache=use_cache, **packed).logits
            torch.testing.assert_close(got, expected, atol=3e-5, rtol=1e-4)


def test_packed_rows_of_a_batch():
    ids, _ = batch(8)
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 0, 1, 2, 3, 0, 1]])
    assert_same_logits(build("mistral"), lambda model: model(ids, position_ids=positions, use_cache=False).logits)


def test_positions_that_start_late_are_one_sequence():
    ids = batch()[0][:1]
    positions = torch.arange(11)[None] + 7
    assert_same_logits(build("llama"), lambda model: model(ids, position_ids=positions).logits)


def test_positions_that_jump_are_one_sequence():
    ids = batch()[0][:1]
    positions = torch.tensor([[0, 1, 2, 5, 6, 7, 3, 4, 8, 9, 10]])
    assert_same_logits(build("llama"), lambda model: model(ids, position_ids=positions).logits)


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_oss"])
def test_chunked_prefill(name):
    ids, mask = batch()

    def logits(model):
        cache = DynamicCache(config=model.config)
        chunks = [model(ids[:, begin:end], attention_mask=mask[:, :end], past_key_values=cache).logits
                  for begin, end in ((0, 6), (6, 10), (10, 11))]
        return torch.cat(chunks, dim=1)

    assert_same_logits(build(name), logits, mask[..., None])


def test_decode_after_right_padded_prefill():
    """The padding is a gap between the prompt and what follows."""
    ids, mask = right_padded()
    longer = torch.cat([mask, torch.ones(3, 1, dtype=mask.dtype)], dim=1)

    def logits(model):
        cache = DynamicCache(config=model.config)
        model(ids, attention_mask=mask, past_key_values=cache)
        return model(ids[:, :1], attention_mask=longer, past_key_values=cache,
                     position_ids=mask.sum(dim=1, keepdim=True)).logits

    assert_same_logits(build("llama"), logits)


@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_custom_mask(kind):
    ids = batch(6)[0]
    kept = (torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(2)) > 0.5) | torch.eye(6, dtype=torch.bool)
    additive = torch.where(kept, 0.0, torch.finfo(torch.float32).min)
    model = build("llama")
    with torch.no_grad():
        expected = model(ids, attention_mask=additive).logits
        model.set_attn_implementation("npufa")
        got = model(ids, attention_mask=kept if kind == torch.bool else additive).logits
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=1e-4)


def test_beam_search():
    ids, mask = batch()
    expected, got = both(build("qwen3"), lambda model: model.generate(
        ids, attention_mask=mask, max_new_tokens=6, do_sample=False, num_beams=3))
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("config", [
    BertConfig(**ENCODER, num_hidden_layers=2),
    ModernBertConfig(**ENCODER, num_hidden_layers=4, local_attention=6, global_attn_every_n_layers=2, pad_token_id=0,
                     cls_token_id=1, sep_token_id=2, eos_token_id=3, bos_token_id=4),
], ids=["bert", "modernbert"])
def test_bidirectional_encoders(config):
    model = randomised((BertModel if isinstance(config, BertConfig) else ModernBertModel)(config))
    for ids, mask in (batch(), right_padded()):
        assert_same_logits(model, lambda model: model(ids).last_hidden_state)
        assert_same_logits(model, lambda model: model(ids, attention_mask=mask).last_hidden_state, mask[..., None])


def test_encoder_decoder_with_position_bias():
    ids, mask = right_padded()
    model = randomised(T5ForConditionalGeneration(T5Config(
        vocab_size=97, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, decoder_start_token_id=0,
        eos_token_id=None, attn_implementation="eager")))
    expected, got = both(model, lambda model: model.generate(
        ids, attention_mask=mask, max_new_tokens=8, do_sample=False))
    assert got.tolist() == expected.tolist()


def test_operators(monkeypatch):
    """Prefill and decode of a left-padded batch: one operator per layer, and no matrix of a mask but a row."""
    shapes = []
    matrix = masking_utils.sdpa_mask

    def recorded(*args, **kwargs):
        mask = matrix(*args, **kwargs)
        if mask is not None:
            shapes.append(tuple(mask.shape))
        return mask

    monkeypatch.setattr(masking_utils, "sdpa_mask", recorded)
    ids, mask = batch()
    operators = {"mistral": "npu_fused_infer_attention_score", "gpt_oss": "npu_fused_infer_attention_score_v2"}
    for name, operator in operators.items():
        model = build(name, attn_implementation="npufa")
        with Calls() as calls:
            model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False)
            model(ids[:1], position_ids=torch.arange(11)[None] % 6, use_cache=False)
        assert set(calls.count) == {operator, "npu_fusion_attention_v3"} and calls.count[operator] == 8
    assert all(shape[2] == 1 for shape in shapes)


@pytest.mark.parametrize("settings, message", [
    ({"output_attentions": True}, "output_attentions"),
    ({"cache": object()}, "paged cache"), ({"dtype": torch.float64}, "torch.float64"), ({"head_dim": 800}, "800"),
    ({"attention_mask": torch.ones(1, 3)}, r"\(1, 3\)"),
])
def test_what_has_no_operator_raises(settings, message):
    from npufa.integrations.transformers import npufa_attention

    query = torch.randn(1, 2, 3, settings.pop("head_dim", 16), dtype=settings.pop("dtype", torch.float32))
    with pytest.raises(ValueError, match=message):
        npufa_attention(torch.nn.Identity(), query, query, query, settings.pop("attention_mask", None), **settings)
