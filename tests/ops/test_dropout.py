"""Dropout of npu_fusion_attention: the Philox mask bit by bit, seeds, and the way back."""

import pytest
import torch

import reference
from cases import Draw
from cases.fusion import cumulative, forward_case, op_name
from cases.model import operator


def dropped(layout="BNSD", batch=2, heads=3, sq=13, skv=16, version=1, **kw):
    """Uniform attention over an identity value: out[..., i, j] is p_ij after dropout."""
    q, k = torch.zeros(batch, heads, sq, skv), torch.zeros(batch, heads, skv, skv)
    v = torch.eye(skv).expand(batch, heads, skv, skv)
    return operator(op_name(version))(q, k, v, heads, layout, scale=1.0, **kw)


def kept(out):
    return out != 0


@pytest.mark.parametrize("seed", [1, 2 ** 31, 2 ** 32, 2 ** 45 + 3, 2 ** 63 - 1, -1, -2 ** 63])
@pytest.mark.parametrize("offset", [0, 1, 3, 2 ** 32 - 2, 2 ** 40])
def test_mask_is_philox(seed, offset):
    for keep_prob in (0.9, 0.5, 0.25, 0.01, 1 / 3):
        out, *_, got_seed, got_offset, numels = dropped(keep_prob=keep_prob, seed=seed, offset=offset)
        want = reference.philox_mask(seed, offset, out.numel(), keep_prob).view(out.shape)
        assert torch.equal(kept(out), want)
        torch.testing.assert_close(out, want.float() / 16 / keep_prob)
        assert (got_seed, got_offset, numels) == (seed, offset, out.numel())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_mask_is_the_same_for_every_type(dtype):
    q, k = torch.zeros(1, 2, 40, 64, dtype=dtype), torch.zeros(1, 2, 64, 64, dtype=dtype)
    v = torch.eye(64, dtype=dtype).expand(1, 2, 64, 64)
    out = operator("npu_fusion_attention")(q, k, v, 2, "BNSD", keep_prob=0.7, seed=5)[0]
    assert torch.equal(kept(out), reference.philox_mask(5, 0, out.numel(), 0.7).view(out.shape))


def test_every_layout_numbers_elements_alike():
    want = kept(dropped(keep_prob=0.6, seed=8)[0])
    q, v = torch.zeros(2, 13, 3, 16), torch.eye(16)[None, :, None].expand(2, 16, 3, 16)
    k = torch.zeros(2, 16, 3, 16)
    op = operator("npu_fusion_attention")
    kw = dict(keep_prob=0.6, seed=8)
    bsnd = op(q, k, v, 3, "BSND", **kw)[0]
    bsh = op(q.flatten(2), k.flatten(2), v.flatten(2), 3, "BSH", **kw)[0].unflatten(2, (3, 16))
    sbh = op(*(t.flatten(2).transpose(0, 1) for t in (q, k, v)), 3, "SBH", **kw)[0]
    sbh = sbh.transpose(0, 1).unflatten(2, (3, 16))
    for out in (bsnd, bsh, sbh):
        assert torch.equal(kept(out).transpose(1, 2), want)


def test_packed_numbering_is_per_sequence():
    q_sizes, k_sizes, heads = [3, 0, 5], [7, 4, 16], 2
    q, k = torch.zeros(8, heads, 16), torch.zeros(27, heads, 16)
    v = torch.cat([torch.eye(16)[:n] for n in k_sizes])[:, None].expand(27, heads, 16)
    out, *_, numels = operator("npu_fusion_attention")(
        q, k, v, heads, "TND", keep_prob=0.5, seed=21, offset=2, actual_seq_qlen=cumulative(q_sizes),
        actual_seq_kvlen=cumulative(k_sizes))
    assert numels == heads * (3 * 7 + 5 * 16)
    bits = reference.philox_mask(21, 2, numels, 0.5)
    first = bits[:heads * 21].view(heads, 3, 7).transpose(0, 1)
    last = bits[heads * 21:].view(heads, 5, 16).transpose(0, 1)
    assert torch.equal(kept(out[:3, :, :7]), first) and torch.equal(kept(out[3:]), last)


def test_given_mask_is_used_as_is():
    bits = torch.rand(2 * 3 * 13 * 16, generator=torch.Generator().manual_seed(0)) < 0.8
    mask = reference.pack_bits(bits)
    out = dropped(keep_prob=0.8, dropout_mask=mask)[0]
    assert torch.equal(kept(out), bits.view(out.shape))
    torch.testing.assert_close(out.max(), torch.tensor(1 / 16 / 0.8))
    longer = torch.cat([mask, torch.zeros(40, dtype=torch.uint8)])
    assert torch.equal(dropped(keep_prob=0.8, dropout_mask=longer)[0], out)


@pytest.mark.parametrize("version", [1, 2])
def test_given_mask_reaches_the_backward_pass(version):
    d = Draw(1)
    kw = dict(query=d.normal((1, 2, 9, 8)), key=d.normal((1, 2, 12, 8)), value=d.normal((1, 2, 12, 8)), head_num=2,
              input_layout="BNSD", scale=0.4, keep_prob=0.7, dropout_mask=d.integers((27,), 0, 255, torch.uint8))
    leaves = {n: kw[n].clone().requires_grad_() for n in ("query", "key", "value")}
    out = operator(op_name(version))(**{**kw, **leaves})[0]
    dy = d.normal(out.shape)
    out.backward(dy)
    grads = reference.fusion_attention_grad(dy=dy, **kw).grads
    for name, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad.double(), grads[name], atol=2e-5, rtol=1e-4)


def seed_of(result, version):
    return [int(x) for x in (result[4:6])] if version != 3 else [int(result[4]), int(result[5])]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_drawn_seed_reproduces(version):
    torch.manual_seed(77)
    first = dropped(keep_prob=0.5, version=version)
    second = dropped(keep_prob=0.5, version=version)
    torch.manual_seed(77)
    again = dropped(keep_prob=0.5, version=version)
    seed, offset = seed_of(first, version)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], second[0])
    assert torch.equal(kept(first[0]), reference.philox_mask(seed, offset, first[0].numel(), 0.5).view(first[0].shape))
    if version != 3:
        assert seed != 0
        assert torch.equal(dropped(keep_prob=0.5, version=version, seed=seed, offset=offset)[0], first[0])


def test_v3_returns_seed_and_offset_as_tensors():
    for keep_prob in (0.5, 1.0):
        result = dropped(keep_prob=keep_prob, version=3)
        assert len(result) == 6
        assert all(t.dtype == torch.int64 and t.numel() == 1 for t in result[4:])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_nothing_is_drawn_without_dropout(version):
    torch.manual_seed(5)
    dropped(keep_prob=1.0, version=version)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("layout", ["BNSD", "TND"])
def test_drawn_seed_reaches_the_backward_pass(version, layout):
    d = Draw(2)
    shape = (lambda n: (1, 2, n, 8)) if layout == "BNSD" else (lambda n: (n, 2, 8))
    kw = dict(query=d.normal(shape(9)), key=d.normal(shape(12)), value=d.normal(shape(12)), head_num=2,
              input_layout=layout, scale=0.4, keep_prob=0.6)
    if layout == "TND":
        lengths = [[4, 9], [7, 12]]
        kw |= dict(zip(("actual_seq_qlen", "actual_seq_kvlen"),
                      map(torch.tensor, lengths) if version == 3 else lengths))
    leaves = {n: kw[n].clone().requires_grad_() for n in ("query", "key", "value")}
    torch.manual_seed(3)
    result = operator(op_name(version))(**{**kw, **leaves})
    seed, offset = seed_of(result, version)
    dy = d.normal(result[0].shape)
    result[0].backward(dy)
    grads = reference.fusion_attention_grad(dy=dy, seed=seed, offset=offset, **kw).grads
    for name, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad.double(), grads[name], atol=2e-5, rtol=1e-4)


def test_numels_without_dropout_is_the_full_count():
    assert dropped(keep_prob=1.0)[6] == 2 * 3 * 13 * 16


def test_statistics_are_those_before_dropout():
    plain, lossy = dropped(keep_prob=1.0), dropped(keep_prob=0.3, seed=9)
    assert torch.equal(plain[1], lossy[1]) and torch.equal(plain[2], lossy[2])


def test_dropout_with_masked_tiles_keeps_the_numbering():
    """Skipped tiles must not shift the mask of later elements."""
    d = Draw(3)
    q, k, v = (d.normal((1, 2, 300, 16)) for _ in range(3))
    for mode, extra in ((3, {}), (4, dict(pre_tokens=20, next_tokens=-5))):
        forward_case(dict(query=q, key=k, value=v, head_num=2, input_layout="BNSD", scale=0.25, sparse_mode=mode,
                          keep_prob=0.8, seed=4, offset=0, **extra)).verify()


def test_everything_dropped():
    out = dropped(keep_prob=1e-12, seed=3)[0]
    assert bool((out == 0).all())


@pytest.mark.parametrize("keep_prob", [0.9, 0.5])
def test_expectation(keep_prob):
    """Averaged over seeds, dropout leaves the output unchanged."""
    d = Draw(4)
    q, k, v = (d.normal((1, 1, 4, 8)) for _ in range(3))
    op = operator("npu_fusion_attention")
    mean = sum(op(q, k, v, 1, "BNSD", keep_prob=keep_prob, seed=s)[0] for s in range(1, 801)) / 800
    assert (mean - op(q, k, v, 1, "BNSD")[0]).abs().max() < 0.25
