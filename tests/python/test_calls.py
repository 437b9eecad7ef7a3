"""npufa.lib.calls, the short way of a call, against torch.ops: the same results, errors and onlookers."""

import builtins
import importlib
import sys
import threading
import time
import weakref

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import npufa
from cases.versions import TORCH, before
from npufa.ops import _operator

if before(10):
    pytest.skip(f"{TORCH} has no npufa.lib.calls", allow_module_level=True)
calls = importlib.import_module("npufa.lib.calls")
NAMES = [name for name in npufa.__all__ if name.startswith("npu_")]
PROMPT = calls.bind("npufa::npu_prompt_flash_attention")


@pytest.fixture(scope="module")
def library():
    """Operators with Python kernels; `echo` has an argument of every type."""
    library = torch.library.Library("npufa_test_calls", "DEF")
    library.define("echo(Tensor a, int b, *, Tensor? c=None, float d=1.5, bool e=False, str f=\"x\", int[]? g=None, "
                   "SymInt[]? h=None, int? i=None, Tensor[]? j=None) -> Tensor")
    library.define("results(Tensor a) -> (Tensor, int, Tensor)")
    library.define("nothing(Tensor(a!) a) -> ()")
    library.define("fail(Tensor a, str name) -> Tensor")
    seen = []

    def echo(*args, **kwargs):
        seen.append((args, kwargs))
        return args[0].clone()

    def fail(a, name):
        raise getattr(builtins, name)("the reason")

    library.impl("echo", echo, "CPU")
    library.impl("results", lambda a: (a + 1, 1 << 40, a), "CPU")
    library.impl("nothing", lambda a: None, "CPU")
    library.impl("fail", fail, "CPU")
    yield seen
    library._destroy()


@pytest.fixture
def seen(library):
    """What the kernel of `echo` is called with."""
    library.clear()
    return library


def small(*, grad=False):
    return tuple(torch.randn(3, 1, 2, 4, 16).requires_grad_(grad).unbind())


@pytest.mark.parametrize("values", [
    ((7,), {}),
    ((), {"b": 7}),
    ((), {"".join(("b",)): 7, "-d-"[1:2]: 1.0}),  # not the strings that the compiler makes
    ((-1,), {"d": 2.5, "e": True, "f": "", "g": [1, 2], "h": (3,), "i": 4}),
    ((1 << 62,), {"d": 3, "g": [], "h": None, "c": None, "i": None, "f": "layout \u00fc\0"}),
    ((-(1 << 63),), {"c": torch.nn.Parameter(torch.ones(2)), "g": (5, 6)}),
])  # fmt: skip
def test_arguments_arrive_as_through_torch_ops(seen, values):
    args, kwargs = values
    tensor = torch.ones(2)
    for call in (calls.bind("npufa_test_calls::echo"), torch.ops.npufa_test_calls.echo.default):
        assert torch.equal(call(tensor, *args, **kwargs), tensor)
    (ours, ours_by_name), (theirs, theirs_by_name) = seen
    assert ours[0] is theirs[0] is tensor
    assert ours[1:] == theirs[1:] and ours_by_name == theirs_by_name
    assert [type(value) for value in ours_by_name.values()] == [type(value) for value in theirs_by_name.values()]


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize("values", [
    ((), {}),  # b is missing
    ((1, torch.ones(1)), {}),  # c by position
    ((1,), {"b": 1}),  # twice
    ((1,), {"unknown": 1}),
    ((None,), {}),
    ((True,), {}),
    ((1.0,), {}),
    ((1 << 63,), {}),
    ((torch.tensor(1),), {}),
    ((1,), {"c": 1}),
    ((1,), {"c": torch.ones(1).as_subclass(Subclass)}),
    ((1,), {"d": None}),
    ((1,), {"d": "1"}),
    ((1,), {"e": 1}),
    ((1,), {"f": 1}),
    ((1,), {"f": "\ud800"}),
    ((1,), {"g": [1.0]}),
    ((1,), {"g": torch.tensor([1])}),
    ((1,), {"h": range(3)}),
    ((1,), {"j": [torch.ones(1)]}),
])  # fmt: skip
def test_anything_unusual_is_declined(seen, values):
    args, kwargs = values
    assert calls.bind("npufa_test_calls::echo")(torch.ones(2), *args, **kwargs) is NotImplemented
    assert not seen


def test_without_any_argument():
    assert PROMPT() is NotImplemented


@pytest.mark.usefixtures("library")
def test_results():
    tensor = torch.ones(2)
    first, number, same = calls.bind("npufa_test_calls::results")(tensor)
    assert torch.equal(first, tensor + 1) and number == 1 << 40 and same is tensor
    assert calls.bind("npufa_test_calls::nothing")(tensor) is None


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("error", ["KeyError", "ValueError", "KeyboardInterrupt"])
def test_exceptions_of_python_kernels(error):
    with pytest.raises(getattr(builtins, error), match="the reason"):
        calls.bind("npufa_test_calls::fail")(torch.ones(1), error)


@pytest.mark.parametrize("change", [
    {"num_heads": 3},
    {"input_layout": "NBSD"},
    {"actual_seq_lengths": [5]},
    {"key": torch.ones(1)},
    {"query": torch.ones(1, 2, 4, 16).to_sparse()},  # no kernel
])  # fmt: skip
def test_illegal_calls(change):
    query, key, value = small()
    given = {"query": query, "key": key, "value": value, "num_heads": 2, "input_layout": "BNSD", **change}
    with pytest.raises(Exception) as ours:
        PROMPT(**given)
    with pytest.raises(Exception) as theirs:
        torch.ops.npufa.npu_prompt_flash_attention.default(**given)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)


def test_unknown_operator():
    with pytest.raises(RuntimeError, match="npufa::missing"):
        calls.bind("npufa::missing")


def has_a_short_way(name):
    """Lists of tensors, and results that are arguments, are left to torch.ops."""
    schema = _operator._overload(name)._schema
    return not any("List[Tensor]" in str(a.type) for a in schema.arguments) and not any(
        result.alias_info for result in schema.returns
    )


@pytest.mark.parametrize("name", filter(has_a_short_way, NAMES))
def test_every_operator_has_the_short_way(name):
    arguments = _operator._overload(name)._schema.arguments
    usual = {"Tensor": torch.ones(2), "int": 1, "str": "BSH"}
    required = {a.name: usual[str(a.type)] for a in arguments if not a.has_default_value()}
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}
    # An error of the operator, the functional forms' that of the one they copy: not declined.
    with pytest.raises(RuntimeError, match=f"npufa::{name.removesuffix('_functional')}(_functional)?: "):
        calls.bind(_operator._overload(name).name())(**required, **defaults)


def test_functions_take_the_short_way(monkeypatch):
    query, key, value = small()
    expected = npufa.npu_prompt_flash_attention(query, key, value, num_heads=2, input_layout="BNSD")

    def refuse(*args, **kwargs):
        raise AssertionError("torch.ops")

    function = _operator.direct(npufa.npu_prompt_flash_attention.__wrapped__)
    monkeypatch.setattr(torch._ops.OpOverload, "__call__", refuse)
    assert torch.equal(function(query, key, value, num_heads=2, input_layout="BNSD"), expected)
    with pytest.raises(AssertionError, match=r"torch\.ops"):
        function(query, key, value, num_heads=True, input_layout="BNSD")


def test_without_the_module(monkeypatch):
    query, key, value = small()
    expected = npufa.npu_prompt_flash_attention(query, key, value, num_heads=2, input_layout="BNSD")
    monkeypatch.setitem(sys.modules, "npufa.lib.calls", None)
    function = _operator.direct(npufa.npu_prompt_flash_attention.__wrapped__)
    assert torch.equal(function(query, key, value, num_heads=2, input_layout="BNSD"), expected)


class Dispatched(TorchDispatchMode):
    def __init__(self):
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(function)
        return function(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    def __init__(self):
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen.append(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", [Dispatched, Called])
def test_modes_see_the_operator(mode):
    query, key, value = small()
    with mode() as onlooker:
        npufa.npu_prompt_flash_attention(query, key, value, num_heads=2, input_layout="BNSD")
    assert onlooker.seen == [torch.ops.npufa.npu_prompt_flash_attention.default]


def test_subclasses_see_the_operator():
    seen = []

    class Logged(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            seen.append(function)
            return super().__torch_function__(function, types, args, kwargs or {})

    query, key, value = small()
    found = npufa.npu_prompt_flash_attention(query, key.as_subclass(Logged), value, num_heads=2, input_layout="BNSD")
    assert type(found) is Logged
    assert torch.ops.npufa.npu_prompt_flash_attention.default in seen


def test_trace_records_the_operator():
    def step(query, key, value):
        return npufa.npu_prompt_flash_attention(query, key, value, num_heads=2, input_layout="BNSD")

    assert "npufa::npu_prompt_flash_attention" in str(torch.jit.trace(step, small()).graph)


def test_gradients():
    query, key, value = small(grad=True)
    for parameter in (query, torch.nn.Parameter(query.detach())):
        output = npufa.npu_fusion_attention(parameter, key, value, 2, "BNSD", scale=0.25)[0]
        expected = torch.nn.functional.scaled_dot_product_attention(parameter, key, value, scale=0.25)
        [ours] = torch.autograd.grad(output.sum(), parameter)
        [theirs] = torch.autograd.grad(expected.sum(), parameter)
        torch.testing.assert_close(ours, theirs)


def test_other_threads_run_meanwhile():
    query, key, value = torch.randn(3, 1, 8, 2048, 64).unbind()
    span = []

    def run():
        span.append(time.perf_counter())
        assert PROMPT(query, key, value, num_heads=8, input_layout="BNSD") is not NotImplemented
        span.append(time.perf_counter())

    thread = threading.Thread(target=run)
    thread.start()
    ticks = []
    while thread.is_alive():
        ticks.append(time.perf_counter())
    start, end = span
    assert [tick for tick in ticks if 0.2 < (tick - start) / (end - start) < 0.8]


def test_nothing_is_kept(seen):
    """Neither by calls, nor by those that raise or are declined."""
    call = calls.bind("npufa_test_calls::echo")
    name, lengths = "".join(("a ", "name")), [1, 2]
    tensor = torch.ones(2)
    before = [sys.getrefcount(held) for held in (tensor, name, lengths, NotImplemented)]
    for _ in range(10):
        call(tensor, 1, c=tensor, f=name, g=lengths)
        assert call(tensor, 1, f=name, g=lengths, h=1.5) is NotImplemented
        with pytest.raises(RuntimeError):
            PROMPT(tensor, tensor, tensor)
        seen.clear()
    assert [sys.getrefcount(held) for held in (tensor, name, lengths, NotImplemented)] == before
    dead = weakref.ref(tensor)
    del tensor
    assert dead() is None
