"""Every feature of npu_prompt_flash_attention on the simulated NPU, against the float64 reference."""

import dataclasses
import itertools

import pytest
import torch

from cases import Draw
from cases.device import on_device
from cases.fusion import compressed_mask
from cases.inference import MASK_DTYPES
from sim.ops.prefill import ALIBI_ROWS, HALVES, HEAD_DIMS, LAYOUTS, prefill

SIZES = (1, 17, 127, 128, 129, 513, 1025)
UNBOUNDED = 2**63 - 1


def verify(cases):
    for case in cases:
        case.verify()


@pytest.mark.parametrize("layout", LAYOUTS)
@on_device
def test_layouts_and_sparse_modes(layout):
    mask = Draw(1).mask((150, 300))
    verify(
        prefill(layout, heads=2, kv_heads=1, sq=150, skv=300, value_dim=value_dim, dtype=dtype, sparse_mode=mode,
                pre_tokens=100, next_tokens=9, atten_mask=mask if mode < 2 else None)
        for dtype, mode, value_dim in itertools.product(HALVES, range(5), (32, 24))
    )  # fmt: skip


@on_device
def test_compressed_masks():
    for mode, kind, lead in zip((2, 3, 4), MASK_DTYPES, ((), (1,), (1, 1))):
        mask = compressed_mask(dtype=kind).view(*lead, 2048, 2048)
        prefill(sparse_mode=mode, pre_tokens=20, next_tokens=9, atten_mask=mask).verify()


@on_device
def test_mode_0_without_mask_ignores_the_band():
    prefill(sparse_mode=0, pre_tokens=1, next_tokens=1).verify()


@on_device
def test_defaults():
    """Layout BSH, one head, as many key heads as query heads, scale 1, next_tokens 0."""
    d = Draw(1)
    tensors = {name: d.normal((2, 9, 16), torch.float16) for name in ("query", "key", "value")}
    explicit = {"num_heads": 1, "num_key_value_heads": 0, "input_layout": "BSH", "scale_value": 1.0, "next_tokens": 0}
    case = prefill()
    for given in ({}, {"num_heads": 4}, {"num_heads": 4, "atten_mask": torch.zeros(9, 9, dtype=torch.bool)}):
        out = dataclasses.replace(case, kwargs=tensors | given).call()
        assert torch.equal(out, prefill(**tensors | explicit | given).verify())


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@on_device
def test_head_dims(dtype):
    layouts = itertools.cycle(LAYOUTS)
    verify(
        prefill(next(layouts), heads=2, kv_heads=1, sq=40, skv=150, dim=dim, value_dim=value_dim, dtype=dtype,
                sparse_mode=3)
        for dim in HEAD_DIMS
        for value_dim in {dim, (dim + 1) // 2, 1}
    )  # fmt: skip


@pytest.mark.parametrize("mode", [0, 3])
@on_device
def test_sizes(mode):
    dtypes = itertools.cycle(HALVES)
    verify(
        prefill(batch=1, heads=1, kv_heads=1, sq=sq, skv=skv, dim=32, dtype=next(dtypes), sparse_mode=mode)
        for sq, skv in itertools.product(SIZES, SIZES)
    )


@on_device
def test_many_pipeline_steps():
    """More steps per tile than the kernel has slots for them, and several tiles with them."""
    one_head = {"batch": 1, "heads": 1, "kv_heads": 1}
    verify(
        prefill(**one_head, sq=sq, skv=skv, dim=dim, dtype=dtype, sparse_mode=mode)
        for sq, skv, dim, mode in ((130, 5000, 16, 0), (2500, 2500, 16, 3), (130, 2600, 144, 3), (70, 2600, 300, 3))
        for dtype in HALVES
    )


@on_device
def test_heads():
    verify(
        prefill(layout, batch=batch, heads=heads, kv_heads=kv_heads, sq=sq, skv=40)
        for layout in LAYOUTS
        for batch, heads, kv_heads, sq in ((1, 1, 1, 9), (3, 5, 1, 20), (2, 6, 3, 17), (7, 40, 8, 1), (1, 3, 3, 300))
    )


@on_device
def test_rows_further_apart_than_a_copy_can_stride():
    for layout in ("BSH", "BSND"):
        prefill(layout, batch=1, heads=130, kv_heads=130, sq=3, skv=20, dim=512).verify()


@on_device
def test_masks():
    leads = ((), (2,), (1,), (2, 1), (1, 1), (1, 4), (2, 4))

    def cases():
        for (lead, extra, mode), kind in zip(itertools.product(leads, (0, 7), (0, 1)), itertools.cycle(MASK_DTYPES)):
            mask = Draw(3).mask((*lead, 140 + extra, 200 + extra), kind)
            yield prefill(sq=140, skv=200, atten_mask=mask, sparse_mode=mode, pre_tokens=100, next_tokens=9)

    verify(cases())


@on_device
def test_any_nonzero_byte_masks():
    mask = Draw(3).integers((33, 40), -128, 127)
    mask.masked_fill_(Draw(4).mask((33, 40), density=0.5), 0)
    expected = prefill(atten_mask=mask != 0, sparse_mode=1).verify()
    for same in (mask, mask.view(torch.uint8)):
        assert torch.equal(prefill(atten_mask=same, sparse_mode=1).verify(), expected)


@on_device
def test_everything_masked():
    assert not prefill(atten_mask=torch.ones(33, 40, dtype=torch.bool), sparse_mode=1).verify().any()


@on_device
def test_whole_tiles_masked_out():
    """A running maximum of minus infinity does not turn into NaN when later keys take part."""
    def cases():
        for width, dtype in itertools.product((64, 300, 1024), HALVES):
            mask = torch.zeros(70, 1100, dtype=torch.bool)
            mask[:, :width], mask[10:40, 600:900], mask[[3, 5, 69]], mask[20, 5] = True, True, True, False
            sizes = {"batch": 1, "heads": 2, "sq": 70, "skv": 1100, "dtype": dtype}
            yield prefill(**sizes, atten_mask=mask, sparse_mode=1)
            yield prefill(**sizes, pse_shift=torch.zeros(1, 2, 70, 1100, dtype=dtype).masked_fill_(mask, -torch.inf))

    verify(cases())


@pytest.mark.parametrize("mode", [0, 2, 3, 4])
@on_device
def test_lengths(mode):
    given = ([33], [7], [0], [33, 5], [0, 12], [1, 2, 99])
    given_kv = (None, [40], [3], [0], [40, 1], [0, 25], [5, 6, 70, 80])
    verify(
        prefill(actual_seq_lengths=lengths, actual_seq_lengths_kv=kv, sparse_mode=mode, pre_tokens=5, next_tokens=3)
        for lengths, kv in itertools.product(given, given_kv)
    )


@on_device
def test_lengths_across_tiles():
    verify(
        prefill(layout, batch=3, sq=400, skv=700, heads=2, kv_heads=1, dtype=dtype, sparse_mode=mode,
                actual_seq_lengths=[129, 0, 400], actual_seq_lengths_kv=[700, 513, 128])
        for layout, dtype, mode in itertools.product(LAYOUTS, HALVES, (0, 3))
    )  # fmt: skip


@pytest.mark.parametrize("junk", [torch.nan, torch.inf])
@on_device
def test_what_lies_beyond_the_lengths_is_not_read(junk):
    def cases():
        for layout, dtype in itertools.product(("BNSD", "BSND"), HALVES):
            case = prefill(layout, sq=150, skv=600, dtype=dtype, pse_shift=Draw(1).normal((2, 4, 150, 600), dtype),
                           actual_seq_lengths=[140, 3], actual_seq_lengths_kv=[65, 517])  # fmt: skip
            tensors = [case.kwargs[name] if layout == "BNSD" else case.kwargs[name].transpose(1, 2)
                       for name in ("query", "key", "value")]  # fmt: skip
            for b, (rows, columns) in enumerate(((140, 65), (3, 517))):
                tensors[0][b, :, rows:] = junk
                tensors[1][b, :, columns:] = junk
                tensors[2][b, :, columns:] = junk
                case.kwargs["pse_shift"][b, :, rows:] = junk
                case.kwargs["pse_shift"][b, :, :, columns:] = junk
            yield case

    verify(cases())


@on_device
def test_bands():
    pairs = [(3, 5), (-2, 8), (8, -2), (-50, 0), (0, -50), (-3, -3), (0, 0), (UNBOUNDED, UNBOUNDED), (UNBOUNDED, 0)]
    lengths = (None, [20, 33])
    mask = torch.zeros(33, 40, dtype=torch.bool)
    verify(
        prefill(sparse_mode=mode, pre_tokens=pre, next_tokens=nxt, actual_seq_lengths=given,
                atten_mask=mask if mode == 0 else None)
        for (pre, nxt), given, mode in itertools.product(pairs, lengths, (0, 4))
    )  # fmt: skip


@on_device
def test_every_alignment_of_a_band():
    verify(
        prefill(batch=1, heads=1, kv_heads=1, sq=70, skv=150, dim=16, sparse_mode=4, pre_tokens=50 - shift,
                next_tokens=shift)
        for shift in range(-66, 67)
    )  # fmt: skip


@on_device
def test_rows_without_keys():
    for dtype in HALVES:
        out = prefill(sq=300, skv=40, dtype=dtype, sparse_mode=3).verify()
        assert not out[:, :, :260].any()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@on_device
def test_bias(dtype):
    shapes = ((2, 4, 140, 600), (1, 4, 140, 600), (2, 4, 1, 600), (1, 4, 1, 640), (2, 4, 150, 601))
    verify(
        prefill(sq=140, skv=600, dtype=dtype, pse_shift=Draw(2).normal(shape, dtype), sparse_mode=mode)
        for shape, mode in itertools.product(shapes, (0, 3))
    )


@on_device
def test_bias_of_minus_infinity_masks():
    for dtype in HALVES:
        bias = Draw(1).normal((2, 4, 33, 40), dtype)
        bias[..., 5] = bias[:, 1, 3] = bias[:, :, 20:] = -torch.inf
        out = prefill(dtype=dtype, pse_shift=bias).verify()
        assert not out[:, 1, 3].any() and not out[:, :, 20:].any()


@on_device
def test_very_negative_bias_does_not_mask():
    for dtype, lowest in ((torch.float16, -65504.0), (torch.bfloat16, -3e38)):
        bias = torch.zeros(1, 4, 33, 40, dtype=dtype)
        bias[:, :, 2:5] = bias[:, :, 6, :4] = lowest
        case = prefill(dtype=dtype, pse_shift=bias)
        case.kwargs["query"][:, :, 2:7] = 0  # else the sum rounds the products away
        case.verify()


@on_device
def test_compressed_alibi():
    def cases():
        for size, dtype, mode in ((1025, HALVES[0], 2), (1200, HALVES[1], 3), (1153, HALVES[0], 4)):
            bias = Draw(1).normal((1, 2, ALIBI_ROWS, size + 3), dtype)
            yield prefill(batch=1, heads=2, kv_heads=1, sq=size, skv=size, dim=16, dtype=dtype, pse_shift=bias,
                          sparse_mode=mode, next_tokens=0)  # fmt: skip
        mask = torch.triu(torch.ones(1100, 1100, dtype=torch.bool), diagonal=1)
        bias = Draw(1).normal((2, 1, ALIBI_ROWS, 1100), torch.float16)
        yield prefill(batch=2, heads=1, kv_heads=1, sq=1100, skv=1100, dim=16, pse_shift=bias, atten_mask=mask,
                      sparse_mode=1, actual_seq_lengths=[1100, 1030], actual_seq_lengths_kv=[1100, 77])  # fmt: skip

    verify(cases())


@on_device
def test_scales():
    scales = (0.0, -0.5, 1e-6, 20.0, 300.0)
    verify(prefill(skv=600, dtype=dtype, scale_value=scale) for dtype, scale in itertools.product(HALVES, scales))


@on_device
def test_large_values():
    """Scores far beyond float16."""
    case = prefill(skv=600, scale_value=1e-4)
    for name in ("query", "key"):
        case.kwargs[name].mul_(1000)
    case.verify()


@on_device
def test_empty_tensors():
    for layout, dtype in itertools.product(LAYOUTS, HALVES):
        assert not prefill(layout, skv=0, dtype=dtype).verify().any()
        prefill(layout, skv=0, dtype=dtype, atten_mask=torch.zeros(33, 0, dtype=torch.bool), sparse_mode=1,
                pse_shift=torch.zeros(1, 4, 33, 0, dtype=dtype)).verify()  # fmt: skip
        for sizes in ({"sq": 0}, {"batch": 0}, {"sq": 0, "skv": 0}):
            assert prefill(layout, dtype=dtype, **sizes).verify().numel() == 0


@on_device
def test_views():
    """Transposed, stepped and offset inputs are read where they are, and give the bits of contiguous ones."""
    mask, bias = Draw(1).mask((2, 4, 33, 40)), Draw(2).normal((2, 4, 33, 40), torch.float16)
    case = prefill(atten_mask=mask, pse_shift=bias, sparse_mode=1)
    expected = case.verify()
    for name in ("query", "key", "value", "atten_mask", "pse_shift"):
        tensor = case.kwargs[name]
        stepped = torch.stack([tensor, torch.zeros_like(tensor)], -1)[..., 0]
        offset = torch.cat([tensor, tensor], 2)[:, :, tensor.shape[2] :]
        turned = tensor.transpose(1, 3).contiguous().transpose(1, 3)
        for view in (stepped, offset, turned):
            assert not view.is_contiguous()
            assert torch.equal(case.call(**{name: view}), expected)


@on_device
def test_expanded_views():
    case = prefill(atten_mask=Draw(1).mask((2, 4, 33, 40)), sparse_mode=1)
    for name in ("key", "value", "atten_mask"):
        expanded = case.kwargs[name][:1].expand(2, -1, -1, -1)
        assert torch.equal(case.call(**{name: expanded}), case.call(**{name: expanded.contiguous()}))
