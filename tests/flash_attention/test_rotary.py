"""apply_rotary_emb against complex multiplication in float64."""

from __future__ import annotations

import pytest
import torch

from flash_attention import published
from flash_attention.published import close, cumulative, parts
from npufa.flash_attn.kernel_rotary import apply_rotary
from npufa.flash_attn.rotary import apply_rotary_emb, apply_rotary_emb_kv_, apply_rotary_emb_qkv_


@pytest.mark.parametrize("interleaved", [False, True])
def test_dense_and_packed(interleaved: bool) -> None:
    cos, sin, offsets = torch.randn(12, 3), torch.randn(12, 3), [0, 5]
    x = torch.randn(2, 4, 2, 8, requires_grad=True)
    expected = torch.stack([published.rotated(x[b], cos, sin, offsets[b], interleaved) for b in range(2)])
    out = apply_rotary_emb(x, cos, sin, interleaved, seqlen_offsets=torch.tensor(offsets))
    close(out, expected)
    got, wanted = (torch.autograd.grad(result.square().sum(), x) for result in (out, expected))
    torch.testing.assert_close(got, wanted)
    lengths = [3, 0, 5]
    tokens = torch.randn(9, 2, 8)
    out = apply_rotary_emb(tokens, cos, sin, interleaved, seqlen_offsets=2, cu_seqlens=cumulative(lengths),
                           max_seqlen=5)
    for part in parts(lengths):
        close(out[part.start:part.stop], published.rotated(tokens[part.start:part.stop], cos, sin, 2, interleaved))


def test_in_place() -> None:
    x, cos, sin = torch.randn(1, 4, 2, 8, dtype=torch.half), torch.randn(4, 4), torch.randn(4, 4)
    expected = apply_rotary_emb(x, cos, sin)
    assert apply_rotary_emb(x, cos, sin, inplace=True) is x and torch.equal(x, expected)


def test_the_kernels_name() -> None:
    x, angle = torch.randn(2, 4, 2, 8), torch.randn(9, 3)
    turned = apply_rotary(x, angle.cos(), angle.sin(), 5, interleaved=True)
    torch.testing.assert_close(turned, apply_rotary_emb(x, angle.cos(), angle.sin(), True, seqlen_offsets=5))
    assert apply_rotary(turned, angle.cos(), angle.sin(), 5, None, None, True, True, True) is turned
    torch.testing.assert_close(turned, x)


@pytest.mark.parametrize("interleaved", [False, True])
def test_packed_heads_in_place(interleaved: bool) -> None:
    """Queries by one table, keys by another, values as they are; with a gradient."""
    (cos, sin, cos_k, sin_k), leaf = torch.randn(4, 5, 3), torch.randn(2, 4, 3, 2, 8, requires_grad=True)
    expected = torch.stack([apply_rotary_emb(leaf[:, :, 0], cos, sin, interleaved, seqlen_offsets=1),
                            apply_rotary_emb(leaf[:, :, 1], cos_k, sin_k, interleaved, seqlen_offsets=1),
                            leaf[:, :, 2]], 2)
    qkv = leaf.clone()
    out = apply_rotary_emb_qkv_(qkv, cos, sin, cos_k, sin_k, interleaved, 1)
    assert out is qkv and torch.equal(out, expected)
    got, wanted = (torch.autograd.grad(result.square().sum(), leaf) for result in (out, expected))
    torch.testing.assert_close(got, wanted)
    heads = leaf.detach().clone().flatten(2, 3)  # of query 2, key 2 and value 2
    assert torch.equal(apply_rotary_emb_qkv_(heads, cos, sin, cos_k, sin_k, interleaved, 1, num_heads_q=2),
                       expected.flatten(2, 3))
    kv = torch.randn(2, 4, 2, 2, 8)
    expected = torch.stack([apply_rotary_emb(kv[:, :, 0], cos, sin, interleaved), kv[:, :, 1]], 2)
    assert apply_rotary_emb_kv_(kv, cos, sin, interleaved) is kv and torch.equal(kv, expected)
    with pytest.raises(ValueError, match="num_heads_q does not leave heads"):
        apply_rotary_emb_qkv_(heads, cos, sin, num_heads_q=5)
