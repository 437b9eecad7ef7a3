"""Continuous batching: requests join and leave the batch at every step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..kv_cache import PagedKVCache
from .decode import DecodeState
from .metrics import ServingMetrics
from .model import PagedBatch, cache_shape, forward
from .request import GREEDY, Completion, OnToken, Request, SamplingParams
from .sampling import choose
from .scheduler import Chunk, Scheduler


class ServingEngine:
    """Generates for many requests at once with a Hugging Face causal language model over a paged cache.

    Every step computes the next token of the running requests and chunks of prompts that are waiting, in one packed
    forward pass. Greedy output is that of `model.generate` for each prompt alone, up to rounding. The model is used
    as it is, on the device it is on; between steps its attention implementation is the one it had. Not thread-safe.

    Args:
        model: in evaluation mode; its attention goes through transformers' attention interface and is causal, with or
            without sliding windows and sinks.
        num_blocks: blocks of the cache.
        block_size: tokens in a block.
        max_num_seqs: requests that run at once at most.
        max_batched_tokens: tokens of a step at most; longer prompts are computed in chunks.
        kv_cache_dtype: None, or torch.int8.
        prefix_caching: prompts that begin alike share blocks.

    Raises:
        ValueError: an illegal argument, or a model that cannot be served; the message names the reason.

    Source: iteration-level scheduling (Orca, Yu et al. 2022), PagedAttention (arXiv 2309.06180), chunked prefill
    (Sarathi, arXiv 2308.16369); usage guide section 5.1.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        num_blocks: int,
        *,
        block_size: int = 16,
        max_num_seqs: int = 16,
        max_batched_tokens: int = 256,
        kv_cache_dtype: torch.dtype | None = None,
        prefix_caching: bool = True,
    ) -> None:
        if max_num_seqs < 1:
            raise _error(f"max_num_seqs is not positive, got {max_num_seqs}; expected at least 1")
        if max_batched_tokens < max_num_seqs:
            raise _error(f"max_batched_tokens is too small, got {max_batched_tokens}; expected at least max_num_seqs, "
                         f"{max_num_seqs}: a token for every running request")
        if model.training:
            raise _error("model is in training mode; expected model.eval()")
        shape = cache_shape(model)
        self.model = model
        self.cache = PagedKVCache(
            num_blocks, block_size, shape.num_kv_heads, shape.head_dim, num_layers=shape.num_layers,
            value_head_dim=shape.value_head_dim, dtype=shape.dtype, device=model.device, kv_cache_dtype=kv_cache_dtype,
            prefix_caching=prefix_caching)
        self.metrics = ServingMetrics()
        self._scheduler = Scheduler(self.cache, max_num_seqs, max_batched_tokens)
        self._decode = DecodeState(self.cache)
        self._requests: dict[int, Request] = {}
        self._finished: list[Completion] = []
        self._ids = itertools.count()
        config = model.config.get_text_config(decoder=True)
        self._vocabulary = config.vocab_size
        self._max_positions = getattr(config, "max_position_embeddings", None)
        eos = model.generation_config.eos_token_id if model.generation_config is not None else None
        self._eos = frozenset([] if eos is None else [eos] if isinstance(eos, int) else eos)

    def add_request(
        self, prompt: Sequence[int], params: SamplingParams | None = None, on_token: OnToken | None = None
    ) -> int:
        """Queues a prompt of token ids; returns the request's id.

        Args:
            on_token: called with request id and token after each step that chose one.

        Raises:
            ValueError: an empty prompt, a token outside the vocabulary, or a request that could never fit the cache or
                the model's positions.
        """
        params = SamplingParams() if params is None else params
        tokens = [int(token) for token in prompt]
        self._check(tokens, params)
        generator = None
        if params.temperature != GREEDY:
            generator = torch.Generator()
            generator.manual_seed(generator.seed() if params.seed is None else params.seed)
        stops = frozenset(params.stop_token_ids) | (frozenset() if params.ignore_eos else self._eos)
        request = Request(next(self._ids), len(tokens), tokens, params, stops, time.perf_counter(), on_token, generator)
        self._requests[request.request_id] = request
        self._scheduler.waiting.append(request)
        return request.request_id

    def abort(self, request_id: int) -> None:
        """Ends a request now; the next step returns what it has.

        Raises:
            ValueError: there is no such request, or it has finished.
        """
        if request_id not in self._requests:
            raise _error(f"request_id is unknown, got {request_id}; expected a request that has not finished")
        request = self._requests.pop(request_id)
        self._scheduler.remove(request)
        self.metrics.aborted_requests += 1
        self._finished.append(request.completion("abort"))

    @property
    def unfinished(self) -> int:
        """Requests that wait or run."""
        return len(self._requests)

    @property
    def running(self) -> int:
        """Requests that own blocks."""
        return len(self._scheduler.running)

    def step(self) -> list[Completion]:
        """One forward pass; returns the requests that finished or were aborted since the last one.

        If the model raises, the step has not happened and may be tried again. If callbacks raise, all have been called
        and the first error is raised; the next step returns what finished.
        """
        chunks = self._scheduler.schedule()
        self.metrics.preemptions = self._scheduler.preemptions
        if chunks:
            begin = time.perf_counter()
            ready = self._advance(chunks)
            self.metrics.steps += 1
            self.metrics.busy_time += time.perf_counter() - begin
            _call_back(ready)
        finished, self._finished = self._finished, []
        return finished

    def run(self) -> list[Completion]:
        """Steps until no request is left; returns all that finished or were aborted, in the order they did."""
        finished = []
        while self._requests or self._finished:
            finished += self.step()
        return finished

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
        on_token: OnToken | None = None,
    ) -> list[Completion]:
        """Returns the completions of prompts in their order.

        Args:
            params: for all prompts, or one for each.

        Raises:
            ValueError: as `add_request`; another number of params than prompts; other requests are unfinished. Then no
                prompt has been queued.
        """
        if self._requests:
            raise _error(f"generate() found {self.unfinished} unfinished requests; expected none: use add_request "
                         "and run")
        each = [params] * len(prompts) if params is None or isinstance(params, SamplingParams) else list(params)
        if len(each) != len(prompts):
            raise _error(f"params has the wrong length, got {len(each)}; expected {len(prompts)}, that of prompts")
        for prompt, one in zip(prompts, each):
            self._check([int(token) for token in prompt], one or SamplingParams())
        ids = [self.add_request(prompt, one, on_token) for prompt, one in zip(prompts, each)]
        completions = {completion.request_id: completion for completion in self.run()}
        return [completions[request_id] for request_id in ids]

    def _advance(self, chunks: list[Chunk]) -> list[Request]:
        """Computes the chunks; returns the requests that got a token."""
        try:
            chunks, logits = self._compute(chunks)
            ready = [chunk.request for chunk in chunks if chunk.completes]
            tokens = choose(logits, ready) if ready else []
        except BaseException:
            self._decode.forget()
            for chunk in chunks:
                self.cache.truncate(chunk.sequence, chunk.start)
            raise
        for chunk in chunks:
            self._store(chunk)
        used = self.cache.num_blocks - self.cache.available_blocks
        self.metrics.peak_used_blocks = max(self.metrics.peak_used_blocks, used)
        self.metrics.peak_running = max(self.metrics.peak_running, self.running)
        self._take(ready, tokens)
        return ready

    def _compute(self, chunks: list[Chunk]) -> tuple[list[Chunk], Tensor]:
        """Returns the chunks in the order of the batch, decoding requests first, and the logits of those complete."""
        decoding = [chunk for chunk in chunks if chunk.completes and chunk.count == 1]
        filling = [chunk for chunk in chunks if not (chunk.completes and chunk.count == 1)]
        ordered = decoding + filling
        device = self.cache.device
        columns: list[list[Tensor]] = []
        if decoding:
            self._decode.advance(decoding)
            columns.append(list(self._decode.tensors))
        columns += [[t.to(device) for t in self._filling_tensors(chunk)] for chunk in filling]
        tokens, positions, slots, kv_lengths = (torch.cat(column) for column in zip(*columns))
        ends = torch.tensor(list(itertools.accumulate(chunk.count for chunk in ordered))).to(device)
        if filling:
            table = self.cache.block_table([chunk.sequence for chunk in ordered])
        else:
            table = self._decode.block_tables.to(torch.int32)
        rows = (ends - 1)[torch.tensor([chunk.completes for chunk in ordered]).to(device)]
        batch = PagedBatch(self.cache.storage, slots, table, ends, kv_lengths)
        return ordered, forward(self.model, tokens, positions, batch, rows)

    def _filling_tensors(self, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, positions, slots and length of a piece of a prompt."""
        start, end = chunk.start, chunk.start + chunk.count
        return (torch.tensor(chunk.request.tokens[start:end]), torch.arange(start, end),
                self.cache.slot_mapping(chunk.sequence, start, end), torch.tensor([end]))

    def _store(self, chunk: Chunk) -> None:
        request = chunk.request
        self.cache.commit(chunk.sequence)
        request.computed += chunk.count
        self.metrics.computed_tokens += chunk.count
        if not request.preemptions and chunk.start == request.cached_prompt_tokens:  # first chunk
            self.metrics.prompt_tokens += request.prompt_length
            self.metrics.cached_tokens += chunk.start

    def _take(self, requests: list[Request], tokens: list[int]) -> None:
        """Adds the chosen tokens and ends the requests that they finish."""
        now = time.perf_counter()
        for request, token in zip(requests, tokens):
            request.tokens.append(token)
            if request.token_times:
                self.metrics.inter_token_latencies.append(now - request.token_times[-1])
            else:
                self.metrics.times_to_first_token.append(now - request.arrival)
            request.token_times.append(now)
            self.metrics.generated_tokens += 1
            reason = request.finish_reason()
            if reason is not None:
                self._scheduler.remove(request)
                del self._requests[request.request_id]
                self.metrics.finished_requests += 1
                self._finished.append(request.completion(reason))

    def _check(self, tokens: list[int], params: SamplingParams) -> None:
        if not tokens:
            raise _error("prompt is empty; expected at least one token")
        if not all(0 <= token < self._vocabulary for token in tokens):
            raise _error(f"prompt has a token outside the vocabulary, got {min(tokens)} to {max(tokens)}; expected "
                         f"0 to {self._vocabulary - 1}")
        longest = len(tokens) + params.max_new_tokens
        if self._max_positions is not None and longest > self._max_positions:
            raise _error(f"prompt and max_new_tokens are too long, got {len(tokens)} + {params.max_new_tokens}; "
                         f"expected at most {self._max_positions}, the positions of the model")
        room = self.cache.num_blocks * self.cache.block_size
        if longest - 1 > room:  # the last token is never stored
            raise _error("prompt and max_new_tokens do not fit the cache, got "
                         f"{len(tokens)} + {params.max_new_tokens}; expected at most {room} tokens of "
                         f"{self.cache.num_blocks} blocks")


def _call_back(requests: list[Request]) -> None:
    errors = []
    for request in requests:
        if request.on_token is not None:
            try:
                request.on_token(request.request_id, request.tokens[-1])
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _error(message: str) -> ValueError:
    return ValueError(f"npufa.serving: {message}")
