"""A decode loop made of operators: advance_step, rotary, reshape_and_cache, paged attention, logits, the next token.

On the CPU, and captured once in a graph on an NPU, or where there is none on a simulated Ascend910B3. Checked against
a model without a cache, which sees the whole sequence at every step.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import npufa
import npufa.sim
from report import Report

VOCABULARY, WIDTH, HEADS, KV_HEADS, DIM, LAYERS = 48, 64, 4, 2, 32, 2
BLOCK_SIZE, BLOCKS_PER_SEQUENCE = 16, 2
PROMPTS = torch.tensor([[3, 1, 4, 1], [2, 7, 1, 8], [31, 4, 15, 9]])
NEW_TOKENS = 16


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, (HEADS + 2 * KV_HEADS) * DIM, bias=False)
        self.out = nn.Linear(HEADS * DIM, WIDTH, bias=False)

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """query, key, value (T, N, D)."""
        return self.qkv(x).unflatten(-1, (-1, DIM)).split((HEADS, KV_HEADS, KV_HEADS), 1)


class Model(nn.Module):
    """Layers of attention over rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        nn.init.normal_(self.head.weight)  # far apart, so that rounding changes no choice
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        angles = torch.arange(BLOCK_SIZE * BLOCKS_PER_SEQUENCE)[:, None] / 100 ** (torch.arange(DIM // 2) / (DIM // 2))
        self.register_buffer("cosines", angles.cos().repeat(1, 2)[:, None])
        self.register_buffer("sines", angles.sin().repeat(1, 2)[:, None])

    def rotate(self, query: Tensor, key: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return npufa.npu_apply_rotary_pos_emb(query, key, self.cosines[positions], self.sines[positions], layout="TND")

    def logits(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.rms_norm(x, (WIDTH,)))


class Decoder:
    """What a loop over steps keeps: caches, block tables, and where each sequence stands."""

    def __init__(self, model: Model, batch: int) -> None:
        weight = model.tokens.weight
        blocks = batch * BLOCKS_PER_SEQUENCE
        self.model = model
        self.caches = [[weight.new_zeros(blocks, BLOCK_SIZE, KV_HEADS, DIM) for _ in "kv"] for _ in model.layers]
        self.block_table = torch.arange(blocks, device=weight.device).flip(0).view(batch, -1)
        self.tokens, self.positions, self.lengths, self.slots, self.sampled = (
            torch.zeros(batch, dtype=torch.int64, device=weight.device) for _ in range(5))

    def step(self) -> Tensor:
        """Stores the tokens in `sampled` and puts those that follow in their place; returns the logits."""
        batch = len(self.tokens)
        npufa.npu_advance_step_flashattn(self.tokens, self.sampled, self.positions, self.lengths, self.slots,
                                         self.block_table, batch, batch, BLOCK_SIZE)  # fmt: skip
        x = self.model.tokens(self.tokens)
        for layer, (key_cache, value_cache) in zip(self.model.layers, self.caches, strict=True):
            query, key, value = layer.heads(x)
            query, key = self.model.rotate(query, key, self.positions)
            npufa._npu_reshape_and_cache(key, value, key_cache, value_cache, self.slots)
            output, _ = npufa.npu_fused_infer_attention_score(
                query[:, None], key_cache, value_cache, num_heads=HEADS, num_key_value_heads=KV_HEADS, scale=DIM**-0.5,
                input_layout="BSND", block_table=self.block_table.int(), block_size=BLOCK_SIZE,
                actual_seq_lengths_kv=self.lengths)  # fmt: skip
            x = x + layer.out(output.flatten(1))
        logits = self.model.logits(x)
        self.sampled.copy_(logits.argmax(-1))
        return logits


@torch.inference_mode()
def generate(decoder: Decoder, capture: bool = False) -> tuple[Tensor, Tensor]:
    """Tokens after the prompts, and the last logits; with `capture` every step after the first is a replay of it."""
    step, chosen = decoder.step, []
    if capture:
        graph = torch.npu.NPUGraph()
        with torch.npu.graph(graph):
            logits = decoder.step()

        def step() -> Tensor:
            graph.replay()
            return logits

    for i in range(PROMPTS.shape[1] + NEW_TOKENS - 1):
        if i < PROMPTS.shape[1]:
            decoder.sampled.copy_(PROMPTS[:, i])
        last = step()
        if i >= PROMPTS.shape[1] - 1:
            chosen.append(decoder.sampled.clone())
    return torch.stack(chosen, 1).cpu(), last.cpu()


@torch.inference_mode()
def generate_without_cache(model: Model) -> tuple[Tensor, Tensor]:
    """The same from whole sequences, by plain torch."""
    tokens = PROMPTS
    for _ in range(NEW_TOKENS):
        rows = []
        for sequence in tokens:
            x = model.tokens(sequence)
            for layer in model.layers:
                query, key, value = layer.heads(x)
                query, key = (turned(t, model.cosines[: len(x)], model.sines[: len(x)]) for t in (query, key))
                key, value = (t.repeat_interleave(HEADS // KV_HEADS, 1) for t in (key, value))
                scores = torch.einsum("inD,jnD->nij", query, key) * DIM**-0.5
                scores = scores.masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -torch.inf)
                x = x + layer.out(torch.einsum("nij,jnD->inD", scores.softmax(-1), value).flatten(1))
            rows.append(model.logits(x[-1]))
        logits = torch.stack(rows)
        tokens = torch.cat([tokens, logits.argmax(-1)[:, None]], 1)
    return tokens[:, PROMPTS.shape[1] :], logits


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosines + torch.cat([-second, first], -1) * sines


def main() -> int:
    npufa.sim.enable()  # stands aside where CANN is installed
    report = Report()
    torch.manual_seed(0)
    model = Model()
    report.part("Decode steps on the CPU, float32")
    expected, expected_logits = generate_without_cache(model)
    tokens, logits = generate(Decoder(model, len(PROMPTS)))
    for prompt, row in zip(PROMPTS.tolist(), tokens.tolist(), strict=True):
        report.say(f"  {prompt} -> {row}")
    error = (logits - expected_logits).abs().max().item()
    report.check("tokens and logits of a model without a cache", torch.equal(tokens, expected) and error < 1e-4,
                 f"largest difference {error:.1e}")  # fmt: skip

    report.part(f"The same in one captured graph on {torch.npu.get_device_name(0)}, float16")
    on_npu = Model().half().npu()
    on_npu.load_state_dict(model.state_dict())
    eager, _ = generate(Decoder(on_npu, len(PROMPTS)))
    decoder = Decoder(on_npu, len(PROMPTS))
    captured, _ = generate(decoder, capture=True)
    steps = PROMPTS.shape[1] + NEW_TOKENS - 1
    report.check(f"{steps} replays choose the tokens of steps that are not captured", torch.equal(captured, eager))
    report.check("and those of the CPU", torch.equal(captured, expected))
    report.check("the graph advanced the lengths itself", decoder.lengths.tolist() == [steps] * len(PROMPTS))
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
