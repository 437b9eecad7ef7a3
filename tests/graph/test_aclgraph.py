"""Captured graphs of a model with npufa's operators: NPUGraph.update, torchair's reduce-overhead, npugraph_ex.

Each replay is compared with the same step run eagerly.
"""

import pytest
import torch

import npufa
from cases.device import fails_a_capture, on_device
from cases.versions import aliases_raise

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, BLOCK = 4, 2, 16, 64, 16


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)


class DecodeStep(torch.nn.Module):
    """One layer of a language model for one new token per sequence, over a paged cache."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(32, HIDDEN)
        self.weight = torch.nn.Parameter(torch.ones(HIDDEN))
        self.query = torch.nn.Linear(HIDDEN, HEADS * HEAD_DIM, bias=False)
        self.key_value = torch.nn.Linear(HIDDEN, 2 * KV_HEADS * HEAD_DIM, bias=False)
        self.output = torch.nn.Linear(HEADS * HEAD_DIM, HIDDEN, bias=False)

    def forward(self, tokens, positions, slots, key_cache, value_cache, block_table, lengths):
        batch = tokens.shape[0]
        x = self.embedding(tokens)
        h = x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6).to(x.dtype) * self.weight
        angles = positions[:, None, None] / torch.arange(1, HEAD_DIM // 2 + 1, device=x.device)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        query = rotate(self.query(h).view(batch, HEADS, HEAD_DIM), cos, sin)
        key, value = self.key_value(h).view(batch, 2, KV_HEADS, HEAD_DIM).unbind(1)
        width = KV_HEADS * HEAD_DIM
        key_cache.view(-1, width).index_copy_(0, slots, rotate(key, cos, sin).reshape(batch, width))
        value_cache.view(-1, width).index_copy_(0, slots, value.reshape(batch, width))
        attention, _ = npufa.npu_fused_infer_attention_score(
            query.reshape(batch, 1, -1), key_cache, value_cache, num_heads=HEADS, num_key_value_heads=KV_HEADS,
            input_layout="BSH", scale=HEAD_DIM**-0.5, block_table=block_table, block_size=BLOCK,
            actual_seq_lengths_kv=lengths)
        return x + self.output(attention.view(batch, -1))


def caches():
    return [torch.zeros(8, BLOCK, KV_HEADS * HEAD_DIM).half().npu() for _ in range(2)]


def decode(step, cache, count):
    """Results of `count` steps of two sequences that start at positions 0 and 14 (its second block is 5)."""
    block_table = torch.arange(8, dtype=torch.int32).view(2, 4).npu()
    results = []
    for i in range(count):
        positions = torch.tensor([i, i + 14])
        slots = positions % BLOCK + block_table.cpu()[torch.arange(2), positions // BLOCK] * BLOCK
        tokens = torch.tensor([i, 31 - i])
        lengths = (positions + 1).tolist()
        results.append(step(tokens.npu(), positions.npu(), slots.npu(), *cache, block_table, lengths).clone())
    return torch.stack(results)


def backend(name):
    if name == "npugraph_ex":
        return name
    import torchair

    config = torchair.CompilerConfig()
    config.mode = name
    return torchair.get_npu_backend(compiler_config=config)


@on_device
@pytest.mark.parametrize("name", ("reduce-overhead", "npugraph_ex"))
def test_decode_is_captured_once_and_follows_the_lengths(name):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = DecodeStep().half().npu()
    compiled = torch.compile(model, backend=backend(name), dynamic=True, fullgraph=True)
    eager_cache, cache = caches(), caches()
    with torch.no_grad(), aliases_raise():
        expected = decode(model, eager_cache, 4)
        actual = decode(compiled, cache, 4)
    assert torch.equal(actual, expected) and expected.isfinite().all()
    assert torch.equal(cache[0], eager_cache[0]) and torch.equal(cache[1], eager_cache[1])
    captures = [count for key, count in counters["npugraph_ex"].items() if key.startswith("captured_")]
    assert captures == [1]


@on_device
def test_two_graphs_of_one_function_share_memory():
    torch._dynamo.reset()

    def run(query, key):
        return npufa.npu_prompt_flash_attention(
            query * 2, key, key + 1, num_heads=2, input_layout="BNSD", scale_value=0.25, next_tokens=65535).relu()

    compiled = torch.compile(run, backend=backend("reduce-overhead"), dynamic=True, fullgraph=True)
    with torch.no_grad():
        for size in (64, 32, 64, 32, 64):
            query, key = torch.randn(2, 2, size, 16).half().npu(), torch.randn(2, 2, size, 16).half().npu()
            assert torch.equal(compiled(query, key), run(query, key))


OPERATORS = {
    "npu_fused_infer_attention_score": ("actual_seq_lengths_kv", dict(num_heads=2, scale=0.25)),
    "npu_fused_infer_attention_score_v2": ("actual_seq_kvlen", dict(num_query_heads=2, softmax_scale=0.25)),
}


@on_device
@pytest.mark.parametrize("operator", OPERATORS)
def test_update_of_a_captured_graph(operator):
    name, settings = OPERATORS[operator]
    torch.manual_seed(0)
    query, key = torch.zeros(2, 2, 1, 16).half().npu(), torch.randn(2, 2, 64, 16).half().npu()

    def run(lengths):
        call = getattr(torch.ops.npufa, operator)
        return call(query + 1, key, key, input_layout="BNSD", **settings, **{name: lengths})[0].float()

    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph, auto_dispatch_capture=True):
        result = run([1, 1])
    results = []
    for lengths in ([5, 6], [64, 3]):
        for update_first in (True, False):
            query.normal_()
            if update_first:
                graph.update(cpu_update_input=[{name: lengths}])
            graph.replay()
            if not update_first:
                graph.update(cpu_update_input=[{name: lengths}])
            assert torch.equal(result, run(lengths))
            results.append(result.clone())
    assert not torch.equal(results[0], results[1])


@pytest.mark.parametrize("version", ["", "_v2", "_v3"])
@on_device
def test_each_replay_draws_its_own_dropout(version):
    """Captured, a call that returns its seed as an integer could not; compiled it is another one."""
    q = torch.randn(2, 2, 9, 32).half().npu()

    def attend(q):
        return getattr(npufa, f"npu_fusion_attention{version}")(q, q, q, 2, "BNSD", keep_prob=0.5)[0]

    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(attend, backend=backend("reduce-overhead"), fullgraph=True)
        drawn = [compiled(q).cpu() for _ in range(4)]
    assert len({tuple(t.flatten().tolist()) for t in drawn}) == 4


@on_device
def test_update_keeps_what_was_converted():
    """What is allocated for scales of another type while a graph is updated is somebody else's when it is replayed."""
    torch.manual_seed(0)
    query, key = torch.randn(2, 2, 1, 16).half().npu(), torch.randint(-99, 99, (2, 2, 64, 16), dtype=torch.int8).npu()
    scale = torch.full((2, 16), 0.03).half().npu()

    def run(lengths):
        return torch.ops.npufa.npu_fused_infer_attention_score(
            query, key, key, input_layout="BNSD", num_heads=2, scale=0.25, actual_seq_lengths_kv=lengths,
            key_antiquant_scale=scale, value_antiquant_scale=scale)[0].float()

    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph, auto_dispatch_capture=True):
        result = run([1, 1])
    for lengths in ([5, 6], [64, 3]):
        graph.update(cpu_update_input=[{"actual_seq_lengths_kv": lengths}])
        with torch.npu.stream(graph.graph_dispatch_mode.update_stream):
            others = [torch.zeros_like(scale, dtype=torch.float32) for _ in range(50)]
        scale.mul_(2)
        graph.replay()
        assert torch.equal(result, run(lengths)) and not torch.stack(others).any()


@on_device
@fails_a_capture
def test_operators_of_torch_npu_stay_their_own():
    import torch_npu

    query, key = torch.zeros(1, 2, 1, 16).half().npu(), torch.zeros(1, 2, 64, 16).half().npu()
    with pytest.raises(RuntimeError, match="aclnnFusedInferAttentionScore.*not found"):
        with torch.npu.graph(torch.npu.NPUGraph(), auto_dispatch_capture=True):
            torch_npu.npu_fused_infer_attention_score(query, key, key, num_heads=2, input_layout="BNSD")


@on_device
def test_a_whole_decode_step_is_one_graph():
    """Bookkeeping, model and sampling; lengths stay on the device, and the host gives nothing between replays."""
    model, cache = DecodeStep().half().npu(), caches()
    block_table = torch.tensor([[0, 3, 6, 7], [5, 1, 2, 4]]).npu()
    tokens, positions, lengths, slots, sampled = (torch.zeros(2, dtype=torch.int64).npu() for _ in range(5))

    def step(length_list=None):
        npufa.npu_advance_step_flashattn(tokens, sampled, positions, lengths, slots, block_table, 2, 2, BLOCK)
        given = lengths if length_list is None else length_list
        hidden = model(tokens, positions, slots, *cache, block_table.to(torch.int32), given)
        sampled.copy_((hidden @ model.embedding.weight.t()).argmax(-1))
        return hidden

    def start():
        torch.manual_seed(1)
        cache[0].normal_(), cache[1].normal_()
        lengths.copy_(torch.tensor([3, 13]))
        sampled.copy_(torch.tensor([5, 9]))

    with torch.inference_mode():
        graph = torch.npu.NPUGraph()
        with torch.npu.graph(graph):
            hidden = step()
        start()
        expected = [step([4 + i, 14 + i]).clone() for i in range(5)]
        chosen = sampled.tolist()
        start()
        for eager in expected:
            graph.replay()
            assert torch.equal(hidden, eager)
    assert lengths.tolist() == [8, 18] and sampled.tolist() == chosen
    assert not torch.equal(expected[0], expected[1])
