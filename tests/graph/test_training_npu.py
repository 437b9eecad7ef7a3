"""torch.compile, export, checkpoints and autocast with tensors on the simulated NPU.

Inductor is left out: its code for NPUs needs a Triton compiler for them.
"""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from cases import Draw
from cases.device import on_device
from cases.model import operator


def normal(*shape, seed=1, dtype=torch.float16):
    return Draw(seed).normal(shape, dtype).npu()


def close(got, want):
    torch.testing.assert_close(got.cpu(), want.cpu())


def decode(query, key, value):
    out, lse = torch.ops.npufa.npu_fused_infer_attention_score(
        query * 2, key, value, num_heads=4, num_key_value_heads=2, input_layout="BNSD", scale=0.25,
        softmax_lse_flag=True)
    return out + 1, lse


def decode_v2(query, key, value):
    out, lse = torch.ops.npufa.npu_fused_infer_attention_score_v2(
        query * 2, key, value, num_query_heads=4, num_key_value_heads=2, input_layout="BNSD", softmax_scale=0.25,
        return_softmax_lse=True, learnable_sink=query[0, :, 0, 0].contiguous())
    return out + 1, lse


def prefill(query, key, value):
    out = torch.ops.npufa.npu_prompt_flash_attention(query, key, value, num_heads=4, num_key_value_heads=2,
                                                     input_layout="BNSD", scale_value=0.25, sparse_mode=3)
    return (out.transpose(1, 2).flatten(2),)


FUNCTIONS = {"decode": (decode, 1), "decode_v2": (decode_v2, 1), "prefill": (prefill, 20)}


def inference_inputs(tokens):
    return normal(2, 4, tokens, 16), normal(2, 2, 40, 16, seed=2), normal(2, 2, 40, 16, seed=3)


@pytest.mark.parametrize("name", FUNCTIONS)
@on_device
def test_compiled_inference(name):
    function, tokens = FUNCTIONS[name]
    inputs = inference_inputs(tokens)
    want = function(*inputs)
    torch._dynamo.reset()
    got = torch.compile(function, backend="aot_eager", fullgraph=True)(*inputs)
    for a, b in zip(got, want, strict=True):
        assert a.device.type == "npu"
        close(a, b)


def training_loss(query, key, value):
    out = torch.ops.npufa.npu_fusion_attention_v3(query, key, value, 4, "BNSD", scale=0.25, sparse_mode=3)[0]
    return (out.float() ** 2).sum()


@on_device
def test_compiled_training():
    """Forward and backward in one graph each."""
    operator("npu_fusion_attention_v3")
    torch._dynamo.reset()
    results = []
    for function in (training_loss, torch.compile(training_loss, backend="aot_eager", fullgraph=True)):
        leaves = [t.requires_grad_() for t in inference_inputs(24)]
        function(*leaves).backward()
        results.append([t.grad for t in leaves])
    for a, b in zip(*results, strict=True):
        close(a, b)


class Decoder(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, query, key, value):
        return self.function(query, key, value)[0]


@pytest.mark.parametrize("name", FUNCTIONS)
@on_device
def test_exported_program(name):
    """Exported once, run with other sizes."""
    function, tokens = FUNCTIONS[name]
    inputs = inference_inputs(tokens)
    batch, keys = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("keys", min=2, max=4096)
    shapes = ({0: batch}, {0: batch, 2: keys}, {0: batch, 2: keys})
    program = torch.export.export(Decoder(function), inputs, dynamic_shapes=shapes)
    assert any("npufa" in str(node.target) for node in program.graph.nodes)
    other = normal(3, 4, tokens, 16, seed=4), normal(3, 2, 70, 16, seed=5), normal(3, 2, 70, 16, seed=6)
    for arguments in (inputs, other):
        close(program.module()(*arguments), function(*arguments)[0])


@pytest.mark.parametrize("reentrant", [False, True])
@on_device
def test_checkpoint(reentrant):
    """With dropout: the recomputed pass draws from the device's generator what the first one drew."""
    def attend(query, key, value):
        return torch.ops.npufa.npu_fusion_attention(query, key, value, 4, "BNSD", scale=0.25, keep_prob=0.5)[0]

    results = []
    for run in (attend, lambda *leaves: checkpoint(attend, *leaves, use_reentrant=reentrant)):
        leaves = [t.requires_grad_() for t in inference_inputs(24)]
        torch.manual_seed(7)
        out = run(*leaves)
        out.float().square().sum().backward()
        results.append([out.detach(), *[t.grad for t in leaves]])
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["npu_fusion_attention", "npu_fusion_attention_v2"])
@on_device
def test_compiled_dropout(name):
    """A graph draws what calls outside draw; a caller's own backward pass reads the integers."""
    op, gradient = operator(name), operator(name.replace("attention", "attention_grad"))

    def attend(query, key, value):
        return op(query, key, value, 4, "BNSD", scale=0.25, keep_prob=0.5)

    def by_hand(query, key, value):
        out, maximum, total, _, seed, offset, numels = attend(query, key, value)
        return out, *gradient(query, key, value, out, 4, "BNSD", scale_value=0.25, softmax_max=maximum,
                              softmax_sum=total, attention_in=out, keep_prob=0.5, seed=seed, offset=offset,
                              numels=numels)[:3]

    torch._dynamo.reset()
    compiled = torch.compile(lambda *t: attend(*t)[0], backend="aot_eager", fullgraph=True)
    results = []
    for run in (compiled, lambda *t: attend(*t)[0]):
        torch.manual_seed(7)
        for _ in range(2):
            leaves = [t.requires_grad_() for t in inference_inputs(24)]
            out = run(*leaves)
            out.float().square().sum().mul(0.5).backward()
            results.append([out.detach(), *[t.grad for t in leaves]])
    first, second, *eager = results
    assert not torch.equal(first[0].cpu(), second[0].cpu())
    torch.manual_seed(7)
    with torch.no_grad():
        own = torch.compile(by_hand, backend="aot_eager", fullgraph=True)(*inference_inputs(24))
    for got, want in ((first, eager[0]), (second, eager[1]), (own, eager[0])):
        assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(got, want, strict=True))


@on_device
def test_autocast():
    leaves = [t.float().requires_grad_() for t in inference_inputs(24)]
    with torch.autocast("npu", dtype=torch.bfloat16):
        out = torch.ops.npufa.npu_fusion_attention(*leaves, 4, "BNSD", scale=0.25)[0]
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(t.grad.dtype == torch.float32 for t in leaves)
