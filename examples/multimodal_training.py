"""Trains a two-branch model to caption pictures: causal attention for text, band attention for vision.

    python examples/multimodal_training.py                        train on npufa, then compare with standard attention
    python examples/multimodal_training.py --attention standard   the same script on textbook attention
    python examples/multimodal_training.py --steps 40             a short training

The pictures are drawn by the script. The exit code is 1 when a promise fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "guide"))

import torch
from measuring import peak_megabytes, speed_ratio
from torch import Tensor
from tqdm import tqdm

from multimodal_model import ATTENTION, BLIND_LOSS, VOCABULARY, MultimodalConfig, MultimodalModel, draw_pairs
from report import Report

BATCH, LEARNING_RATE, WARMUP_STEPS, STEPS = 32, 3e-3, 20, 250
CONFIG = MultimodalConfig()


@dataclass
class Training:
    """A trained model with its loss after every step, in nats per word."""

    model: MultimodalModel
    losses: list[float]
    seconds: float


def train(
    attention: str, steps: int, *, config: MultimodalConfig = CONFIG, device: str = "cpu", batch: int = BATCH,
    seconds: float = float("inf")
) -> Training:
    """First weights and pictures are the same for every `attention` and device."""
    torch.manual_seed(0)
    model = MultimodalModel(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, foreach=False)
    pictures = torch.Generator().manual_seed(0)
    losses: list[float] = []
    start = time.monotonic()
    for step in tqdm(range(steps), desc=f"training, {attention}", unit="step", mininterval=0.5):
        if time.monotonic() - start > seconds:
            break
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / WARMUP_STEPS, 1.1 - step / steps)
        pairs = (x.to(device) for x in draw_pairs(batch, config.image_size, pictures))
        loss = model.loss(*pairs, ATTENTION[attention])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return Training(model, losses, time.monotonic() - start)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def sentence(words: Tensor) -> str:
    return " ".join(VOCABULARY[word] for word in words[1:])


def show_training(report: Report, attention: str, steps: int) -> None:
    report.part(f"Training with {attention}, dropout 0.1, {steps} steps of {BATCH} pictures")
    result = train(attention, steps)
    tenth = max(1, steps // 10)
    points = [mean(result.losses[i : i + tenth]) for i in range(0, steps, tenth)]
    report.say("  loss, nats per word: " + " ".join(f"{point:.3f}" for point in points))
    report.say(f"  {result.seconds:.0f} s, {steps / result.seconds:.1f} steps/s")
    report.check("training lowers the loss", points[-1] < points[0], f"{points[0]:.3f} -> {points[-1]:.3f}")
    if steps < STEPS:
        return
    report.check("words follow the picture: below what is possible without seeing it", points[-1] < BLIND_LOSS / 2,
                 f"{points[-1]:.3f}, without {BLIND_LOSS:.3f}")
    pictures, captions = draw_pairs(200, CONFIG.image_size, torch.Generator().manual_seed(1))
    written = result.model.eval().captions(pictures, ATTENTION[attention])
    right = (written == captions)[:, 1:].float().mean().item()
    for i in range(3):
        report.say(f"    {sentence(captions[i]):32s} -> {sentence(written[i])}")
    report.check("it captions new pictures", right > 0.9, f"{right:.0%} of words are right")


def show_agreement(report: Report, steps: int = 10) -> None:
    report.part(f"Convergence: both attentions from the same weights without dropout, {steps} steps")
    exact = replace(CONFIG, keep_prob=1.0)
    ours, other = (train(name, steps, config=exact).losses for name in ("npufa", "standard"))
    gap = max(abs(x - y) for x, y in zip(ours, other, strict=True))
    report.check("losses agree within 0.001", gap < 1e-3, f"largest difference {gap:.1e}")


def show_costs(report: Report) -> None:
    """One training step, with dropout, on pictures of 1024 patches."""
    config = MultimodalConfig(image_size=128)
    report.part(f"Costs against standard attention: a training step, 4 pictures of {config.grid**2} patches")
    model = MultimodalModel(config)
    pairs = draw_pairs(4, config.image_size, torch.Generator().manual_seed(0))

    def step(attention: str) -> None:
        model.zero_grad()
        model.loss(*pairs, ATTENTION[attention]).backward()

    step("npufa"), step("standard")
    ours, other = (peak_megabytes(lambda name=name: step(name)) for name in ATTENTION)
    report.check("at least 45 % less memory", ours < 0.55 * other, f"{ours:.0f} MB, standard {other:.0f} MB")
    ratio = speed_ratio(lambda: step("npufa"), lambda: step("standard"), rounds=5)
    report.check("faster training steps", ratio > 1.0, f"{ratio:.1f} x")

    def attend(attention: str) -> None:
        inputs = [torch.randn(4, config.grid**2, 4, 16, requires_grad=True) for _ in range(3)]
        ATTENTION[attention](*inputs, 2 * config.grid, config.keep_prob).sum().backward()

    ratio = speed_ratio(lambda: attend("npufa"), lambda: attend("standard"), rounds=5)
    report.check("band attention with its gradient at least 3.5 times as fast", ratio > 3.5, f"{ratio:.1f} x")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", choices=sorted(ATTENTION), default="npufa", help="attention used in training")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default: {STEPS})")
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps must be at least 2")
    report = Report()
    show_training(report, arguments.attention, arguments.steps)
    show_agreement(report)
    show_costs(report)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
