"""npufa.nn.MultiheadLatentAttention against transformers' DeepSeek attention and against itself absorbed."""

import copy

import pytest
import torch

from cases.device import on_device
from npufa.nn import MultiheadLatentAttention

SIZES = {"kv_lora_rank": 24, "q_lora_rank": 20, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
VARIANTS = [{}, {"q_lora_rank": None, "rope_interleaved": False}, {"bias": True, "v_head_dim": 24, "scale": 0.3}]


def build(**changes):
    torch.manual_seed(0)
    module = MultiheadLatentAttention(32, 4, **{**SIZES, "rope_theta": 100.0, **changes}).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_is_transformers_deepseek_attention(changes):
    from transformers import DeepseekV3Config
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RotaryEmbedding

    module = build(**changes)
    config = DeepseekV3Config(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=4, attention_bias=changes.get("bias", False),
        rope_interleave=module.rope_interleaved, max_position_embeddings=64, attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        **{name: changes.get(name, size) for name, size in SIZES.items()})
    reference = DeepseekV3Attention(config, 0).double().eval()
    reference.load_state_dict({name: t.double() for name, t in module.state_dict().items()})
    reference.scaling = module.scale
    x = torch.randn(2, 11, 32)
    turn = DeepseekV3RotaryEmbedding(config)(x, torch.arange(11)[None])
    mask = torch.full((11, 11), -torch.inf, dtype=torch.float64).triu(1)[None, None]
    expected = reference(x.double(), [t.double() for t in turn], mask)[0]
    got = module(x)
    torch.testing.assert_close(got, expected.float(), atol=3e-6, rtol=1e-4)
    got.square().sum().backward()
    expected.square().sum().backward()
    wanted = dict(reference.named_parameters())
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad.float(), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@torch.no_grad()
def test_absorbed_is_expanded(changes):
    module, x = build(**changes), torch.randn(2, 9, 32)
    whole = module(x)
    torch.testing.assert_close(module(x, absorbed=True), whole, atol=3e-6, rtol=1e-4)
    for absorbed in (None, True, False):
        cache = module.new_cache(2, 9)
        parts = [module(part, cache=cache, absorbed=absorbed) for part in x.split([4, 1, 1, 2, 1], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=3e-6, rtol=1e-4)
    assert cache.nbytes == 2 * 9 * (24 + 8) * 4


@torch.no_grad()
def test_decoding_absorbs(monkeypatch):
    module, x = build(), torch.randn(1, 3, 32)
    monkeypatch.setattr(module, "_expanded", None)
    cache = module.new_cache(1, 3)
    module(x[:, :2], cache=cache, absorbed=True)
    module(x[:, 2:], cache=cache)


@torch.no_grad()
def test_positions():
    module, x = build(), torch.randn(2, 5, 32)
    torch.testing.assert_close(module(x, positions=torch.arange(7, 12)), module(x), atol=1e-5, rtol=1e-4)  # relative
    assert not torch.allclose(module(x, positions=torch.arange(5) * 2), module(x), atol=1e-3)


def test_dropout_autocast_and_compile():
    module, x = build(dropout=0.5), torch.randn(2, 9, 32)
    with torch.no_grad():
        expected = module(x)
        assert not torch.allclose(module.train()(x), expected, atol=1e-3)
        module.eval()
        with torch.autocast("cpu", torch.bfloat16):
            cache = module.new_cache(2, 9, torch.bfloat16)
            got = torch.cat([module(part, cache=cache) for part in x.split([7, 2], dim=1)], dim=1)
        torch.testing.assert_close(got.float(), expected, atol=0.1, rtol=0.05)
        cache = module.new_cache(2, 9)
        compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
        got = torch.cat([compiled(part, cache=cache) for part in x.split([7, 1, 1], dim=1)], dim=1)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes, word", [
    ({"qk_rope_head_dim": 7}, "qk_rope_head_dim"), ({"v_head_dim": 25}, "v_head_dim"), ({"dropout": 1.0}, "dropout"),
    ({"kv_lora_rank": 0}, "kv_lora_rank"),
])  # fmt: skip
def test_illegal_settings(changes, word):
    with pytest.raises(ValueError, match=f"npufa.nn: {word}"):
        MultiheadLatentAttention(32, 4, **{**SIZES, **changes})


def test_illegal_calls():
    with pytest.raises(ValueError, match="inference"):
        build()(torch.randn(1, 3, 32), absorbed=True)
    with torch.no_grad(), pytest.raises(ValueError, match="kv_lora_rank"):
        build(kv_lora_rank=520)(torch.randn(1, 3, 32), absorbed=True)
    with pytest.raises(ValueError, match="hidden_states"):
        build()(torch.randn(3, 32))


@on_device
def test_on_npu():
    module, x = build(), torch.randn(2, 5, 32)
    on_npu = copy.deepcopy(module).npu()
    with torch.no_grad():
        whole, cache = module(x), on_npu.new_cache(2, 5)
        parts = [on_npu(part, cache=cache).cpu() for part in x.npu().split([3, 1, 1], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-3)
    gradients = []
    for m, inputs in ((module, x), (on_npu, x.npu())):
        m(inputs).square().sum().backward()
        gradients.append([p.grad.cpu() for p in m.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)
