"""Graphs of several operators: sizes and lengths as symbols, training steps, dropout, tensors changed in place."""

import math

import pytest
import torch

from cases import random_case
from cases.device import on_device
from cases.model import operator
from cases.on_npu import to_npu
from graph.ge import attributes, captured, compiled, needs_torchair, value_of

pytestmark = needs_torchair

FUSED = "NpufaFusedInferAttentionScore"
FORWARD = "NpufaFlashAttention"
BACKWARD = "NpufaFlashAttentionGrad"
DROPOUT = "NpufaDropoutMask"
IN_PLACE = ["input_tokens", "input_positions", "seq_lens", "slot_mapping"]


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32).half().npu()


def same(got, want):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def leaves(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


@on_device
def test_symbolic_sizes():
    """One graph for several batch sizes and lengths; a length that is a size of a tensor is read from it."""
    import npufa

    def model(query, key, value):
        return npufa.npu_fused_infer_attention_score(
            query, key, value, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=[key.shape[2] - 3],
            softmax_lse_flag=True)

    with captured() as graphs, torch.no_grad():
        run = compiled(model, dynamic=True)
        for batch, tokens, cache in ((3, 4, 40), (5, 6, 70)):
            arguments = [normal(batch, 2, n, 32) for n in (tokens, cache, cache)]
            same(run(*arguments), model(*arguments))
    (graph,) = graphs
    assert [list(data.output_desc[0].shape.dim) for data in graph.data()] == [[-1, 2, -1, -1]] * 3
    sources = graph.inputs(graph.node(FUSED))
    lengths = sources["actual_seq_lengths_kv"]
    assert lengths.type == "Pack"
    assert lengths.attr["_force_unknown_shape"].b
    difference = graph.source(lengths.input[0])[0]
    gather = graph.source(difference.input[0])[0]
    shape, axis = (graph.source(edge)[0] for edge in gather.input)
    assert (difference.type, gather.type, shape.type) == ("Sub", "Gather", "Shape")
    assert int(value_of(axis)) == 2
    assert graph.source(shape.input[0])[0] is sources["key"]
    assert int(value_of(graph.source(difference.input[1])[0])) == 3


LENGTHS = {  # argument with the lengths of the keys, and the node's input for tensors
    "npu_prompt_flash_attention": ("actual_seq_lengths_kv", "actual_seq_lengths_kv_tensor"),
    "npu_incre_flash_attention": ("actual_seq_lengths", "actual_seq_lengths_tensor"),
    "npu_fused_infer_attention_score": ("actual_seq_lengths_kv", "actual_seq_lengths_kv_tensor"),
    "npu_fused_infer_attention_score_v2": ("actual_seq_kvlen", "actual_seq_lengths_kv_tensor"),
}


@pytest.mark.parametrize("name", LENGTHS)
@on_device
def test_lengths_as_device_tensors(name):
    """Of the overload tensor_lengths: int32 is cast, the lists' inputs stay empty."""
    import npufa

    argument, place = LENGTHS[name]
    heads = "num_query_heads" if name.endswith("v2") else "num_heads"

    def model(query, key, value, lengths):
        result = getattr(npufa, name)(query, key, value, **{heads: 2, "input_layout": "BNSD", argument: lengths})
        return result if isinstance(result, torch.Tensor) else result[0]

    arguments = [normal(2, 2, n, 32) for n in (1, 40, 40)]
    lengths = torch.tensor([7, 33], dtype=torch.int32).npu()
    with captured() as graphs, torch.no_grad():
        got = compiled(model)(*arguments, lengths)
    (graph,) = graphs
    (node,) = (op for op in graph.proto.op if op.type.startswith("Npufa"))
    edges = {desc.name: edge for desc, edge in zip(node.input_desc, node.input, strict=True)}
    assert [input for input, edge in edges.items() if edge] == ["query", "key", "value", place]
    cast, _ = graph.producer(edges[place])
    assert (cast.type, cast.attr["dst_type"].i) == ("Cast", 9)
    same([got], [model(*arguments, lengths)])


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["npu_fusion_attention", "npu_fusion_attention_v3"])
@on_device
def test_training_step(name, dynamic):
    """Forward and backward graph; the statistics of one are inputs of the other."""

    def model(query, key, value):
        return operator(name)(query, key, value, 2, "BSND", scale=0.25, sparse_mode=3)[0]

    def step(function, *tensors):
        out = function(*tensors)
        (out * out).sum().backward()
        return [out, *(tensor.grad for tensor in tensors)]

    with captured() as graphs:
        run = compiled(model, dynamic=dynamic)
        for tokens in (9, 20) if dynamic else (9,):
            tensors = [normal(2, tokens, 2, 32) for _ in range(3)]
            same(step(run, *leaves(*tensors)), step(model, *leaves(*tensors)))
    forward, backward = graphs
    node = backward.node(BACKWARD)
    sources = backward.inputs(node)
    connected = {name: source.name for name, source in sources.items() if source is not None}
    assert set(connected) == {"query", "key", "value", "dy", "softmax_max", "softmax_sum", "attention_in"}
    assert len(set(connected.values())) == 7
    assert sources["softmax_max"].output_desc[0].dtype == forward.node(FORWARD).output_desc[0].dtype
    assert attributes(node) == attributes(forward.node(FORWARD)) | {"any_lengths": False}
    # In the order of the graph's inputs, which is the compiler's own.
    assert sorted(name for _, name in backward.results()) == ["dk", "dq", "dv"]


def check_mask(graph, attention, keep_prob):
    """The mask's node, which feeds the attention's; returns its inputs."""
    node = graph.node(DROPOUT)
    assert graph.inputs(attention)["dropout_mask"] is node
    assert attributes(node) == {"threshold": math.ceil(keep_prob * 2**32)}
    return graph.inputs(node)


DENSE, PACKED = 2 * 9 * 9, 2 * (3 * 5 + 6 * 4)


@pytest.mark.parametrize("layout, lists, elements", [
    ("BNSD", {}, DENSE),
    ("TND", {"actual_seq_qlen": [3, 9], "actual_seq_kvlen": [5, 9]}, PACKED),
    ("TND", {"actual_seq_qlen": [3, 9, 0], "actual_seq_kvlen": [5, 9, 0]}, PACKED),
    ("TND", {"actual_seq_qlen": [3, 6], "actual_seq_kvlen": [5, 4]}, PACKED)])  # fmt: skip
@on_device
def test_dropout_with_a_seed(layout, lists, elements):
    """Both directions draw the same mask; of a packed batch it has the scores of its sequences only."""
    import npufa

    shape = (9, 2, 32) if layout == "TND" else (1, 2, 9, 32)

    def model(query, key, value):
        return npufa.npu_fusion_attention(query, key, value, 2, layout, keep_prob=0.7, seed=5, offset=3, **lists)[0]

    tensors = [normal(*shape) for _ in range(3)]
    results = []
    with captured() as graphs:
        for function in (compiled(model), model):
            inputs = leaves(*tensors)
            out = function(*inputs)
            out.sum().backward()
            results.append([out, *(tensor.grad for tensor in inputs)])
    same(*results)
    for graph, op_type in zip(graphs, (FORWARD, BACKWARD), strict=True):
        inputs = check_mask(graph, graph.node(op_type), 0.7)
        assert value_of(inputs["elements_seed_offset"]).tolist() == [elements, 5, 3]
        assert inputs["seed"] is None is inputs["offset"]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["npu_fusion_attention", "npu_fusion_attention_v2", "npu_fusion_attention_v3"])
@on_device
def test_dropout_without_a_seed(name, dynamic):
    """Seed and offset come from torch's generator at every run, and go to the backward graph as tensors."""

    def model(query, key, value):
        return operator(name)(query, key, value, 2, "BNSD", keep_prob=0.5)[0]

    tensors = leaves(*(normal(1, 2, 9, 32) for _ in range(3)))
    results = []
    with captured() as graphs:
        for function in (compiled(model, dynamic=dynamic), model):
            torch.npu.manual_seed(8)
            results.append([function(*tensors), function(*tensors)])
            results[-1][0].sum().backward()
    assert not torch.equal(*results[0])
    same(*results)
    forward, backward = graphs
    drawn = check_mask(forward, forward.node(FORWARD), 0.5)
    assert int(value_of(drawn["seed"])) == torch.npu.default_generators[0].initial_seed()
    blocks = drawn["offset"]
    words = forward.source(blocks.input[0])[0]
    assert (blocks.type, words.type, forward.source(words.input[0])[0].name) == ("FloorDiv", "Unpack", "offset_list")
    used = check_mask(backward, backward.node(BACKWARD), 0.5)
    assert [used[name].type for name in ("seed", "offset")] == ["Data", "Data"]
    for numbers in (drawn["elements_seed_offset"], used["elements_seed_offset"]):
        if dynamic:
            assert numbers.type == "Pack"
        else:
            assert value_of(numbers).tolist() == [162, 0, 0]


@on_device
def test_a_seed_is_not_drawn_beside_an_offset():
    import npufa

    def model(query):
        return npufa.npu_fusion_attention(query, query, query, 2, "BNSD", keep_prob=0.5, offset=3)[0]

    with torch.no_grad(), pytest.raises(Exception, match="npu_fusion_attention: seed cannot be drawn in a GE graph"):
        compiled(model)(normal(1, 2, 9, 32))


@on_device
def test_dropout_of_packed_lengths_on_the_device():
    """The number of scores is not known when the graph is built."""
    import npufa

    def model(query, lengths):
        return npufa.npu_fusion_attention_v3(query, query, query, 2, "TND", keep_prob=0.5, actual_seq_qlen=lengths,
                                             actual_seq_kvlen=lengths)[0]

    message = r"npu_fusion_attention_v3: keep_prob below 1 .* GE graph .* got 0\.5; expected lengths as lists"
    with torch.no_grad(), pytest.raises(Exception, match=message):
        compiled(model)(normal(9, 2, 32), torch.tensor([3, 9]).npu())


@on_device
def test_a_given_mask_is_not_drawn():
    import npufa

    def model(query, key, value, mask):
        return npufa.npu_fusion_attention(query, key, value, 2, "BNSD", keep_prob=0.5, dropout_mask=mask)[0]

    tensors = [normal(1, 2, 8, 32) for _ in range(3)]
    mask = torch.arange(16, dtype=torch.uint8).npu()
    with captured() as graphs:
        inputs = leaves(*tensors)
        compiled(model)(*inputs, mask).sum().backward()
    for graph, op_type in zip(graphs, (FORWARD, BACKWARD), strict=True):
        assert not graph.nodes(DROPOUT)
        assert graph.inputs(graph.node(op_type))["dropout_mask"].type == "Data"


@pytest.mark.parametrize("speculative", [False, True])
@on_device
def test_advance_step(speculative):
    """In place: four outputs of the node are written back into the arguments."""
    import npufa

    case = random_case("advance_step", 3, speculative=speculative)
    eager, graphed = ({name: to_npu(value.clone()) if isinstance(value, torch.Tensor) else value
                       for name, value in case.kwargs.items()} for _ in range(2))
    numbers = {name: value for name, value in case.kwargs.items() if isinstance(value, int)}
    names = tuple(name for name in case.kwargs if name not in numbers)

    def model(*tensors):
        npufa.npu_advance_step_flashattn(**dict(zip(names, tensors, strict=True)), **numbers)
        return tensors[names.index("seq_lens")] + 1

    with captured() as graphs, torch.no_grad():
        got = compiled(model)(*(graphed[name] for name in names))
    want = model(*(eager[name] for name in names))
    (graph,) = graphs
    node = graph.node("NpufaAdvanceStepFlashattn")
    assert attributes(node) == numbers
    sources = graph.inputs(node)
    data = {name: op.name for name, op in zip(names, graph.data(), strict=True)}
    assert {name: source.name for name, source in sources.items() if source is not None} == data
    assert [output for op_type, output in graph.results() if op_type == node.type] == IN_PLACE
    same([got, *(graphed[name] for name in names)], [want, *(eager[name] for name in names)])
