"""Section 4.4: layouts are recognised, and attention in less memory: recomputed, chunked, quantised."""

from __future__ import annotations

import torch
from measuring import peak_megabytes
from torch import Tensor

import npufa
from npufa.functional import memory_efficient_attention
from report import Report

BATCH, HEADS, DIM = 1, 4, 64
SMALL, LENGTH = 96, 2048  # the simulated NPU takes the small one


def _draw(length: int, device: str, **others: object) -> list[Tensor]:
    return [torch.randn(BATCH, HEADS, length, DIM, device=device, **others) for _ in range(3)]


def _with_gradients(inputs: list[Tensor], **choice: object) -> list[Tensor]:
    output = memory_efficient_attention(*inputs, sparse_mode=3, **choice)
    return [output.detach(), *torch.autograd.grad(output.square().sum(), inputs)]


def show(report: Report, device: str) -> None:
    length = LENGTH if device == "cpu" else SMALL
    _layouts(report, device)
    inputs = _draw(length, device, requires_grad=True)
    plain = _with_gradients(inputs)
    operator = npufa.npu_fusion_attention(*inputs, HEADS, "BNSD", scale=DIM**-0.5, sparse_mode=3)[0]
    report.check("without a choice it is npu_fusion_attention, bit for bit", torch.equal(plain[0], operator))
    same = all(map(torch.equal, plain, _with_gradients(inputs, checkpoint=True)))
    report.check("gradient checkpointing gives the same result and gradients, bit for bit", same)
    chunked = _with_gradients(inputs, chunk_size=length // 3)
    error = max((a - b).abs().max().item() for a, b in zip(plain, chunked, strict=True))
    report.check("three chunks of query rows give them within rounding", error < 1e-4, f"difference {error:.1e}")
    with torch.no_grad():
        quantised = memory_efficient_attention(*inputs, sparse_mode=3, quantize="int8")
    error = (quantised - plain[0]).abs().max().item()
    report.check("int8 keys and values give the result within their rounding", error < 0.05, f"difference {error:.1e}")
    report.check("checkpointing keeps nothing but the inputs", _kept(inputs, checkpoint=True) == 0,
                 f"{_kept(inputs) / 2**20:.1f} MB without")
    if device == "cpu":
        _memory_of_masks(report)


def _layouts(report: Report, device: str) -> None:
    """The guide's optimize_layout guesses the layout from the shape; here it is said, and a wrong one raises."""
    query, key, value = (t.transpose(1, 2) for t in _draw(SMALL, device))  # BSND without a copy
    output = memory_efficient_attention(query, key, value, input_layout="BSND")
    expected = memory_efficient_attention(*(t.transpose(1, 2) for t in (query, key, value)))
    error = (output.transpose(1, 2) - expected).abs().max().item()
    report.check("BSND needs no conversion to BNSD", error < 1e-5, f"difference {error:.1e}")
    try:
        memory_efficient_attention(query.flatten(2), key.flatten(2), value.flatten(2), input_layout="BSH")
        message = ""
    except ValueError as error:
        message = str(error)
    report.check("an unsupported layout is refused by name", "input_layout" in message, message)


def _kept(inputs: list[Tensor], **choice: object) -> int:
    """Bytes that wait for the gradient, inputs left out."""
    own = {t.untyped_storage().data_ptr() for t in inputs}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = memory_efficient_attention(*inputs, sparse_mode=3, **choice)
    del output
    return sum(size for pointer, size in sizes.items() if pointer not in own)


def _memory_of_masks(report: Report) -> None:
    """What a call makes of its own is bounded by chunks: here a mask with a causal limit, of 8192 x 8192 pairs."""
    query, key, value = (torch.randn(1, 1, 8192, 16) for _ in range(3))
    padding = torch.zeros(1, 1, 1, 8192, dtype=torch.bool)
    padding[..., 8000:] = True

    def run(chunk_size: int | None) -> Tensor:
        return memory_efficient_attention(query, key, value, atten_mask=padding, next_tokens=0, chunk_size=chunk_size)

    run(512)
    chunks, whole = (peak_megabytes(lambda size=size: run(size)) for size in (512, None))
    report.check("chunks of 512 rows take a fraction of the memory", chunks < whole / 4,
                 f"{chunks:.0f} MB, {whole:.0f} MB without")
