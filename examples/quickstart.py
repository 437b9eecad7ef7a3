"""A first tour of npufa, run by ``./build.sh quickstart``.

Part 1 trains, prefills and decodes with single calls; part 2 runs a real sentence encoder; part 3 prefills,
trains and decodes on a simulated NPU. Every promise is checked; the exit code is 1 when one fails.
"""

from __future__ import annotations

import math
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor

import npufa
import npufa.sim
from report import Report
from simulated_npu import show_caught_bug, show_simulated_decode, show_simulated_prefill, show_simulated_training

BATCH, HEADS, SEQ, DIM = 2, 8, 512, 64
SCALE = 1.0 / math.sqrt(DIM)

SENTENCES = {
    "weather": [
        "Heavy rain is expected along the coast tonight.",
        "A storm will bring strong winds and showers to the seaside by evening.",
        "Tomorrow stays dry and sunny in the mountains.",
    ],
    "cooking": [
        "Bring the water to a boil and add a pinch of salt before the pasta goes in.",
        "Cook the spaghetti in salted water.",
        "Let the dough rest for an hour in a warm place until it has doubled in size.",
    ],
    "computing": [
        "The attention operator reads each key and value block once and never stores the full score matrix.",
        "Matrix multiplication dominates the run time of neural networks.",
        "A compiler turns source code into machine instructions.",
    ],
    "astronomy": [
        "The moon orbits the Earth once every twenty-seven days.",
        "Jupiter is the largest planet.",
        "Light from distant galaxies takes billions of years to reach us, so we see them as they were long ago.",
    ],
}


def largest_difference(a: Tensor, b: Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


def show_training(report: Report) -> None:
    """Causal attention with gradients, and dropout that can be reproduced."""
    report.part("1a. Training: npu_fusion_attention, causal (sparse_mode=3), float16, BNSD")
    query, key, value = (torch.randn(BATCH, HEADS, SEQ, DIM).half().requires_grad_() for _ in range(3))
    settings = {"head_num": HEADS, "input_layout": "BNSD", "scale": SCALE, "sparse_mode": 3}
    output, softmax_max, softmax_sum, *_ = npufa.npu_fusion_attention(query, key, value, **settings)
    gradient = torch.randn_like(output)
    ours = (output, *torch.autograd.grad(output, (query, key, value), gradient))

    exact = [x.detach().double().requires_grad_() for x in (query, key, value)]
    expected = F.scaled_dot_product_attention(*exact, is_causal=True, scale=SCALE)
    theirs = (expected, *torch.autograd.grad(expected, exact, gradient.double()))
    report.say(
        f"  output {tuple(output.shape)} {output.dtype}, statistics {tuple(softmax_max.shape)} {softmax_sum.dtype}"
    )
    for name, mine, reference in zip(("output", "query.grad", "key.grad", "value.grad"), ours, theirs, strict=True):
        error = largest_difference(mine, reference)
        report.check(
            f"{name} equals the float64 result within float16 rounding",
            error <= 5e-3,
            f"largest difference {error:.1e}",
        )

    first = npufa.npu_fusion_attention(query, key, value, keep_prob=0.9, **settings)
    seed, offset, numels = first[4:]
    again = npufa.npu_fusion_attention(query, key, value, keep_prob=0.9, seed=seed, offset=offset, **settings)
    report.check(
        "dropout with the same seed gives the same output",
        torch.equal(first[0], again[0]),
        f"keep_prob 0.9, {numels} mask elements",
    )
    report.check("dropout changes the output", not torch.equal(first[0], output))


def show_inference(report: Report) -> None:
    """Prefill of a prompt, token by token decode from a cache, and the same positions in one pass."""
    report.part("1b. Inference: npu_fused_infer_attention_score, prefill 64 tokens, decode 32, BSND cache of 1024")
    prompt, total, capacity = 64, 96, 1024
    query, key, value = (torch.randn(1, total, HEADS, DIM).half() for _ in range(3))
    # The unused end of the cache holds NaN to show that it is never used.
    key_cache, value_cache = (torch.full((1, capacity, HEADS, DIM), math.nan).half() for _ in range(2))
    settings = {"num_heads": HEADS, "scale_value": SCALE, "input_layout": "BSND"}

    key_cache[:, :prompt], value_cache[:, :prompt] = key[:, :prompt], value[:, :prompt]
    prefill, lse = npufa.npu_fused_infer_attention_score(
        query[:, :prompt],
        key_cache,
        value_cache,
        actual_seq_lengths_kv=[prompt],
        sparse_mode=3,
        softmax_lse_flag=True,
        **settings,
    )
    report.say(f"  prefill output {tuple(prefill.shape)}, log-sum-exp {tuple(lse.shape)}")
    steps, increments = [prefill], []
    for position in range(prompt, total):
        now = slice(position, position + 1)
        key_cache[:, now], value_cache[:, now] = key[:, now], value[:, now]
        steps.append(
            npufa.npu_fused_infer_attention_score(
                query[:, now], key_cache, value_cache, actual_seq_lengths_kv=[position + 1], **settings
            )[0]
        )
        increments.append(
            npufa.npu_incre_flash_attention(
                query[:, now], key_cache, value_cache, actual_seq_lengths=[position + 1], **settings
            )
        )
    stepwise = torch.cat(steps, dim=1)

    full = npufa.npu_fusion_attention(
        query, key, value, head_num=HEADS, input_layout="BSND", scale=SCALE, sparse_mode=3
    )[0]
    error = largest_difference(stepwise, full)
    report.check(
        "prefill + decode equals one full causal pass", error <= 2e-3, f"largest difference {error:.1e}, float16"
    )
    error = largest_difference(torch.cat(increments, dim=1), full[:, prompt:])
    report.check("npu_incre_flash_attention decodes the same", error <= 2e-3, f"largest difference {error:.1e}")
    prompt_output = npufa.npu_prompt_flash_attention(query, key, value, sparse_mode=3, **settings)
    error = largest_difference(prompt_output, full)
    report.check("npu_prompt_flash_attention prefills the same", error <= 2e-3, f"largest difference {error:.1e}")


def show_error(report: Report) -> None:
    """A call with the wrong layout raises before anything is computed."""
    report.part("1c. An illegal call: a BSND tensor announced as BNSD")
    query = torch.randn(BATCH, SEQ, HEADS, DIM)
    try:
        npufa.npu_fusion_attention(query, query, query, head_num=HEADS, input_layout="BNSD", scale=SCALE)
    except (RuntimeError, ValueError) as error:
        message = str(error).splitlines()[0]
        report.say(f"  {type(error).__name__}: {message}")
        report.check("the call raises and names the argument", "query" in message or "head_num" in message)
    else:
        report.check("the call raises and names the argument", False, "no error")


def show_encoder(report: Report) -> None:
    """Embeds real sentences with npufa attention and compares with the original model."""
    from minilm import MiniLM, original_embeddings

    report.part("2. A real model: all-MiniLM-L6-v2, attention by npu_prompt_flash_attention (BSH, padded batch)")
    sentences = [sentence for group in SENTENCES.values() for sentence in group]
    encoder = MiniLM()
    ours = encoder.encode(sentences)
    report.say("  loading the original model (sentence-transformers), some seconds ...")
    cosine = F.cosine_similarity(ours.double(), original_embeddings(sentences).double())
    report.say("\n  no. tokens  cosine to the original  sentence")
    for number, (sentence, value) in enumerate(zip(sentences, cosine.tolist(), strict=True), 1):
        short = sentence if len(sentence) <= 60 else sentence[:57] + "..."
        report.say(f"  {number:3d} {encoder.count_tokens(sentence):6d}  {value:22.7f}  {short}")
    worst = cosine.min().item()
    report.check("every embedding has cosine >= 0.9999 to the original", worst >= 0.9999, f"smallest {worst:.7f}")
    alone = torch.cat([encoder.encode([sentence]) for sentence in sentences])
    error = largest_difference(alone, ours)
    report.check("padding does not change an embedding", error <= 1e-5, f"largest difference to unpadded {error:.1e}")

    report.say("\n  cosine similarity between the sentences")
    report.say(" " * 17 + "".join(f"{number:6d}" for number in range(1, len(sentences) + 1)))
    topics = [topic for topic, group in SENTENCES.items() for _ in group]
    for number, (topic, row) in enumerate(zip(topics, (ours @ ours.T).tolist(), strict=True), 1):
        report.say(f"  {topic:11s} {number:3d}" + "".join(f"{value:6.2f}" for value in row))


def main() -> int:
    torch.manual_seed(0)
    # Before anything imports torch_npu, which needs the libraries of CANN or of the simulator.
    npufa.sim.enable(soc="Ascend910B3")
    report = Report()
    report.say(f"npufa quickstart: torch {torch.__version__}, {torch.get_num_threads()} threads")
    parts = (show_training, show_inference, show_error, show_encoder, show_simulated_prefill, show_simulated_training,
             show_simulated_decode, show_caught_bug)  # fmt: skip
    for show in parts:
        show(report)
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
