"""flash_attn_with_kvcache of both versions against the published semantics, one sequence at a time."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

import npufa.flash_attn as fa
from flash_attention import published
from flash_attention.published import close, cumulative, parts, window_of

CAPACITY = 24


class Case:
    """A cache whose storage is one of three kinds, and what it should hold."""

    def __init__(self, rng: random.Random, kind: str) -> None:
        self.batch = rng.choice([1, 3])
        self.kv_heads, group, self.width = rng.choice([1, 2]), rng.choice([1, 3]), rng.choice([8, 16])
        self.heads = self.kv_heads * group
        self.kind, self.page_size = kind, rng.choice([3, 8]) if kind == "pages" else CAPACITY
        blocks = CAPACITY // self.page_size
        rows = self.batch * blocks + rng.choice([0, 2])
        shape = (rows, self.page_size, self.kv_heads, self.width)
        self.k_cache, self.v_cache = torch.randn(shape), torch.randn(shape)
        order = list(range(rows)) if kind == "rows" else rng.sample(range(rows), rows)
        self.table = torch.tensor(order[:self.batch * blocks], dtype=torch.int32).view(self.batch, blocks)

    def arguments(self, table: str) -> dict[str, Any]:
        return {"rows": {}, "indexed": {"cache_batch_idx": self.table[:, 0]}, "pages": {table: self.table}}[self.kind]

    def tokens(self, cache: Tensor, b: int) -> Tensor:
        """The whole storage of sequence b in order, a copy."""
        return cache[self.table[b].long()].flatten(0, 1)


def rules_of(rng: random.Random, seed: int) -> dict[str, Any]:
    """Every fifth call sees all keys: its query rows all turn by one position."""
    if seed % 5 == 0:
        return {"causal": False, "window": (-1, -1), "softcap": rng.choice(published.SOFTCAPS)}
    return {"causal": rng.random() < 0.5, "window": window_of(rng, CAPACITY), "softcap": rng.choice(published.SOFTCAPS)}


def expected(case: Case, q: list[Tensor], new: list[tuple[Tensor, Tensor]] | None, before: list[int],
             leftpad: list[int], rotary: tuple[Tensor, Tensor, bool] | None, first: list[int], slopes: Tensor | None,
             caches: tuple[Tensor, Tensor], **rules: Any) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Outputs, log-sum-exps and the keys of each sequence once `new` has been added."""
    outs, lses, all_keys = [], [], []
    moving = rules["causal"] or rules["window"] != (-1, -1) and max(rules["window"]) >= 0
    for b in range(case.batch):
        keys, values = (case.tokens(cache, b).double() for cache in caches)
        rows, total = q[b], before[b]
        if new is not None:
            k, v = new[b]
            if rotary is not None:
                k = published.rotated(k, *rotary[:2], first[b], rotary[2])
                rows = published.rotated(rows, *rotary[:2], first[b], rotary[2], moving)
            total += len(k)
            keys[before[b]:total], values[before[b]:total] = k, v
        out, lse = published.attend(rows, keys[leftpad[b]:total], values[leftpad[b]:total],
                                    slopes=published.slopes_of(slopes, b), scale=case.width ** -0.5, **rules)
        outs.append(out)
        lses.append(lse)
        all_keys.append(keys)
    return outs, lses, all_keys


@pytest.mark.parametrize("seed", range(60))
def test_random_calls_of_version_2(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    case = Case(rng, ("rows", "indexed", "pages")[seed % 3])
    rows, added = rng.choice([1, 4]), rng.choice([0, 0, 1, 4])
    before = [rng.choice([0, 5, CAPACITY - 4]) for _ in range(case.batch)]
    one_length = rng.random() < 0.2
    before = before[:1] * case.batch if one_length else before
    leftpad = [rng.randint(0, length) if rng.random() < 0.5 else 0 for length in before]
    padded = rng.random() < 0.4
    q, k, v = (torch.randn(case.batch, n, heads, case.width) for n, heads in (
        (rows, case.heads), (added, case.kv_heads), (added, case.kv_heads)))
    half = rng.choice([2, case.width // 2])
    rotary = (torch.randn(CAPACITY + 4, half), torch.randn(CAPACITY + 4, half), rng.random() < 0.5)
    rotary = rotary if added and rng.random() < 0.6 else None
    slopes = rng.choice([None, None, None, torch.rand(case.heads), torch.rand(case.batch, case.heads)])
    sink = rng.choice([None, None, torch.randn(case.heads)])
    rules = {**rules_of(rng, seed), "sink": sink}
    caches = case.k_cache.clone(), case.v_cache.clone()
    options = case.arguments("block_table")
    if added:
        options |= {"k": k, "v": v}
    if rotary is not None:
        options |= {"rotary_cos": rotary[0], "rotary_sin": rotary[1], "rotary_interleaved": rotary[2]}
    if padded:
        options["cache_leftpad"] = torch.tensor(leftpad, dtype=torch.int32)
    lengths = before[0] if one_length else torch.tensor(before, dtype=torch.int32)
    out, lse = fa.flash_attn_with_kvcache(
        q, case.k_cache, case.v_cache, cache_seqlens=lengths, causal=rules["causal"],
        window_size=rules["window"], softcap=rules["softcap"], alibi_slopes=slopes, learnable_sink=sink,
        return_softmax_lse=True, **options)
    outs, lses, keys = expected(case, list(q), list(zip(k, v)) if added else None, before,
                                leftpad if padded else [0] * case.batch, rotary, before, slopes, caches, **rules)
    close(out, torch.stack(outs))
    close(lse, torch.stack(lses))
    close(torch.stack([case.tokens(case.k_cache, b) for b in range(case.batch)]), torch.stack(keys))


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(1000, 3000, 100))
def test_many_random_calls_of_version_2(first: int) -> None:
    for seed in range(first, first + 100):
        test_random_calls_of_version_2(seed)


@pytest.mark.parametrize("seed", range(30))
def test_random_packed_calls_of_version_3(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    case = Case(rng, ("rows", "indexed", "pages")[seed % 3])
    q_lengths = [rng.choice([0, 1, 4]) for _ in range(case.batch)]
    new_lengths = [rng.choice([0, 1, 3]) for _ in range(case.batch)]
    before = [rng.choice([0, 5, CAPACITY - 4]) for _ in range(case.batch)]
    first = [rng.randint(0, 9) for _ in before] if rng.random() < 0.5 else before
    leftpad = [rng.randint(0, length) for length in before] if rng.random() < 0.3 else [0] * case.batch
    surplus = rng.choice([0, 2])
    q = torch.randn(sum(q_lengths) + surplus, case.heads, case.width)
    k, v = (torch.randn(sum(new_lengths) + surplus, case.kv_heads, case.width) for _ in range(2))
    rotary = (torch.randn(CAPACITY + 4, 4), torch.randn(CAPACITY + 4, 4), rng.random() < 0.5)
    rules = rules_of(rng, seed)
    caches = case.k_cache.clone(), case.v_cache.clone()
    options = case.arguments("page_table")
    if any(leftpad):
        options["cache_leftpad"] = torch.tensor(leftpad, dtype=torch.int32)
    if first is not before:
        options["rotary_seqlens"] = torch.tensor(first, dtype=torch.int32)
    out, lse = fa.v3.flash_attn_with_kvcache(
        q, case.k_cache, case.v_cache, k, v, rotary_cos=rotary[0], rotary_sin=rotary[1],
        cache_seqlens=torch.tensor(before, dtype=torch.int32), cu_seqlens_q=cumulative(q_lengths),
        cu_seqlens_k_new=cumulative(new_lengths), max_seqlen_q=4, causal=rules["causal"], window_size=rules["window"],
        softcap=rules["softcap"],
        rotary_interleaved=rotary[2], return_softmax_lse=True, **options)
    new = [(k[part.start:part.stop], v[part.start:part.stop]) for part in parts(new_lengths)]
    outs, lses, keys = expected(case, [q[part.start:part.stop] for part in parts(q_lengths)], new, before, leftpad,
                                rotary, first, None, caches, **rules)
    tokens = sum(q_lengths)
    close(out[:tokens], torch.cat(outs))
    wanted = torch.cat(lses, 1)
    close(lse[:, :tokens], wanted.masked_fill(wanted == torch.inf, -torch.inf))
    assert (out[tokens:] == 0).all() and (lse[:, tokens:] == -torch.inf).all()
    close(torch.stack([case.tokens(case.k_cache, b) for b in range(case.batch)]), torch.stack(keys))


@pytest.mark.slow(group="draws")
@pytest.mark.parametrize("first", range(1000, 3000, 100))
def test_many_random_packed_calls_of_version_3(first: int) -> None:
    for seed in range(first, first + 100):
        test_random_packed_calls_of_version_3(seed)


def test_nothing_beyond_the_lengths_reaches_the_result() -> None:
    cache = torch.full((2, 16, 1, 8), torch.nan)
    cache[:, 2:6] = torch.randn(2, 4, 1, 8)
    q = torch.randn(2, 1, 1, 8)
    for slopes in (None, torch.rand(1)):
        out = fa.flash_attn_with_kvcache(q, cache, cache, cache_seqlens=6, cache_leftpad=torch.tensor([2, 2]),
                                         alibi_slopes=slopes)
        close(out, published.dense(q, cache[:, 2:6], cache[:, 2:6], slopes, scale=8 ** -0.5)[0])


def test_qv_over_a_latent_cache() -> None:
    k_cache, v_cache = torch.randn(5, 4, 1, 8), torch.randn(5, 4, 1, 32)
    q, qv = torch.randn(2, 1, 4, 8), torch.randn(2, 1, 4, 32)
    table = torch.tensor([[4, 0], [2, 1]], dtype=torch.int32)
    out = fa.v3.flash_attn_with_kvcache(q, k_cache, v_cache, qv=qv, page_table=table,
                                        cache_seqlens=torch.tensor([7, 3], dtype=torch.int32), causal=True)
    for b, length in enumerate((7, 3)):
        k, v = (cache[table[b].long()].flatten(0, 1)[:length] for cache in (k_cache, v_cache))
        close(out[b], published.attend(q[b], k, v, qv=qv[b], scale=40 ** -0.5)[0])


def test_a_cache_of_one_tensor_is_written_through_its_views() -> None:
    both = torch.zeros(1, 8, 2, 1, 8)
    k, v = torch.randn(1, 2, 1, 8), torch.randn(1, 2, 1, 8)
    fa.flash_attn_with_kvcache(torch.randn(1, 2, 1, 8), both[:, :, 0], both[:, :, 1], k, v, cache_seqlens=3)
    assert torch.equal(both[:, 3:5, 0], k) and torch.equal(both[:, 3:5, 1], v) and both[:, 5:].abs().sum() == 0
