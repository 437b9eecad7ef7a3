"""Types that the operators take beside the one of their definition for CANN: the same result as in that type."""

import pytest
import torch

import npufa
from cases.device import on_device

HALVES = (torch.float16, torch.bfloat16)


def normal(*shape, dtype=torch.float16, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).npu()


def bytes_of(*shape):
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int8).npu()


def positive(*shape, dtype=torch.float32):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(2)) / 64 + 1 / 64).to(dtype).npu()


@on_device
def test_masks_of_every_type():
    """Any byte but 0 masks, also those that another type would read as negative or too large."""
    query, key = normal(1, 2, 20, 16), normal(1, 2, 40, 16, seed=1)
    wide = (torch.arange(40 * 64).view(40, 64) % 3).to(torch.uint8).npu()
    mask = wide[:, :20].t() * 85  # 0, 85, 170; not contiguous
    settings = dict(num_heads=2, input_layout="BNSD", scale_value=0.25, sparse_mode=1)
    want = npufa.npu_prompt_flash_attention(query, key, key, atten_mask=mask != 0, **settings)
    assert not torch.equal(want, npufa.npu_prompt_flash_attention(query, key, key, **settings | {"sparse_mode": 0}))
    for same in (mask, mask.view(torch.int8), mask.contiguous().view(torch.int8), (mask != 0).view(torch.int8)):
        assert torch.equal(npufa.npu_prompt_flash_attention(query, key, key, atten_mask=same, **settings), want)
    training = [npufa.npu_fusion_attention(query, key, key, 2, "BNSD", atten_mask=m, sparse_mode=1)[0]
                for m in (mask, mask != 0)]  # fmt: skip
    assert torch.equal(*training)


@on_device
def test_scales_in_64_bits():
    query, key = bytes_of(1, 2, 8, 32), bytes_of(1, 2, 24, 32)

    def run(scale):
        return npufa.npu_prompt_flash_attention(
            query, key, key, num_heads=2, input_layout="BNSD", deq_scale1=scale, deq_scale2=scale,
            quant_scale1=torch.full((1,), 127.0).npu())

    number = torch.tensor([0.0078])
    bits = number.view(torch.int32).to(torch.int64) | 0x123 << 32  # nobody reads the high half
    strided = torch.zeros(7, dtype=torch.int64)
    strided[0] = bits
    want = run(number.npu())
    assert want.abs().max() > 0
    for scale in (bits, bits.view(torch.uint64), bits.view(1, 1), bits.view(()), strided[::7]):
        assert torch.equal(run(scale.npu()), want)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@on_device
def test_scales_of_a_cache(dtype):
    query, key, value = normal(2, 4, 1, 32, dtype=dtype), bytes_of(2, 2, 40, 32), bytes_of(2, 2, 40, 32)
    scales = {f"{name}_antiquant_{kind}": positive(2, 32, dtype=dtype)
              for name in ("key", "value") for kind in ("scale", "offset")}  # fmt: skip
    settings = dict(num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale=0.125)
    got, want = (npufa.npu_fused_infer_attention_score(query, key, value, **settings, **s)[0]
                 for s in (scales, {name: scale.float() for name, scale in scales.items()}))
    assert torch.equal(got, want)


@on_device
def test_combined_scale_that_is_per_channel_by_its_type():
    """(2, 2, 32) is per channel in float16 and per token in float32: two sequences of up to 32 keys, two heads."""
    query, key, value = normal(2, 2, 1, 32), bytes_of(2, 2, 30, 32), bytes_of(2, 2, 30, 32)
    scale, offset = positive(2, 2, 32, dtype=torch.float16), positive(2, 2, 32, dtype=torch.float16)

    def run(scale, offset):
        return npufa.npu_incre_flash_attention(query, key, value, num_heads=2, num_key_value_heads=2,
                                               input_layout="BNSD", scale_value=0.125, antiquant_scale=scale,
                                               antiquant_offset=offset)  # fmt: skip

    by_type, by_shape = run(scale, offset), run(scale.float().unsqueeze(2), offset.float().unsqueeze(2))
    assert torch.equal(by_type, by_shape)
    assert not torch.equal(by_type, run(scale.float(), offset.float()))


@on_device
def test_scales_of_the_output():
    query, key = normal(1, 2, 8, 32, dtype=torch.bfloat16), normal(1, 2, 24, 32, dtype=torch.bfloat16, seed=1)
    scale, offset = positive(64, dtype=torch.bfloat16) * 1024, positive(64, dtype=torch.bfloat16) * 256

    def run(scale, offset):
        return npufa.npu_prompt_flash_attention(query, key, key, num_heads=2, input_layout="BNSD", quant_scale2=scale,
                                                quant_offset2=offset)  # fmt: skip

    got = run(scale, offset)
    assert got.dtype == torch.int8 and torch.equal(got, run(scale.float(), offset.float()))


@on_device
def test_copies_are_in_the_given_workspace():
    query, key = normal(1, 2, 1, 32), bytes_of(1, 2, 40, 32)
    scale = positive(2, 32, dtype=torch.float16)
    arguments = dict(num_heads=2, input_layout="BNSD", key_antiquant_scale=scale, value_antiquant_scale=scale)
    want = torch.ops.npufa.npu_fused_infer_attention_score(query, key, key, **arguments)
    size = torch.ops.npufa._npu_fused_infer_attention_score_get_max_workspace(query, key, key, **arguments).numel()
    out = [torch.empty_like(t) for t in want]
    for dtype in (torch.uint8, torch.float32):
        workspace = torch.zeros(-(-size // dtype.itemsize), dtype=dtype).npu()
        torch.ops.npufa.npu_fused_infer_attention_score.out(query, key, key, **arguments, workspace=workspace, out=out)
        assert torch.equal(out[0], want[0])
        first = workspace.view(torch.uint8)[: 4 * scale.numel()].view(torch.float32)
        assert torch.equal(first.view_as(scale), scale.float())
    small = torch.zeros(size - 1, dtype=torch.uint8).npu()
    with pytest.raises(RuntimeError, match=f"workspace is too small, got {size - 1} bytes; expected at least {size}"):
        torch.ops.npufa.npu_fused_infer_attention_score.out(query, key, key, **arguments, workspace=small, out=out)
