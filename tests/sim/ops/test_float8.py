"""float8 caches on the simulated NPU: each of the 256 bytes as the format says, every form of scales."""

from __future__ import annotations

import pytest
import torch

import npufa
from cases.device import on_device
from cpu.primitives_support import float8_values

FORMATS = {torch.float8_e4m3fn: (4, 7), torch.float8_e5m2: (5, 15)}
KINDS = list(FORMATS)
ALL_BYTES = torch.arange(256, dtype=torch.uint8)
BNSD = {"input_layout": "BNSD", "scale": 1.0}


def infer(query, key, value, **arguments):
    """Output on the NPU, as float64 on the CPU."""
    moved = {n: v.npu() if isinstance(v, torch.Tensor) else v for n, v in arguments.items()}
    got = npufa.npu_fused_infer_attention_score(query.npu(), key.npu(), value.npu(), **moved)[0]
    return got.cpu().double()


def decoded(kind: torch.dtype) -> torch.Tensor:
    return torch.as_tensor(float8_values(ALL_BYTES, *FORMATS[kind]), dtype=torch.float64).flatten()


def scales(per_token: bool, tokens: int) -> dict:
    """A scale of 1 for values and keys, which the kernel may apply to queries and output, or per token to each key."""
    scale = torch.ones(1, tokens) if per_token else torch.ones(1)
    mode = int(per_token)
    return {"key_antiquant_scale": scale, "value_antiquant_scale": scale.clone(), "key_antiquant_mode": mode,
            "value_antiquant_mode": mode}


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@on_device
def test_every_byte_is_a_value(kind, dtype, per_token):
    value = ALL_BYTES.view(1, 1, 1, 256).view(kind)
    key = torch.zeros(1, 1, 1, 256).to(kind)
    got = infer(torch.zeros(1, 1, 1, 256, dtype=dtype), key, value, num_heads=1, **BNSD, **scales(per_token, 1))
    expected = decoded(kind).to(dtype).double()
    if dtype == torch.float16 and not per_token:
        assert torch.isinf(expected).sum() == (2 if kind == torch.float8_e5m2 else 0)
    torch.testing.assert_close(got.flatten(), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@on_device
def test_every_byte_is_a_key(kind, per_token):
    """One channel each: the probabilities of two keys, the byte and 0, are those of its number."""
    numbers = decoded(kind)
    key = torch.zeros(256, 1, 2, 16, dtype=torch.uint8)
    key[:, 0, 0, 3] = ALL_BYTES
    value = torch.zeros(256, 1, 2, 16)
    value[:, :, 0] = 1
    step = 2.0**-8
    query = torch.full((256, 1, 1, 16), step, dtype=torch.float16)
    arguments = scales(per_token, 2)
    if per_token:
        arguments = {n: v.expand(256, 2).contiguous() if isinstance(v, torch.Tensor) else v
                     for n, v in arguments.items()}
    got = infer(query, key.view(kind), value.to(kind), num_heads=1, **BNSD, **arguments)
    expected = torch.softmax(torch.stack([numbers * step, torch.zeros(256)], -1), -1)[:, 0]
    # A softmax over -inf and +inf alone leaves NaN to +inf and 0 to -inf, on any device.
    kept = ~torch.isposinf(numbers)
    torch.testing.assert_close(got[kept, 0, 0, 0], expected[kept], rtol=2e-3, atol=2e-4, equal_nan=True)
    assert torch.isnan(got[torch.isnan(numbers)]).all()
