"""flash_attn's functions with tensors on the simulated NPU: as on the CPU."""

import pytest
import torch

from cases.device import on_device

CACHES = {
    "rows": {}, "indexed": {"cache_batch_idx": torch.tensor([1, 0], dtype=torch.int32)},
    "leftpad": {"cache_leftpad": torch.tensor([2, 0], dtype=torch.int32)},
    "alibi": {"alibi_slopes": torch.tensor([0.5, 0.25])},
}


def to(device, value):
    return value.to(device) if isinstance(value, torch.Tensor) else value


def same(function, arguments, options):
    """Results, gradients and what was written on the NPU are those of the CPU."""
    results = []
    for device in ("cpu", "npu"):
        tensors = [to(device, x.detach().clone()).requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x
                   for x in arguments]
        out = function(*tensors, **{name: to(device, x) for name, x in options.items()})
        outputs = list(out) if isinstance(out, tuple) else [out]
        inputs = [x for x in tensors if isinstance(x, torch.Tensor)]
        with_grad = [x for x in inputs if x.requires_grad]
        gradients = torch.autograd.grad(outputs[0].float().square().sum(), with_grad) if with_grad else []
        results.append([x.detach().cpu().float() for x in (*outputs, *gradients, *inputs)])
        assert outputs[0].device.type == device
    for cpu, npu in zip(*results):
        torch.testing.assert_close(npu, cpu, atol=4e-3, rtol=1e-2)


@pytest.mark.parametrize("options", [
    {"causal": True}, {"window_size": (3, 1), "softcap": 0.5}, {"causal": True, "alibi_slopes": torch.rand(2, 2)}])
@pytest.mark.parametrize("grad", [False, True])
@on_device
def test_dense(options, grad):
    import npufa.flash_attn as fa

    tensors = [torch.randn(2, rows, heads, 16, dtype=torch.half, requires_grad=grad)
               for rows, heads in ((7, 2), (20, 1), (20, 1))]
    same(fa.flash_attn_func, tensors, {**options, "return_attn_probs": True})


@pytest.mark.parametrize("options", [{}, {"alibi_slopes": torch.rand(2)}])
@pytest.mark.parametrize("grad", [False, True])
@on_device
def test_varlen(options, grad):
    import npufa.flash_attn as fa

    tensors = [torch.randn(9, heads, 16, dtype=torch.half, requires_grad=grad) for heads in (2, 1, 1)]
    cu = torch.tensor([0, 1, 1, 9], dtype=torch.int32)
    same(fa.flash_attn_varlen_func, [*tensors, cu, cu, 8, 8], {"causal": True, "return_attn_probs": True, **options})


@pytest.mark.parametrize("kind", CACHES)
@on_device
def test_cache(kind):
    import npufa.flash_attn as fa

    caches = [torch.randn(2, 24, 1, 16, dtype=torch.half) for _ in range(2)]
    new = [torch.randn(2, 3, heads, 16, dtype=torch.half) for heads in (2, 1, 1)]
    rotary = {"rotary_cos": torch.randn(24, 4).half(), "rotary_sin": torch.randn(24, 4).half()}
    same(fa.flash_attn_with_kvcache, [new[0], *caches, *new[1:]], {
        "cache_seqlens": torch.tensor([5, 9], dtype=torch.int32), "causal": True, "return_softmax_lse": True, **rotary,
        **CACHES[kind]})


@on_device
def test_packed_queries_over_pages():
    import npufa.flash_attn as fa

    pages = [torch.randn(5, 16, 1, 16, dtype=torch.half) for _ in range(2)]
    new = [torch.randn(4, heads, 16, dtype=torch.half) for heads in (2, 1, 1)]
    cu = torch.tensor([0, 1, 4], dtype=torch.int32)
    same(fa.v3.flash_attn_with_kvcache, [new[0], *pages, *new[1:]], {
        "page_table": torch.tensor([[3, -1], [0, 4]], dtype=torch.int32), "cu_seqlens_q": cu, "cu_seqlens_k_new": cu,
        "cache_seqlens": torch.tensor([5, 14], dtype=torch.int32), "window_size": (9, 0), "return_softmax_lse": True})
