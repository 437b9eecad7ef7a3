"""A training step written for flash_attn: the same encoder on a padded batch and on its packed tokens.

    python examples/flash_attn_training.py            tensors on the CPU
    python examples/flash_attn_training.py --npu      on an NPU, simulated where there is no CANN

The model imports flash_attn; `npufa.flash_attn.install()` is the only line about npufa. The exit code is 1 when a
promise fails.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import npufa.flash_attn
from report import Report

npufa.flash_attn.install()
from flash_attn import flash_attn_qkvpacked_func, flash_attn_varlen_qkvpacked_func  # noqa: E402
from flash_attn.bert_padding import pad_input, unpad_input  # noqa: E402

WIDTH, HEADS, LENGTHS = 64, 4, (24, 7, 16)


class Attention(nn.Module):
    """Self-attention with ALiBi, of a batch or of packed tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("slopes", 2.0 ** -torch.arange(1.0, HEADS + 1))

    def forward(self, x: Tensor, cu_seqlens: Tensor | None = None, longest: int = 0) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        if cu_seqlens is None:
            mixed = flash_attn_qkvpacked_func(qkv, causal=True, alibi_slopes=self.slopes)
        else:
            mixed = flash_attn_varlen_qkvpacked_func(qkv, cu_seqlens, longest, causal=True, alibi_slopes=self.slopes)
        return self.out(mixed.flatten(-2))


class Encoder(nn.Module):
    """Two layers; predicts the input's first feature one token later."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Attention() for _ in range(2))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, *packing: Tensor | int) -> Tensor:
        for layer in self.layers:
            x = x + layer(F.layer_norm(x, (WIDTH,)), *packing)
        return self.head(x).squeeze(-1)


def batch(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded tokens (B, S, WIDTH), what to predict (B, S), and the mask of tokens."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(LENGTHS), max(LENGTHS), WIDTH, generator=generator)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return x.to(device), x[..., 0].roll(1, 1).to(device), mask.to(device)


def padded_loss(model: Encoder, x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return F.mse_loss(model(x)[mask], target[mask])


def packed_loss(model: Encoder, x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    tokens, indices, cu_seqlens, longest, _ = unpad_input(x, mask)
    predicted = pad_input(model(tokens, cu_seqlens, longest)[:, None], indices, *mask.shape)[..., 0]
    return F.mse_loss(predicted[mask], target[mask])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npu", action="store_true", help="tensors on an NPU")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    if arguments.npu:
        import npufa.sim

        npufa.sim.enable()
    data = batch("npu" if arguments.npu else "cpu")
    torch.manual_seed(0)
    model = Encoder().to(data[0].device)
    report = Report()

    report.part("One step, padded and packed")
    gradients = []
    for loss in (padded_loss(model, *data), packed_loss(model, *data)):
        gradients.append([*torch.autograd.grad(loss, [*model.parameters()])])
        report.say(f"  loss {loss.item():.6f}")
    difference = max((a - b).abs().max().item() for a, b in zip(*gradients))
    report.check("the gradients agree", difference < 1e-4, f"largest difference {difference:.1e}")

    report.part(f"{arguments.steps} steps on {sum(LENGTHS)} packed tokens in place of {data[2].numel()}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(arguments.steps):
        optimizer.zero_grad()
        loss = packed_loss(model, *data)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    report.check("the loss falls to less than half", losses[-1] < losses[0] / 2, f"{losses[0]:.3f} to {losses[-1]:.3f}")
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
