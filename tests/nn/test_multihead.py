"""npufa.nn.MultiheadAttention against torch's module and against attention in float64."""

import copy

import pytest
import torch

from cases.device import on_device
from npufa.nn import MultiheadAttention

E, N = 32, 4


def tokens(*shape):
    return torch.randn(*shape, E)


def close(got, expected, atol=3e-6):
    torch.testing.assert_close(got, expected.to(got.dtype), atol=atol, rtol=1e-4)


def expected_output(module, x, keep, positions=None):
    """The module's function of one sequence (S, E) in float64, written from the papers; keep is (S, S)."""
    d, g = module.head_dim, module.num_heads // module.num_kv_heads
    x = x.double()
    bias = 0 if module.in_proj_bias is None else module.in_proj_bias.double()
    heads = (x @ module.in_proj_weight.double().T + bias).view(len(x), -1, d).transpose(0, 1)
    q, k, v = heads.split([module.num_heads, module.num_kv_heads, module.num_kv_heads])
    if module.rope_theta is not None:
        positions = torch.arange(len(x)) if positions is None else positions
        turn = positions.double()[:, None] * module.rope_theta ** (-torch.arange(d // 2).double() * 2 / d)

        def rotated(t):
            z = torch.complex(t[..., : d // 2], t[..., d // 2:]) * torch.polar(torch.ones_like(turn), turn)
            return torch.cat([z.real, z.imag], -1)

        q, k = rotated(q), rotated(k)
    k, v = (t.repeat_interleave(g, 0) for t in (k, v))
    scores = (q @ k.mT / d**0.5).masked_fill(~keep, -torch.inf)
    if module.sinks is not None:
        sink = module.sinks.double()[:, None, None].expand(-1, len(x), 1)
        scores = torch.cat([scores, sink], -1)
    weights = scores.softmax(-1)[..., : len(x)]
    output = (weights @ v).transpose(0, 1).flatten(1) @ module.out_proj.weight.double().T
    return output if module.out_proj.bias is None else output + module.out_proj.bias.double()


def causal(length, window=None):
    i, j = torch.arange(length)[:, None], torch.arange(length)
    return (j <= i) & (j > i - (window or length))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_is_torchs_module(batch_first, bias):
    torch.manual_seed(0)
    reference = torch.nn.MultiheadAttention(E, N, bias=bias, batch_first=batch_first)
    module = MultiheadAttention(E, N, bias=bias, batch_first=batch_first)
    module.load_state_dict(reference.state_dict())
    query, key = (tokens(2, s) if batch_first else tokens(s, 2) for s in (7, 11))
    padding = torch.zeros(2, 11, dtype=torch.bool)
    padding[0, 8:] = True
    hidden = torch.rand(7, 11) < 0.3
    hidden[:, 0] = False
    added = torch.randn(2 * N, 7, 11)
    for masks in ({}, {"attn_mask": hidden}, {"key_padding_mask": padding}, {"attn_mask": added},
                  {"attn_mask": hidden, "key_padding_mask": padding}):
        results = []
        for m in (module, reference):
            m.zero_grad()
            output = m(query, key, key, **masks)
            output = output if isinstance(output, torch.Tensor) else output[0]
            output.square().sum().backward()
            results.append([output.detach(), *(p.grad for _, p in sorted(m.named_parameters()))])
        torch.testing.assert_close(*results, atol=2e-5, rtol=1e-3)
    close(module(query), reference(query, query, query)[0])
    close(module(query[0]), reference(query[0], query[0], query[0])[0])


def test_from_torch_copies():
    reference = torch.nn.MultiheadAttention(E, N, dropout=0.2).eval()
    module = MultiheadAttention.from_torch(reference)
    assert module.dropout == 0.2 and not module.training
    x = tokens(5, 2)
    close(module(x), reference(x, x, x)[0])
    with torch.no_grad():
        module.in_proj_weight.zero_()
    assert reference.in_proj_weight.any()
    with pytest.raises(ValueError, match="add_bias_kv"):
        MultiheadAttention.from_torch(torch.nn.MultiheadAttention(E, N, add_bias_kv=True))


VARIANTS = [
    {"num_kv_heads": 2, "causal": True},
    {"num_kv_heads": 1, "causal": True, "rope_theta": 100.0, "bias": False},
    {"num_kv_heads": 2, "head_dim": 24, "causal": True, "window": 3, "rope_theta": 1e4},
    {"causal": True, "sinks": True, "window": 4},
    {"num_kv_heads": 2, "sinks": True, "rope_theta": 50.0},
]


def build(settings):
    module = MultiheadAttention(E, N, batch_first=True, **settings)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.normal_()
    return module


def keep_of(module, length):
    return causal(length, module.window) if module.causal else torch.ones(length, length, dtype=torch.bool)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_variants_with_gradients(settings):
    torch.manual_seed(0)
    module, x = build(settings), tokens(2, 9)
    got = module(x)
    expected = torch.stack([expected_output(module, sequence, keep_of(module, 9)) for sequence in x])
    close(got, expected)
    parameters = dict(module.named_parameters())
    gradients = [torch.autograd.grad(out.square().sum(), [*parameters.values()]) for out in (got, expected)]
    for name, *pair in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(*pair, atol=2e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    with torch.no_grad():
        close(module(x), expected)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_packed_sequences_do_not_see_each_other(settings, kind):
    torch.manual_seed(0)
    module, x = build(settings), tokens(12)
    pieces = x.split([5, 1, 6])
    expected = torch.cat([expected_output(module, piece, keep_of(module, len(piece))) for piece in pieces])
    close(module(x, actual_seq_qlen=kind([5, 6, 12])), expected)
    with torch.no_grad():
        close(module(x, actual_seq_qlen=kind([5, 6, 12])), expected)


@pytest.mark.parametrize("settings", [v for v in VARIANTS if v.get("causal")], ids=str)
def test_cache_gives_what_one_pass_gives(settings):
    torch.manual_seed(0)
    module, x = build(settings).eval(), tokens(2, 10)
    with torch.no_grad():
        whole, cache = module(x), module.new_cache(2, 10)
        parts = [module(part, cache=cache) for part in x.split([4, 1, 1, 3, 1], dim=1)]
        close(torch.cat(parts, 1), whole)
        cache.truncate(8)
        close(module(x[:, 8:], cache=cache), whole[:, 8:])
        with pytest.raises(ValueError, match="no room"):
            module(x[:, :1], cache=cache)
        assert cache.length == 10 and cache.nbytes == 2 * 2 * 10 * module.num_kv_heads * module.head_dim * 4
    with pytest.raises(ValueError, match="no_grad"):
        module(x, cache=module.new_cache(2, 10))


def test_left_padded_decode_with_a_cache():
    torch.manual_seed(0)
    module, x = build(VARIANTS[2]).eval(), tokens(7)
    padding = torch.tensor([[True, True, False, False, False, False, False, False, False]])
    padded = torch.cat([tokens(2), x])[None]
    positions = (torch.arange(9) - 2).clamp(min=0)
    with torch.no_grad():
        expected, cache = module(x), module.new_cache(1, 9)
        first = module(padded[:, :6], cache=cache, key_padding_mask=padding[:, :6], positions=positions[:6])
        close(first[0, 2:], expected[:4])
        for i in range(6, 9):
            step = module(padded[:, i:i + 1], cache=cache, key_padding_mask=padding[:, :i + 1],
                          positions=positions[i:i + 1])
            close(step[0], expected[i - 2:i - 1])


def test_dropout_only_in_training():
    torch.manual_seed(0)
    module, x = MultiheadAttention(E, N, dropout=0.5), tokens(6, 2)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_autocast_and_half():
    torch.manual_seed(0)
    module, x = build(VARIANTS[2]).eval(), tokens(2, 9)
    expected = module(x)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        close(module(x).float(), expected, atol=0.1)
        cache = module.new_cache(2, 9, torch.bfloat16)
        assert module(x, cache=cache).dtype == torch.bfloat16
        with pytest.raises(TypeError, match="dtype"):
            module(x, cache=module.new_cache(2, 9))
    close(copy.deepcopy(module).half()(x.half()).float(), expected, atol=0.02)


def test_compiled_training_and_decode():
    torch.manual_seed(0)
    module, x = build(VARIANTS[3]), tokens(2, 9)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    gradients = []
    for m in (module, compiled):
        module.zero_grad()
        m(x).square().sum().backward()
        gradients.append([p.grad for p in module.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        cache = module.new_cache(2, 9)
        close(torch.cat([compiled(part, cache=cache) for part in x.split([5, 1, 1, 1, 1], 1)], 1), module(x))


@pytest.mark.parametrize("settings, word", [
    ({"num_heads": 3}, "num_heads"),
    ({"num_kv_heads": 3}, "num_kv_heads"),
    ({"head_dim": 1000}, "head_dim"),
    ({"head_dim": 7, "rope_theta": 10.0}, "head_dim"),
    ({"dropout": 1.0}, "dropout"),
    ({"window": 3}, "window"),
    ({"window": 0, "causal": True}, "window"),
])  # fmt: skip
def test_illegal_settings(settings, word):
    with pytest.raises(ValueError, match=f"npufa.nn: {word}"):
        MultiheadAttention(E, **{"num_heads": N, **settings})


@pytest.mark.parametrize("arguments, word", [
    ({"attn_mask": torch.zeros(5, 5, dtype=torch.bool)}, "attn_mask"),
    ({"attn_mask": torch.zeros(6, 6, dtype=torch.int32)}, "attn_mask"),
    ({"attn_mask": torch.zeros(6, 6)}, "attn_mask"),
    ({"key_padding_mask": torch.zeros(2, 5, dtype=torch.bool)}, "key_padding_mask"),
    ({"key_padding_mask": torch.zeros(2, 6)}, "key_padding_mask"),
    ({"actual_seq_qlen": [3, 6]}, "actual_seq_qlen"),
    ({"actual_seq_kvlen": [3, 6]}, "actual_seq_kvlen"),
    ({"key": torch.zeros(2, 6, E)}, "key"),
])  # fmt: skip
def test_illegal_calls(arguments, word):
    module = MultiheadAttention(E, N, causal=True, rope_theta=10.0, batch_first=True)
    with pytest.raises(ValueError, match=f"npufa.nn: {word}"):
        module(tokens(2, 6), **arguments)
    with pytest.raises(ValueError, match="query"):
        module(torch.zeros(2, 6, E + 1))


@on_device
def test_on_npu():
    torch.manual_seed(0)
    module, x = build({**VARIANTS[2], "window": 4}), tokens(2, 6)
    on_npu = copy.deepcopy(module).npu()
    gradients = []
    for m, inputs in ((module, x), (on_npu, x.npu())):
        m(inputs).square().sum().backward()
        gradients.append([p.grad.cpu() for p in m.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        cache = on_npu.new_cache(2, 6)
        parts = [on_npu(part, cache=cache).cpu() for part in x.npu().split([4, 1, 1], 1)]
        close(torch.cat(parts, 1), module(x), atol=1e-5)


@pytest.mark.parametrize("ends", [[2, 2, 5], torch.tensor([2, 2, 5])])
def test_positions_restart_in_each_packed_sequence(ends):
    from npufa.nn.rotary import positions_of

    assert positions_of(6, 0, ends, torch.device("cpu")).tolist() == [[0, 1, 0, 1, 2, 0]]  # last: padding
    assert positions_of(3, 4, None, torch.device("cpu")).tolist() == [[4, 5, 6]]
