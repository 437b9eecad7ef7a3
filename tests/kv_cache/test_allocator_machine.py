"""PagedKVCache against a model that keeps every sequence's tokens in a plain list."""

from collections import Counter

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from npufa.kv_cache import OutOfBlocks, PagedKVCache

BLOCKS = 7
TOKENS = st.lists(st.integers(0, 1), min_size=0, max_size=9)  # few ids: prefixes are often equal


def key_of(tokens):
    """What a model would store: a function of a token and all before it. int8 keeps it exactly enough to compare."""
    state, rows = 0, []
    for token in tokens:
        state = (state * 31 + token + 7) % 251
        rows.append(float(state) - 125.0)
    return rows


class CacheMachine(RuleBasedStateMachine):
    kv_cache_dtype = None

    @initialize(block_size=st.integers(1, 4))
    def start(self, block_size):
        self.cache = PagedKVCache(BLOCKS, block_size, 1, 2, num_layers=2, dtype=torch.float32,
                                  kv_cache_dtype=self.kv_cache_dtype)
        self.tokens = {}  # id -> token ids
        self.anonymous = set()

    def state(self):
        """All that a refused request must leave alone."""
        cache = self.cache
        return cache.usage(), {s: (cache.length(s), cache.blocks(s)) for s in self.tokens}

    def pick(self, data):
        return data.draw(st.sampled_from(sorted(self.tokens)))

    def store(self, sequence, new, ids):
        before = self.state()
        everything = self.tokens[sequence] + new
        rows = torch.tensor(key_of(everything)[len(self.tokens[sequence]):]).view(1, -1, 1, 1).expand(2, -1, 1, 2)
        rows = rows.reshape(2, len(new), 1, 2)
        expected = self.cache.blocks_needed(sequence, len(new))
        try:
            self.cache.append(sequence, rows, -rows, new if ids else None)
        except OutOfBlocks:
            assert expected > before[0].free_blocks + before[0].cached_blocks
            assert self.state() == before
            return
        assert before[0].used_blocks + expected >= self.cache.usage().used_blocks
        self.tokens[sequence] = everything
        if not ids and new:
            self.anonymous.add(sequence)

    @rule(tokens=TOKENS)
    def create(self, tokens):
        sequence = self.cache.create(tokens)
        assert sequence not in self.tokens
        found = self.cache.length(sequence)
        assert found % self.cache.block_size == 0 and found <= len(tokens)
        self.tokens[sequence] = tokens[:found]
        self.store(sequence, tokens[found:], ids=True)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), tokens=TOKENS, ids=st.booleans())
    def append(self, data, tokens, ids):
        self.store(self.pick(data), tokens, ids)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def fork(self, data):
        sequence = self.pick(data)
        copy = self.cache.fork(sequence)
        self.tokens[copy] = list(self.tokens[sequence])
        if sequence in self.anonymous:
            self.anonymous.add(copy)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def truncate(self, data):
        sequence = self.pick(data)
        length = data.draw(st.integers(0, len(self.tokens[sequence])))
        self.cache.truncate(sequence, length)
        del self.tokens[sequence][length:]
        if length == 0:
            self.anonymous.discard(sequence)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def free(self, data):
        sequence = self.pick(data)
        self.cache.free(sequence)
        del self.tokens[sequence]
        self.anonymous.discard(sequence)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def freed_contents_are_found(self, data):
        """A sequence that ends and comes back finds all of its full blocks, in the state they were left."""
        named = sorted(set(self.tokens) - self.anonymous)
        if not named:
            return
        sequence = data.draw(st.sampled_from(named))
        tokens = self.tokens.pop(sequence)
        self.cache.free(sequence)
        again = self.cache.create(tokens)
        found = self.cache.length(again)
        assert found == len(tokens) // self.cache.block_size * self.cache.block_size
        self.tokens[again] = tokens[:found]

    @invariant()
    def contents(self):
        for sequence, tokens in getattr(self, "tokens", {}).items():
            assert self.cache.length(sequence) == len(tokens)
            for layer in range(2):
                key, value = self.cache.read(sequence, layer)
                expected = torch.tensor(key_of(tokens)).view(-1, 1, 1).expand(-1, 1, 2)
                torch.testing.assert_close(key, expected.reshape(key.shape), atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(value, -key)

    @invariant()
    def every_block_has_one_state(self):
        if not hasattr(self, "tokens"):
            return
        allocator, usage = self.cache._allocator, self.cache.usage()
        owners = Counter(block for sequence in self.tokens for block in self.cache.blocks(sequence))
        for sequence in self.tokens:
            assert len(set(self.cache.blocks(sequence))) == -(-len(self.tokens[sequence]) // self.cache.block_size)
        free = list(allocator._free)
        for block in range(BLOCKS):
            assert allocator.references(block) == owners[block]
            assert (owners[block] > 0) + allocator.is_cached(block) + free.count(block) == 1
        assert usage.used_blocks == len(owners)
        assert usage.used_blocks + usage.cached_blocks + usage.free_blocks == BLOCKS
        assert usage.shared_blocks == sum(count > 1 for count in owners.values())
        assert usage.tokens == sum(map(len, self.tokens.values())) and usage.sequences == len(self.tokens)
        for digest, block in allocator._by_digest.items():
            assert allocator._digests[block] == digest and block not in free


class Int8Machine(CacheMachine):
    kv_cache_dtype = torch.int8


@pytest.mark.parametrize("machine", [CacheMachine, Int8Machine])
def test_any_sequence_of_calls(machine):
    test = machine.TestCase
    test.settings = settings(max_examples=30, stateful_step_count=20, deadline=None, derandomize=True)
    test().runTest()


@pytest.mark.slow(group="draws")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("machine", [CacheMachine, Int8Machine])
def test_any_sequence_of_calls_long(machine):
    test = machine.TestCase
    test.settings = settings(max_examples=1500, stateful_step_count=60, deadline=None)
    test().runTest()
