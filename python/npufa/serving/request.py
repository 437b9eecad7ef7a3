"""What is asked of the serving engine, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

GREEDY = 0.0
OnToken = Callable[[int, int], None]  # request id, token id


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen and when generation stops.

    Attributes:
        max_new_tokens: at least 1.
        stop_token_ids: end the request, the token included in its output; beside the model's own eos tokens.
        ignore_eos: do not stop at the model's own eos tokens.
        temperature: 0 takes the most probable token; otherwise logits are divided by it and a token is drawn.
        top_p: draw from the most probable tokens whose probabilities just reach it (Holtzman et al. 2020).
        seed: of the request's own random numbers, which do not depend on other requests; None draws one.

    Raises:
        ValueError: a value out of range.
    """

    max_new_tokens: int = 16
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    temperature: float = GREEDY
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value, legal, expected in (
            ("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature, self.temperature >= 0, "0 or more"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "a number in (0, 1]"),
        ):
            if not legal:
                raise ValueError(f"npufa.SamplingParams: {name} is out of range, got {value}; expected {expected}")


@dataclass(frozen=True)
class Completion:
    """A finished request.

    Attributes:
        request_id: what `add_request` returned.
        prompt_token_ids, token_ids: what was given, and what was generated, a stop token included.
        finish_reason: "stop", "length" or "abort".
        time_to_first_token: seconds from `add_request`; None without a token.
        preemptions: how often its blocks were taken away.
        cached_prompt_tokens: tokens of the prompt that were found in the cache at first admission.
    """

    request_id: int
    prompt_token_ids: list[int]
    token_ids: list[int]
    finish_reason: str
    time_to_first_token: float | None
    preemptions: int
    cached_prompt_tokens: int


@dataclass(eq=False)
class Request:
    """A request that is waiting or running.

    `tokens` are those of the prompt and those generated; the cache holds the first `computed` in `sequence`, None while
    the request owns no blocks.
    """

    request_id: int
    prompt_length: int
    tokens: list[int]
    params: SamplingParams
    stop_token_ids: frozenset[int]
    arrival: float
    on_token: OnToken | None = None
    generator: torch.Generator | None = None
    sequence: int | None = None
    computed: int = 0
    preemptions: int = 0
    cached_prompt_tokens: int | None = None
    token_times: list[float] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> list[int]:
        return self.tokens[self.prompt_length:]

    def finish_reason(self) -> str | None:
        """Why the last token ended the request; None when it did not."""
        if len(self.tokens) > self.prompt_length and self.tokens[-1] in self.stop_token_ids:
            return "stop"
        return "length" if len(self.tokens) - self.prompt_length >= self.params.max_new_tokens else None

    def completion(self, reason: str) -> Completion:
        first = self.token_times[0] - self.arrival if self.token_times else None
        return Completion(self.request_id, self.tokens[:self.prompt_length], self.generated, reason, first,
                          self.preemptions, self.cached_prompt_tokens or 0)
