"""torch.nn.attention.varlen and aten's flash attention on the simulated NPU, against attention in float64."""

import pytest
import torch

from cases.device import on_device
from cases.versions import needs

pytestmark = needs("torch.nn.attention", "restore_flash_attention_impl")

Q_ENDS, K_ENDS = [0, 10, 10, 31], [0, 17, 20, 41]
HEADS, KV_HEADS, DIM = 4, 2, 24


def inputs():
    torch.manual_seed(1)
    shapes = (Q_ENDS, HEADS), (K_ENDS, KV_HEADS), (K_ENDS, KV_HEADS)
    return [torch.randn(ends[-1], n, DIM).half() for ends, n in shapes]


def attention(q, k, v, window=(-1, -1), scale=DIM**-0.5, used=None):
    """Output (T, N, D) and log-sum-exp (N, T) of packed sequences."""
    outs, lses = [], []
    for b, (q0, q1, k0, k1) in enumerate(zip(Q_ENDS, Q_ENDS[1:], K_ENDS, K_ENDS[1:])):
        k1 = k1 if used is None else k0 + used[b]
        qs = q[q0:q1].transpose(0, 1)
        ks, vs = (t[k0:k1].transpose(0, 1).repeat_interleave(HEADS // KV_HEADS, 0) for t in (k, v))
        i, j = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0), torch.arange(k1 - k0)
        keep = (window[0] < 0) | (j >= i - window[0])
        keep = keep & ((window[1] < 0) | (j <= i + window[1]))
        scores = torch.where(keep, qs @ ks.transpose(1, 2) * scale, -torch.inf)
        lses.append(scores.logsumexp(-1))
        outs.append((scores.softmax(-1).nan_to_num() @ vs).transpose(0, 1))
    return torch.cat(outs), torch.cat(lses, 1)


def activated():
    """The implementation that torch knows as npufa, in force in a with block."""
    import contextlib

    from torch.nn.attention import activate_flash_attention_impl, restore_flash_attention_impl

    import npufa  # noqa: F401

    @contextlib.contextmanager
    def block():
        activate_flash_attention_impl("npufa")
        try:
            yield
        finally:
            restore_flash_attention_impl()

    return block()


def on_npu():
    ends = [torch.tensor(e, dtype=torch.int32).npu() for e in (Q_ENDS, K_ENDS)]
    return [t.npu().requires_grad_() for t in inputs()], ends


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (6, 0), (4, 9)])
@on_device
def test_varlen_attn(window):
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    expected_inputs = [t.double().requires_grad_() for t in inputs()]
    expected, expected_lse = attention(*expected_inputs, window)
    expected_grads = torch.autograd.grad(expected.square().sum(), expected_inputs)
    tensors, (cu_q, cu_k) = on_npu()
    with activated():
        out, lse = varlen_attn(*tensors, cu_q, cu_k, 21, 21, window_size=window, enable_gqa=True,
                               return_aux=AuxRequest(lse=True))
        grads = torch.autograd.grad(out.float().square().sum(), tensors)
    rows = expected_lse.isfinite()
    torch.testing.assert_close(lse.cpu().double()[rows], expected_lse[rows], atol=1e-3, rtol=1e-3)
    assert (lse.cpu()[~rows] == torch.inf).all()
    for got, want in zip((out, *grads), (expected, *expected_grads), strict=True):
        torch.testing.assert_close(got.detach().cpu().double(), want.detach(), atol=0.01, rtol=0.01)


@on_device
def test_varlen_attn_compiles():
    from torch.nn.attention.varlen import varlen_attn

    tensors, (cu_q, cu_k) = on_npu()

    def step(query, key, value):
        return varlen_attn(query * 2, key, value, cu_q, cu_k, 21, 21, scale=0.1, enable_gqa=True)

    with activated():
        want = step(*tensors)
        torch._dynamo.reset()
        got = torch.compile(step, backend="aot_eager", fullgraph=True)(*tensors)
        grads = [torch.autograd.grad(t.float().square().sum(), tensors) for t in (got, want)]
    assert torch.equal(got, want) and all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@needs("torch.nn.attention.varlen", "varlen_attn_out")
@on_device
def test_used_keys_and_a_given_output():
    from torch.nn.attention.varlen import varlen_attn_out

    used = [5, 0, 20]
    expected, _ = attention(*(t.double() for t in inputs()), (-1, 0), used=used)
    tensors, (cu_q, cu_k) = on_npu()
    with activated(), torch.no_grad():
        out = torch.full_like(tensors[0], torch.nan)
        result = varlen_attn_out(out, *tensors, cu_q, cu_k, 21, 21, window_size=(-1, 0), enable_gqa=True,
                                 seqused_k=torch.tensor(used, dtype=torch.int32).npu())
    assert result is out
    torch.testing.assert_close(out.cpu().double(), expected, atol=5e-3, rtol=5e-3)


@on_device
def test_pages():
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = inputs()
    lengths = [b - a for a, b in zip(K_ENDS, K_ENDS[1:])]
    table = torch.tensor([[4, 0, 2], [1, -1, -1], [3, 6, 5]], dtype=torch.int32)
    pages = torch.zeros(2, 7, 8, KV_HEADS, DIM).half()
    for b, length in enumerate(lengths):
        for t in range(length):
            pages[:, table[b, t // 8], t % 8] = torch.stack([key, value])[:, K_ENDS[b] + t]
    expected, _ = attention(*(t.double() for t in (query, key, value)), (-1, 0))
    with activated(), torch.no_grad():
        out = varlen_attn(query.npu(), *pages.npu(), torch.tensor(Q_ENDS, dtype=torch.int32).npu(), None, 21, 21,
                          window_size=(-1, 0), enable_gqa=True, block_table=table.npu(),
                          seqused_k=torch.tensor(lengths, dtype=torch.int32).npu())
    torch.testing.assert_close(out.cpu().double(), expected, atol=5e-3, rtol=5e-3)


@on_device
def test_dense_forward_of_aten():
    torch.manual_seed(2)
    tensors = [torch.randn(2, s, n, DIM).half().npu() for s, n in ((9, 4), (12, 2), (12, 2))]
    with activated():
        out, lse, *_ = torch.ops.aten._flash_attention_forward(*tensors, None, None, 9, 12, 0.0, True, False)
    assert lse.shape == (2, 4, 9)
    wide = [t.cpu().double().transpose(1, 2) for t in tensors]
    keep = torch.ones(9, 12, dtype=torch.bool).tril(3)
    want = torch.nn.functional.scaled_dot_product_attention(*wide, attn_mask=keep, enable_gqa=True)
    torch.testing.assert_close(out.cpu().double().transpose(1, 2), want, atol=5e-3, rtol=5e-3)


@on_device
def test_what_is_refused_is_named():
    tensors, (cu_q, cu_k) = on_npu()
    call = torch.ops.aten._flash_attention_forward
    with activated():
        with pytest.raises(ValueError, match="varlen_attn: dropout_p is not supported, got 0.5; expected 0.0"):
            call(*tensors, cu_q, cu_k, 21, 21, 0.5, False, False)
        with pytest.raises(ValueError, match="varlen_attn: return_debug_mask is not supported"):
            call(*tensors, cu_q, cu_k, 21, 21, 0.0, False, True)
        with pytest.raises(ValueError, match="varlen_attn: seqused_k is missing"):
            call(*tensors, cu_q, cu_k, 21, 21, 0.0, False, False, block_table=cu_q[None])
    with pytest.raises(NotImplementedError):
        call(*tensors, cu_q, cu_k, 21, 21, 0.0, False, False)
