"""The functions of npufa against the schemas they call."""

import inspect

import pytest
import torch

import npufa
from npufa.ops import _operator

NAMES = [name for name in npufa.__all__ if name.lstrip("_").startswith("npu_")]
TYPES = {
    "Tensor": "Tensor",
    "Optional[Tensor]": "Tensor | None",
    "Optional[List[int]]": "Sequence[int] | None",
    "List[int]": "Sequence[int]",
    "Optional[int]": "int | None",
    "Optional[str]": "str | None",
    "List[Tensor]": "Sequence[Tensor]",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
}


def schema_of(name):
    return _operator._overload(name)._schema


def types_of(name):
    """Annotations of all arguments; those whose type the overload `tensor_lengths` changes take both."""
    packet = getattr(torch.ops.npufa, name)
    other = getattr(packet, "tensor_lengths", _operator._overload(name))._schema.arguments
    for a, b in zip(schema_of(name).arguments, other, strict=True):
        yield TYPES[str(a.type)] if str(a.type) == str(b.type) else "Sequence[int] | Tensor | None"


def parameters_of(name):
    parameters = list(inspect.signature(getattr(npufa, name)).parameters.values())
    if name == "npu_fused_infer_attention_score":
        assert parameters.pop().name == "scale_value"
    return parameters


def test_every_operator_has_a_function():
    registered = {name.partition("::")[2].partition(".")[0] for name in torch._C._dispatch_get_all_op_names()
                  if name.startswith("npufa::npu_")}
    assert registered == {name for name in NAMES if name.startswith("npu_")}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_the_schema(name):
    def default(argument):
        return argument.default_value if argument.has_default_value() else inspect.Parameter.empty

    arguments = zip(schema_of(name).arguments, types_of(name), strict=True)
    expected = [(a.name, a.kwarg_only, default(a), annotation) for a, annotation in arguments]
    found = [(p.name, p.kind is p.KEYWORD_ONLY, p.default, p.annotation) for p in parameters_of(name)]
    assert found == expected


@pytest.mark.parametrize("name", NAMES)
def test_returns_are_those_of_the_schema(name):
    types = [TYPES[str(r.type)] for r in schema_of(name).returns]
    annotation = inspect.signature(getattr(npufa, name)).return_annotation
    assert annotation == {0: "None", 1: types[0] if types else ""}.get(len(types), f"tuple[{', '.join(types)}]")


@pytest.mark.parametrize("name", NAMES)
def test_documentation(name):
    text = inspect.getdoc(getattr(npufa, name))
    assert "Raises:" in text and "Source: SPEC section" in text


@pytest.fixture
def decode():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 1, 64), torch.randn(2, 2, 100, 64), torch.randn(2, 2, 100, 64)
    return (query, key, value), dict(num_heads=4, num_key_value_heads=2, input_layout="BNSD")


def test_scale_value_is_scale(decode):
    tensors, attributes = decode
    expected, _ = npufa.npu_fused_infer_attention_score(*tensors, scale=0.125, **attributes)
    unscaled, _ = npufa.npu_fused_infer_attention_score(*tensors, **attributes)
    for spelling in ({"scale_value": 0.125}, {"scale": 0.125, "scale_value": None}):
        found, _ = npufa.npu_fused_infer_attention_score(*tensors, **spelling, **attributes)
        assert torch.equal(found, expected)
    assert not torch.equal(unscaled, expected)


def test_scale_and_scale_value_exclude_each_other(decode):
    tensors, attributes = decode
    with pytest.raises(ValueError, match="^npufa::npu_fused_infer_attention_score: scale_value is another spelling of "
                                         "scale, got scale_value=0.5 and scale=1.0; expected one of them$"):
        npufa.npu_fused_infer_attention_score(*tensors, scale=1.0, scale_value=0.5, **attributes)


def test_functions_are_captured_in_one_graph(decode):
    tensors, attributes = decode

    def step(query, key, value):
        output, _ = npufa.npu_fused_infer_attention_score(query, key, value, scale_value=0.125, **attributes)
        return output * 2

    compiled = torch.compile(step, backend="eager", fullgraph=True)
    assert torch.equal(compiled(*tensors), step(*tensors))
