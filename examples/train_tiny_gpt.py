"""Trains a character GPT on Python's own help texts for about a minute, then generates with a paged cache.

    python examples/train_tiny_gpt.py                    train with npu_fusion_attention, then generate
    python examples/train_tiny_gpt.py --attention sdpa   the same script on torch SDPA (generation stays with npufa)
    python examples/train_tiny_gpt.py --compare          train with both and compare the loss curves

The exit code is 1 when a promise fails.
"""

from __future__ import annotations

import argparse
import math
import pydoc_data.topics
import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from report import Report
from tiny_gpt import ATTENTION, GPTConfig, PagedGenerator, TinyGPT

BATCH, LEARNING_RATE, WARMUP_STEPS = 16, 4e-3, 20
KEEP_PROB = 0.9
PROMPTS = ("The statement ", "An object of class ", "If ", "Changed in version 3.")
POINT = 10  # steps averaged into one point of a loss curve


@dataclass(frozen=True)
class Corpus:
    """Text as character ids; the last tenth is held out."""

    characters: str
    train: Tensor
    held_out: Tensor

    @classmethod
    def python_help(cls) -> Corpus:
        topics = pydoc_data.topics.topics
        text = "\n\n".join(topics[name] for name in sorted(topics))
        characters = "".join(sorted(set(text)))
        number = {character: i for i, character in enumerate(characters)}
        ids = torch.tensor([number[character] for character in text])
        return cls(characters, ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :])

    def encode(self, text: str) -> list[int]:
        return [self.characters.index(character) for character in text]

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.characters[token] for token in tokens)


def windows(ids: Tensor, count: int, length: int, generator: torch.Generator) -> Tensor:
    """Random windows (count, length + 1)."""
    starts = torch.randint(len(ids) - length, (count, 1), generator=generator)
    return ids[starts + torch.arange(length + 1)]


@dataclass
class Training:
    """A trained model with its loss after every step."""

    model: TinyGPT
    losses: list[float]
    seconds: float
    held_out: float

    def curve(self) -> list[float]:
        points = [self.losses[i : i + POINT] for i in range(0, len(self.losses), POINT)]
        return [sum(point) / len(point) for point in points]


def train(
    corpus: Corpus, attention: str, keep_prob: float, steps: int, seconds: float, dropout_seed: int = 1, label: str = ""
) -> Training:
    """Trains until ``steps`` or ``seconds`` are over.

    First weights and batches are the same for every ``attention`` and ``dropout_seed``.
    """
    torch.manual_seed(0)
    model = TinyGPT(GPTConfig(len(corpus.characters)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    batches = torch.Generator().manual_seed(0)
    torch.manual_seed(dropout_seed)
    attend = ATTENTION[attention](keep_prob)
    losses: list[float] = []
    start = time.monotonic()
    with tqdm(
        total=steps if steps < sys.maxsize else None,
        desc=label or f"training, {attention}",
        unit="step",
        mininterval=0.5,
    ) as bar:
        while len(losses) < steps and (elapsed := time.monotonic() - start) < seconds:
            done = max(len(losses) / steps, elapsed / seconds)
            for group in optimizer.param_groups:
                group["lr"] = (
                    LEARNING_RATE
                    * min(1.0, (len(losses) + 1) / WARMUP_STEPS)
                    * (0.55 + 0.45 * math.cos(math.pi * done))
                )
            loss = model.loss(windows(corpus.train, BATCH, model.config.context, batches), attend)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    spent = time.monotonic() - start
    return Training(model, losses, spent, held_out_loss(corpus, model, attention))


@torch.inference_mode()
def held_out_loss(corpus: Corpus, model: TinyGPT, attention: str) -> float:
    """Loss on a fixed sample of the held-out text, without dropout."""
    sample = windows(corpus.held_out, 32, model.config.context, torch.Generator().manual_seed(0))
    return model.loss(sample, ATTENTION[attention](1.0)).item()


def greedy(logits: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


def sample(logits: Tensor) -> Tensor:
    return torch.multinomial((logits / 0.7).softmax(dim=-1), 1).squeeze(1)


@torch.inference_mode()
def verify_greedy(report: Report, model: TinyGPT, prompts: list[list[int]], generated: list[list[int]]) -> None:
    """Recomputes every generated text in one causal pass of torch SDPA: each token must be the likeliest one there.

    Two logits closer than rounding (1e-4) are a tie; either token is right then.
    """
    same, behind = 0, 0.0
    for prompt, new in zip(prompts, generated, strict=True):
        text = torch.tensor(prompt + new)[None, :-1]
        logits = model(text, torch.arange(text.shape[1]), ATTENTION["sdpa"](1.0))[0, len(prompt) - 1 :]
        chosen = torch.tensor(new).unsqueeze(1)
        same += int((logits.argmax(dim=1, keepdim=True) == chosen).sum())
        behind = max(behind, (logits.amax(dim=1, keepdim=True) - logits.gather(1, chosen)).max().item())
    count = sum(map(len, generated))
    measured = f"{same} of {count} tokens equal, a chosen logit is at most {behind:.1e} below the best"
    report.check("greedy paged generation equals a full recomputation", behind <= 1e-4, measured)


def generate(report: Report, corpus: Corpus, model: TinyGPT, new_tokens: int) -> None:
    """Greedy generation, checked, and one sampled text per prompt."""
    report.part(f"Generation: {len(PROMPTS)} prompts, {new_tokens} new characters each, paged cache of 16-token blocks")
    model.eval()
    prompts = [corpus.encode(prompt) for prompt in PROMPTS]

    def progress(steps: range) -> tqdm:
        return tqdm(steps, desc="decoding", unit="step", leave=False)

    generated = PagedGenerator(model, prompts, new_tokens).run(greedy, progress)
    verify_greedy(report, model, prompts, generated)
    sampled = PagedGenerator(model, prompts, new_tokens).run(sample, progress)
    for kind, texts in (("greedy", generated), ("sampled at temperature 0.7", sampled)):
        report.say(f"\n  {kind}:")
        for prompt, tokens in zip(PROMPTS, texts, strict=True):
            report.say("    | " + (prompt + corpus.decode(tokens)).replace("\n", "\n    | "))


def print_curves(report: Report, curves: dict[str, list[float]]) -> None:
    """A table of loss curves, at most 20 lines."""
    length = min(map(len, curves.values()))
    report.say("\n  steps      " + "".join(f"{name:>16s}" for name in curves))
    for point in range(0, length, max(1, math.ceil(length / 20))):
        report.say(
            f"  {point * POINT:4d}-{point * POINT + POINT - 1:<6d}"
            + "".join(f"{curve[point]:16.4f}" for curve in curves.values())
        )


def largest_gap(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def compare(report: Report, corpus: Corpus, steps: int) -> Training:
    """Trains with npufa and with torch SDPA from the same weights on the same batches."""
    report.part(f"Comparison without dropout, {min(steps, 50)} steps: nothing is random, only rounding differs")
    exact = {name: train(corpus, name, 1.0, min(steps, 50), math.inf) for name in ("npufa", "sdpa")}
    gap = largest_gap(exact["npufa"].losses, exact["sdpa"].losses)
    report.check("losses of the first steps agree within 0.0002", gap <= 2e-4, f"largest difference {gap:.1e}")

    report.part(f"Comparison with dropout (keep_prob {KEEP_PROB}), {steps} steps")
    report.say(
        "  The two libraries draw different dropout masks, so their curves differ by chance. How much is measured:\n"
        "  SDPA is trained twice with different dropout seeds. npufa may be 3 times as far from SDPA as SDPA is from\n"
        f"  itself (and at least 0.02 nats), taken over points of {POINT} steps."
    )
    runs = {
        "npufa": train(corpus, "npufa", KEEP_PROB, steps, math.inf),
        "sdpa": train(corpus, "sdpa", KEEP_PROB, steps, math.inf),
        "sdpa, 2nd seed": train(
            corpus, "sdpa", KEEP_PROB, steps, math.inf, dropout_seed=2, label="training, sdpa, 2nd seed"
        ),
    }
    curves = {name: run.curve() for name, run in runs.items()}
    print_curves(report, curves)
    report.say("  held out   " + "".join(f"{run.held_out:16.4f}" for run in runs.values()))
    report.say("  seconds    " + "".join(f"{run.seconds:16.1f}" for run in runs.values()))
    noise = largest_gap(curves["sdpa"], curves["sdpa, 2nd seed"])
    tolerance = max(3 * noise, 0.02)
    gap = largest_gap(curves["npufa"], curves["sdpa"])
    report.check(
        "loss curves agree within noise", gap <= tolerance, f"largest difference {gap:.4f}, tolerance {tolerance:.4f}"
    )
    return runs["npufa"]


def show_training(report: Report, corpus: Corpus, attention: str, steps: int, seconds: float) -> Training:
    limit = f"{seconds:.0f} seconds" if steps == sys.maxsize else f"{steps} steps"
    report.part(f"Training with {attention}, dropout keep_prob {KEEP_PROB}, {limit}")
    result = train(corpus, attention, KEEP_PROB, steps, seconds)
    print_curves(report, {"loss": result.curve()})
    spent = f"{len(result.losses)} steps in {result.seconds:.0f} s"
    report.say(f"  {spent}; held-out loss {result.held_out:.3f} nats per character")
    report.check(
        "training lowers the loss",
        result.curve()[-1] < math.log(len(corpus.characters)),
        f"{result.losses[0]:.3f} -> {result.curve()[-1]:.3f}",
    )
    return result


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", choices=sorted(ATTENTION), default="npufa", help="attention used in training")
    parser.add_argument(
        "--compare", action="store_true", help="train with npufa and with SDPA, compare the loss curves"
    )
    parser.add_argument("--steps", type=int, help="training steps (default: no limit; 150 with --compare)")
    parser.add_argument("--seconds", type=float, help="training time (default: 60, no limit when --steps is given)")
    parser.add_argument("--new-tokens", type=int, default=120, help="characters to generate per prompt")
    arguments = parser.parse_args()
    if arguments.steps is not None and arguments.steps < 1:
        parser.error("--steps must be at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    report = Report()
    corpus = Corpus.python_help()
    size = len(corpus.train) + len(corpus.held_out)
    report.say(f"Corpus: {size} characters, {len(corpus.characters)} different, from pydoc_data.topics")
    if arguments.compare:
        result = compare(report, corpus, arguments.steps or 150)
    else:
        seconds = arguments.seconds or (60.0 if arguments.steps is None else math.inf)
        result = show_training(report, corpus, arguments.attention, arguments.steps or sys.maxsize, seconds)
    generate(report, corpus, result.model, arguments.new_tokens)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
