"""Models on the simulated NPU by attn_implementation="npufa" against eager attention on the CPU."""

import pytest
import torch

from cases.device import on_device

NAMES = ["llama", "mistral", "gpt_oss"]


@pytest.mark.parametrize("name", NAMES)
@on_device
def test_generates_the_same_tokens(name):
    from integrations.tiny_models import batch, build

    ids, mask = batch()
    settings = {"max_new_tokens": 5, "do_sample": False}
    expected = build(name).generate(ids, attention_mask=mask, **settings)
    model = build(name, attn_implementation="npufa").npu()
    for cache in (None, "static"):
        got = model.generate(ids.npu(), attention_mask=mask.npu(), cache_implementation=cache, **settings)
        assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("name", NAMES)
@on_device
def test_gradients(name):
    from integrations.tiny_models import batch, build, gradients, labels_of

    ids, mask = batch()
    model, reference = build(name, attn_implementation="npufa").npu(), build(name)
    for inputs in ({"labels": ids}, {"labels": labels_of(ids, mask), "attention_mask": mask}):
        inputs["input_ids"] = ids
        got = gradients(model, **{name: tensor.npu() for name, tensor in inputs.items()})
        torch.testing.assert_close(got, gradients(reference, **inputs), atol=1e-5, rtol=1e-3)


@on_device
def test_packed_batch():
    from integrations.calls import Calls
    from integrations.tiny_models import batch, build

    ids = batch(10)[0][:1]
    boundaries = torch.tensor([0, 4, 10], dtype=torch.int32).npu()
    positions = torch.cat([torch.arange(4), torch.arange(6)])[None].npu()
    reference, model = build("mistral"), build("mistral", attn_implementation="npufa").npu()
    with torch.no_grad(), Calls() as calls:
        expected = torch.cat([reference(ids[:, :4]).logits, reference(ids[:, 4:]).logits], dim=1)
        by_position = model(ids.npu(), position_ids=positions, use_cache=False).logits
        by_boundaries = model(ids.npu(), position_ids=positions, cu_seq_lens_q=boundaries, cu_seq_lens_k=boundaries,
                              max_length_q=6, max_length_k=6).logits
    for got in (by_position, by_boundaries):
        torch.testing.assert_close(got.cpu(), expected, atol=3e-5, rtol=1e-4)
    assert calls.count == {"npu_fused_infer_attention_score": 2, "npu_fusion_attention_v3": 2}


@on_device
def test_half_precision():
    from integrations.tiny_models import batch, build

    ids, mask = batch()
    with torch.no_grad():
        exact = build("llama")(ids, attention_mask=mask).logits * mask[..., None]
        eager = build("llama").half()(ids, attention_mask=mask).logits * mask[..., None]
        model = build("llama", attn_implementation="npufa").half().npu()
        got = model(ids.npu(), attention_mask=mask.npu()).logits.cpu() * mask[..., None]
    assert (got - exact).abs().max() <= 1.5 * (eager - exact).abs().max()


def bias_of(shape):
    """Causal, and what no boolean mask can say."""
    return torch.randn(shape).masked_fill(torch.ones(shape, dtype=torch.bool).triu(1), -torch.inf)


@pytest.mark.parametrize("compiled", [False, True])
@on_device
def test_sdpa_keeps_an_additive_mask_of_transformers(compiled):
    """With torch_npu at hand transformers makes such a mask boolean, outside the block still."""
    from transformers.integrations import sdpa_attention

    from integrations.tiny_models import batch, build
    from npufa.integrations import sdpa

    ids = batch()[0]
    bias = bias_of((len(ids), 1, ids.shape[1], ids.shape[1]))
    model = build("llama", attn_implementation="sdpa").npu()
    with torch.no_grad():
        expected = build("llama")(ids, attention_mask=bias).logits
        call = torch.compile(model, backend="aot_eager") if compiled else model
        with sdpa(strict=True):
            got = call(ids.npu(), attention_mask=bias.npu()).logits
    torch.testing.assert_close(got.cpu(), expected, atol=3e-5, rtol=1e-4)
    assert sdpa_attention._is_torch_npu_available
