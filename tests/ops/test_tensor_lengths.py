"""Overload `tensor_lengths` of the inference operators: the same function, with lengths as int64 or int32 tensors."""

import pytest
import torch
import torch._dynamo.testing

import npufa
from cases import random_case
from cases.lengths import with_tensor_lengths
from cases.model import operator
from cases.versions import needs_opcheck

KINDS = {"prompt": "npu_prompt_flash_attention", "incre": "npu_incre_flash_attention",
         "fused_infer": "npu_fused_infer_attention_score"}  # fmt: skip


def calls(kind, count=30):
    found = [c for s in range(3 * count) if (c := with_tensor_lengths(random_case(kind, s), torch.int32)) is not None]
    assert len(found) >= count
    return found[:count]


@pytest.mark.parametrize("kind", KINDS)
def test_random_calls(kind):
    for case in calls(kind):
        case.verify()


@pytest.mark.parametrize("kind", KINDS)
def test_wrappers_choose_the_overload(kind):
    case = calls(kind)[0]
    traced = torch.fx.experimental.proxy_tensor.make_fx(
        lambda: getattr(npufa, KINDS[kind])(**case.kwargs), tracing_mode="fake", _allow_non_fake_inputs=True)()
    assert any(node.target is operator(f"{KINDS[kind]}.tensor_lengths") for node in traced.graph.nodes)


@needs_opcheck
@pytest.mark.parametrize("kind", KINDS)
def test_opcheck(kind):
    case = calls(kind)[1]
    torch.library.opcheck(operator(case.op), (), case.kwargs)


def fused_infer(lengths, **changes):
    kwargs = dict(num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=lengths)
    query, key = torch.randn(3, 2, 1, 16), torch.randn(3, 2, 40, 16)
    return npufa.npu_fused_infer_attention_score(query, key, key, **{**kwargs, **changes})


@pytest.mark.parametrize("lengths,message", [
    (torch.tensor([1.0, 2.0, 3.0]), "actual_seq_lengths_kv has the wrong dtype, got float32; expected int64 or int32"),
    (torch.tensor([[1, 2, 3]]), "actual_seq_lengths_kv has the wrong number of dimensions, got 2; expected 1"),
    (torch.tensor([1, 2]), "actual_seq_lengths_kv has the wrong number of entries, got 2; expected 1 or at least"),
    (torch.tensor([1, 2, 41]), r"actual_seq_lengths_kv has a length out of range, got 41; expected 0..40"),
])  # fmt: skip
def test_illegal_lengths(lengths, message):
    with pytest.raises(RuntimeError, match=message):
        fused_infer(lengths)


@pytest.mark.parametrize("lengths", [
    torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1, 2, 3]]), torch.tensor([1, 2]), torch.empty(0, dtype=torch.int64),
])  # fmt: skip
def test_illegal_length_tensors_while_tracing(lengths):
    mode = torch._subclasses.FakeTensorMode()
    with mode, pytest.raises(RuntimeError, match="actual_seq_lengths_kv has the wrong"):
        fused_infer(mode.from_tensor(lengths))


def test_compiled_call_is_not_compiled_again_for_new_lengths():
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda q, k, n: npufa.npu_fused_infer_attention_score(
        q, k, k, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=n)[0], backend=counter, fullgraph=True)
    query, key = torch.randn(3, 2, 1, 16), torch.randn(3, 2, 40, 16)
    for lengths in ([1, 2, 3], [40, 0, 7], [11, 12, 13]):
        torch.testing.assert_close(compiled(query, key, torch.tensor(lengths)), npufa.npu_fused_infer_attention_score(
            query, key, key, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=lengths)[0])
    assert counter.frame_count == 1
