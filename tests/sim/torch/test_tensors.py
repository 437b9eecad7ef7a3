"""Tensors of the simulated device: copies, conversions, views, factories, random numbers."""

import itertools

import pytest
import torch

from cases.device import on_device

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16,
          torch.int32, torch.int64, torch.bool, torch.complex64]


def same(found, expected):
    assert found.device.type == "npu"
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)


@on_device
def test_there_and_back():
    for dtype in DTYPES:
        x = (torch.randn(3, 5) * 100).to(dtype)
        same(x.npu(), x)
        same(x.to("npu:0"), x)
        assert torch.equal(x.npu().cpu(), x)


@on_device
def test_conversions():
    x = torch.randn(64) * 100
    for source, target in itertools.product(DTYPES, DTYPES):
        if source.is_complex and not target.is_complex:
            continue
        y = x.abs().to(source) if target == torch.uint8 else x.to(source)
        same(y.npu().to(target), y.to(target))
        assert torch.equal(y.npu().to("cpu", target), y.to(target))


@on_device
def test_halves_round_to_nearest_even():
    x = torch.tensor([1 + 2**-11, 1 + 3 * 2**-11, 65519.0, 65520.0, 2**-25, 2**-24, float("nan"), -0.0])
    expected = torch.tensor([1.0, 1 + 2**-9, 65504.0, float("inf"), 0.0, 2**-24, float("nan"), -0.0])
    found = x.npu().half().cpu()
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0, equal_nan=True)
    assert torch.signbit(found[-1])


@on_device
def test_strided_copies():
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    for view in (lambda t: t.permute(3, 0, 2, 1), lambda t: t[:, 1:, ::2, 1::3], lambda t: t[0, 2].t(),
                 lambda t: t[:1].expand(4, 3, 4, 5), lambda t: t[..., 0], lambda t: t[1, 1, 1, 1]):
        same(view(x.npu()), view(x))
        same(view(x.npu()).contiguous(), view(x).contiguous())
        same(view(x).npu(), view(x))
    y = torch.zeros(5, 4).npu()
    y.t()[1:3].copy_(torch.ones(2, 5).npu())
    y[:, 0].copy_(torch.full((), 7.0))
    expected = torch.zeros(5, 4)
    expected[:, 1:3] = 1
    expected[:, 0] = 7
    same(y, expected)


@on_device
def test_views_share_memory():
    x = torch.zeros(4, 6).npu()
    x.view(-1)[5] = 1
    x[1:3, ::2].t().add_(2)
    x.narrow(0, 3, 1).fill_(5)
    x.unsqueeze(0).squeeze(0)[0, 0] = 9
    y = x.reshape(6, 4)
    y[0, 1] = 3
    expected = torch.zeros(4, 6)
    expected[0, 5], expected[1:3, ::2], expected[3], expected[0, 0], expected[0, 1] = 1, 2, 5, 9, 3
    same(x, expected)
    assert y.data_ptr() == x.data_ptr()
    x.t_()
    assert x.shape == (6, 4)


@on_device
def test_factories():
    for make in (lambda d: torch.zeros(3, 2, device=d), lambda d: torch.ones(3, device=d, dtype=torch.int64),
                 lambda d: torch.full((2, 2), 7.5, device=d), lambda d: torch.arange(1, 9, 2, device=d),
                 lambda d: torch.linspace(0, 1, 5, device=d), lambda d: torch.eye(3, device=d),
                 lambda d: torch.tensor([[1, 2], [3, 4]], device=d), lambda d: torch.hann_window(6, device=d),
                 lambda d: torch.ones(2, device=d).new_full((3,), 4),
                 lambda d: torch.zeros_like(torch.ones(2, device=d))):
        same(make("npu"), make("cpu"))
    assert torch.empty(3, 0, device="npu").cpu().shape == (3, 0)


@on_device
def test_random_numbers_follow_the_device_generator():
    torch.npu.manual_seed(5)
    first = [torch.randn(8, device="npu"), torch.rand(8, device="npu"), torch.randint(0, 9, (8,), device="npu")]
    state = torch.npu.get_rng_state()
    second = torch.randn(8, device="npu")
    torch.npu.set_rng_state(state)
    assert torch.equal(torch.randn(8, device="npu"), second)
    assert not torch.equal(first[0], second)
    torch.npu.manual_seed(5)
    for expected, draw in zip(first, (torch.randn, torch.rand, lambda *a, **k: torch.randint(0, 9, (8,), **k))):
        assert torch.equal(draw(8, device="npu"), expected)
    one, other = (torch.Generator(device="npu").manual_seed(s) for s in (1, 2))
    assert not torch.equal(torch.randn(8, device="npu", generator=one), torch.randn(8, device="npu", generator=other))
    one.manual_seed(2)
    other.manual_seed(2)
    assert torch.equal(torch.randn(8, device="npu", generator=one), torch.randn(8, device="npu", generator=other))
    assert abs(torch.randn(100_000, device="npu").mean().item()) < 0.02


@on_device
def test_out_and_in_place():
    x, y = torch.randn(3, 4), torch.randn(4)
    out = torch.empty(0, device="npu")
    assert torch.add(x.npu(), y.npu(), out=out) is out
    same(out, x + y)
    into = torch.zeros(6, 4, device="npu")
    torch.mul(x.npu(), y.npu(), out=into[::2])
    same(into[::2], x * y)
    assert not into[1::2].any()
    z = x.npu()
    assert z.add_(1).mul_(y.npu()) is z
    same(z, (x + 1) * y)
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        torch.add(x.npu(), 1, out=torch.empty(3, 4, device="npu", dtype=torch.int64))
    with pytest.raises(RuntimeError, match="unsupported operation"):
        torch.zeros(1, device="npu").expand(4).add_(1)


@on_device
def test_indexing():
    def edit(x, device):
        i = torch.tensor([2, 0], device=device)
        x[i, 1] = 7.0
        x[x > 8] = 0
        x[:, ::2] *= 2
        x.index_add_(0, i, torch.ones(2, 4, device=device))
        x.scatter_(1, torch.tensor([[3], [0], [1]], device=device), 5.0)
        x.masked_fill_(x == 5, -1)
        return torch.stack([x[i].sum(), x.gather(1, x.argsort()).sum(), x[..., -1].max(), x[x > 0].mean()])

    x = torch.arange(12.0).view(3, 4)
    y = x.npu()
    same(edit(y, "npu"), edit(x, "cpu"))
    same(y, x)


@on_device
def test_mixed_with_host_scalars():
    x = torch.randn(4)
    same(2 * x.npu(), 2 * x)
    same(torch.tensor(3.0) * x.npu(), 3 * x)
    same(torch.where(x.npu() > 0, x.npu(), 0.0), torch.where(x > 0, x, 0.0))
    same(x.npu()[torch.tensor([2, 0])], x[[2, 0]])
    with pytest.raises(RuntimeError, match="same device, but got other on cpu"):
        x.npu() + torch.ones(4)
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([x, x.npu()])


@on_device
def test_reading_values():
    x = torch.tensor([[1.5, -2.0]]).npu()
    assert x[0, 0].item() == 1.5 and x.tolist() == [[1.5, -2.0]] and bool((x < 2).all()) and torch.equal(x, x.clone())
    assert repr(x) == "tensor([[ 1.5000, -2.0000]], device='npu:0')"
    assert x.cpu().numpy().tolist() == [[1.5, -2.0]]


@on_device
def test_conjugate_views():
    x = torch.randn(5, dtype=torch.complex64)
    same(x.npu().conj(), x.conj())
    same(x.npu().conj().imag, x.conj().imag)
    y = torch.zeros(5, dtype=torch.complex64).npu()
    y.copy_(x.npu().conj())
    same(y, x.conj().resolve_conj())
