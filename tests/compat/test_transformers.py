"""transformers' own flash_attention_2 on NPU tensors: its windows count while compat is installed."""

import pytest
from cases.device import on_device


@pytest.mark.parametrize("name", ["llama", "mistral"])
@on_device
def test_flash_attention_2_is_eager_attention(name):
    import npufa.compat
    import torch
    from integrations.tiny_models import batch, build

    ids, mask = batch()
    with torch.no_grad():
        expected = build(name)(ids, attention_mask=mask).logits
        model = build(name, attn_implementation="flash_attention_2").half().npu()
        with npufa.compat.routed():
            got = model(ids.npu(), attention_mask=mask.npu()).logits.cpu().float()
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=2e-2, rtol=2e-2)


@on_device
def test_functions_come_and_go():
    import npufa.compat
    import npufa.flash_attn
    from transformers.integrations import npu_flash_attention

    before = npu_flash_attention.npu_flash_attn_func
    with npufa.compat.routed():
        assert npu_flash_attention.npu_flash_attn_func is npufa.flash_attn.flash_attn_func
    assert npu_flash_attention.npu_flash_attn_func is before
