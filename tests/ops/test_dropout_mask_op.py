"""_npu_dropout_gen_mask: the bits that dropout uses, on every device."""

import pytest
import torch

import reference.dropout
from cases.device import on_device
from cases.model import operator

CALLS = [([3, 5], 0.3, 1, 0), ([17, 19], 0.4, 7, 100), ([1, 2, 40, 40], 0.1, -2, 2**33), ([64], 0.0, 1, 0),
         ([64], 1.0, 1, 0), ([0, 4], 0.5, 1, 0), ([], 0.5, 3, 0)]  # fmt: skip


def mask(device, size, p, seed, offset):
    like = torch.ones(1, device=device)
    return operator("_npu_dropout_gen_mask")(like, size, p, seed, offset, parallel=True, sync=False)


def verify(device):
    for size, p, seed, offset in CALLS:
        elements = -(-torch.Size(size).numel() // 128) * 128  # masks come in blocks of 128 bits
        got = mask(device, size, p, seed, offset)
        assert got.dtype == torch.uint8 and got.device.type == device and got.shape == (elements // 8,)
        kept = reference.dropout.philox_mask(seed, offset, elements, 1 - p)
        torch.testing.assert_close(got.cpu(), reference.dropout.pack_bits(kept), rtol=0, atol=0)
        assert mask("meta", size, p, seed, offset).shape == got.shape


def test_cpu():
    verify("cpu")


@on_device
def test_npu():
    verify("npu")


def test_the_mask_of_a_seed_is_the_one_that_attention_uses():
    query = torch.randn(1, 2, 20, 16)
    attention = operator("npu_fusion_attention")
    bits = mask("cpu", [1, 2, 20, 20], 1 - 0.9, 5, 8)
    drawn = attention(query, query, query, 2, "BNSD", keep_prob=0.9, seed=5, offset=8)[0]
    given = attention(query, query, query, 2, "BNSD", keep_prob=0.9, dropout_mask=bits)[0]
    assert torch.equal(drawn, given)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("change, message", [
    (dict(p=1.5), "p is no probability, got 1.5; expected a number in 0..1"),
    (dict(p=-0.1), "p is no probability"),
    (dict(p=float("nan")), "p is no probability"),
    (dict(size=[4, -1]), r"size is negative, got \[4, -1\]"),
])
def test_illegal(device, change, message):
    with pytest.raises(RuntimeError, match=f"npufa::_npu_dropout_gen_mask: {message}"):
        mask(device, **(dict(size=[4], p=0.5, seed=1, offset=0) | change))
