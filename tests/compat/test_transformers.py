"""transformers' own flash_attention_2 while compat is installed: windows, soft caps and sinks count."""

import pytest

from cases.device import on_device


@pytest.mark.parametrize("device", ["cpu", "npu"])
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt_oss"])
@on_device
def test_flash_attention_2_is_eager_attention(name, device):
    import torch

    import npufa.compat
    from integrations.tiny_models import batch, build

    ids, mask = batch()
    with torch.no_grad():
        expected = build(name)(ids, attention_mask=mask).logits
        with npufa.compat.routed():
            model = build(name, attn_implementation="flash_attention_2").half().to(device)
            got = model(ids.to(device), attention_mask=mask.to(device)).logits.cpu().float()
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=2e-2, rtol=2e-2)


@on_device
def test_functions_come_and_go():
    from transformers.integrations import npu_flash_attention

    import npufa.compat
    import npufa.flash_attn

    before = npu_flash_attention.npu_flash_attn_func
    with npufa.compat.routed():
        assert npu_flash_attention.npu_flash_attn_func is npufa.flash_attn.flash_attn_func
    assert npu_flash_attention.npu_flash_attn_func is before


@on_device
def test_windows_and_sinks_arrive():
    """What transformers hands to the functions of its own that would drop it."""
    import torch
    from transformers.modeling_flash_attention_utils import _flash_attention_forward

    import npufa.compat

    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 40, n, 32) for n in (4, 2, 2))
    sinks = torch.randn(4)
    keys, values = (t.transpose(1, 2).repeat_interleave(2, 1) for t in (key, value))
    scores = query.transpose(1, 2) @ keys.transpose(2, 3) * 0.2
    i, j = torch.arange(40)[:, None], torch.arange(40)
    scores = torch.where((j <= i) & (j > i - 8), scores, -torch.inf)
    weights = torch.cat([scores, sinks[:, None, None].expand(1, 4, 40, 1)], -1).softmax(-1)[..., :-1]
    with npufa.compat.routed():
        got = _flash_attention_forward(
            *(t.half().npu() for t in (query, key, value)), None, 40, is_causal=True, softmax_scale=0.2,
            sliding_window=8, s_aux=sinks.half().npu(), attn_implementation="flash_attention_2")
    torch.testing.assert_close(got.cpu().float(), (weights @ values).transpose(1, 2), atol=1e-2, rtol=1e-2)
