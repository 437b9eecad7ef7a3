"""Arguments that are illegal or not supported, refused under the names that flash_attn gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from .._torch_compat import is_compiling

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_INTEGERS = (torch.int32, torch.int64)


def fail(name: str, argument: str, wrong: str, got: Any, expected: str) -> NoReturn:
    """Raises the ValueError of an illegal argument."""
    raise ValueError(f"npufa.flash_attn.{name}: {argument} {wrong}, got {got}; expected {expected}")


def readable(tensor: Tensor) -> bool:
    """True where values cost nothing to look at: on the CPU, outside a traced graph."""
    return tensor.device.type == "cpu" and not is_compiling()


def refuse(name: str, *, attention_chunk: int = 0, **absent: Tensor | None) -> None:
    """Refuses what flash_attn has and the operators have not; `absent` must be None."""
    if attention_chunk:
        fail(name, "attention_chunk", "is not supported", attention_chunk, "0 (off)")
    for argument, tensor in absent.items():
        if tensor is not None:
            fail(name, argument, "is not supported: there are no float8 products", f"a {tensor.dtype} tensor", "None")


def dropout(name: str, probability: float, return_attn_probs: bool) -> None:
    if not 0.0 <= probability < 1.0:
        fail(name, "dropout_p", "is no probability below 1", probability, "0 <= dropout_p < 1")
    if return_attn_probs and probability > 0:
        fail(name, "return_attn_probs", "is not supported with dropout: no operator returns the probabilities S_dmask",
             f"True with dropout_p {probability}", "dropout_p 0, which returns the log-sum-exp, or False")


def tensor(
    name: str, argument: str, value: Any, shape: Sequence[int | str], dtypes: Sequence[torch.dtype],
    device: torch.device
) -> None:
    """Refuses all but a tensor of this shape, in which a string names a size that is free."""
    if not isinstance(value, Tensor):
        raise TypeError(f"npufa.flash_attn.{name}: {argument} is no tensor, got {type(value).__name__}; expected a "
                        f"tensor ({', '.join(map(str, shape))})")
    fits = value.dim() == len(shape) and all(isinstance(size, str) or size == n for size, n in zip(shape, value.shape))
    if not fits:
        fail(name, argument, "has the wrong shape", [*value.shape], f"({', '.join(map(str, shape))})")
    if value.dtype not in dtypes:
        raise TypeError(f"npufa.flash_attn.{name}: {argument} has the wrong dtype, got {value.dtype}; expected "
                        f"{' or '.join(map(str, dtypes))}")
    if value.device != device:
        fail(name, argument, "is on another device than q", value.device, str(device))


def attention(name: str, tokens: str, q: Tensor, k: Tensor, v: Tensor, qv: Tensor | None = None,
              spelling: tuple[str, str, str] = ("q", "k", "v")) -> None:
    """Checks query, key and value against each other; `tokens` is "B S", "T", or "pages" for a paged cache and a "B S"
    query, "T pages" for a packed one."""
    names_q = ["T"] if tokens.startswith("T") else ["B", "S"]
    q_name, k_name, v_name = spelling
    device = q.device if isinstance(q, Tensor) else torch.device("cpu")
    tensor(name, q_name, q, [*names_q, "N", "D"], DTYPES, device)
    rows, heads = [*q.shape[:-2]], q.shape[-2]
    free = ["T"] if tokens == "T" else ["pages", "page_size"] if "pages" in tokens else [rows[0], "S"]
    tensor(name, k_name, k, [*free, "Nkv", q.shape[-1]], (q.dtype,), device)
    tensor(name, v_name, v, [*k.shape[:-1], "D"], (q.dtype,), device)
    if k.shape[-2] == 0 or heads % k.shape[-2]:
        fail(name, k_name, "has heads that do not divide those of q", k.shape[-2], f"a divisor of {heads}")
    if qv is not None:
        tensor(name, "qv", qv, [*rows, heads, v.shape[-1]], (q.dtype,), device)


def extras(name: str, q: Tensor, batch: int, window_size: Sequence[int], softcap: float, alibi_slopes: Tensor | None,
           learnable_sink: Tensor | None) -> None:
    heads = q.shape[-2]
    if len(window_size) != 2 or not all(isinstance(side, (int, torch.SymInt)) for side in window_size):
        fail(name, "window_size", "is no pair of numbers", window_size, "(left, right), -1 for no limit")
    if not 0.0 <= softcap < float("inf"):
        fail(name, "softcap", "is no cap", softcap, "0.0 (off), or a number above")
    if alibi_slopes is not None:
        shape = [heads] if isinstance(alibi_slopes, Tensor) and alibi_slopes.dim() == 1 else [batch, heads]
        tensor(name, "alibi_slopes", alibi_slopes, shape, (torch.float32,), q.device)
    if learnable_sink is not None:
        tensor(name, "learnable_sink", learnable_sink, [heads], DTYPES, q.device)


def packed_heads(name: str, heads: int, num_heads_q: int) -> list[int]:
    """Heads of query, key and value in a tensor of all of them."""
    others = heads - num_heads_q
    if others < 2 or others % 2:
        fail(name, "num_heads_q", f"does not leave heads for k and v of the {heads} of qkv", num_heads_q,
             "N of N + 2 * Nkv heads")
    return [num_heads_q, others // 2, others // 2]


def integers(name: str, argument: str, value: Any, shape: Sequence[int | str], device: torch.device) -> None:
    tensor(name, argument, value, shape, _INTEGERS, device)


def cumulative(name: str, argument: str, value: Any, tokens: int, device: torch.device, batch: int | None = None
               ) -> None:
    """Checks cumulative lengths (B + 1,) with their leading zero; their values only where those are readable."""
    integers(name, argument, value, ["B + 1" if batch is None else batch + 1], device)
    if len(value) == 0:
        fail(name, argument, "is empty", [], "cumulative lengths with a leading zero, like [0, 2, 5]")
    if readable(value):
        entries = value.tolist()
        if entries[0] != 0 or entries[-1] > tokens or any(a > b for a, b in zip(entries, entries[1:])):
            fail(name, argument, f"is not cumulative within {tokens} tokens", entries,
                 "a leading zero and values that never decrease, like [0, 2, 5]")


def lengths(name: str, argument: str, value: Tensor, low: int, high: int | Tensor) -> None:
    """Checks that `low <= value <= high` where values are readable."""
    if readable(value) and bool(((value < low) | (value > high)).any()):
        limit = high.tolist() if isinstance(high, Tensor) else high
        fail(name, argument, "is out of range", value.tolist(), f"{low} to {limit}")
