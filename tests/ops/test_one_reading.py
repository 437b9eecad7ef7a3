"""Every call has one reading: the table of tests/cases/readings.py on the CPU, on meta tensors and compiled."""

import re
import warnings

import pytest
import torch

from cases.draw import Draw
from cases.fusion import forward_case
from cases.inference import inference_case
from cases.model import operator
from cases.readings import FUSION, READINGS, on, rows_of

LEGAL = [r for r in READINGS if r.rows is not None]
REFUSED = [r for r in READINGS if r.rows is None]


def check_error(reading, call):
    with pytest.raises(RuntimeError) as caught:
        call()
    message = str(caught.value)
    assert f"npufa::{reading.op}: " in message
    for part in reading.error:
        assert re.search(part, message), f"{part} not in: {message}"


@pytest.mark.parametrize("reading", LEGAL, ids=str)
def test_values(reading):
    torch.testing.assert_close(rows_of(operator(reading.op)(**reading.kwargs), reading),
                               torch.tensor(reading.rows).float())


@pytest.mark.parametrize("reading", LEGAL, ids=str)
def test_shapes_on_meta_tensors(reading):
    real, meta = operator(reading.op)(**reading.kwargs), operator(reading.op)(**on(reading, "meta"))
    for one, other in zip(*((r,) if isinstance(r, torch.Tensor) else r for r in (real, meta)), strict=True):
        assert not isinstance(one, torch.Tensor) or one.shape == other.shape


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("reading", REFUSED, ids=str)
def test_refusals(reading, device):
    check_error(reading, lambda: operator(reading.op)(**on(reading, device)))


COMPILED = ("lists of ones", "a trailing zero is no plain length", "plain lists in training", "one row's window, BNSD",
            "mode 1 without a mask, npu_fusion_attention", "NTD")


@pytest.mark.parametrize("reading", [r for r in READINGS if r.name in COMPILED], ids=str)
def test_compiled(reading):
    compiled = torch.compile(operator(reading.op), backend="aot_eager", fullgraph=True)
    if reading.rows is None:
        with pytest.raises(Exception, match=reading.error[1]):
            compiled(**reading.kwargs)
    else:
        torch.testing.assert_close(rows_of(compiled(**reading.kwargs), reading), torch.tensor(reading.rows).float())


def test_plain_lists_warn_once_and_have_the_gradients_of_cumulative_ones():
    leaves = [torch.randn(10, 2, 16, requires_grad=True) for _ in range(3)]
    call = operator(FUSION)

    def gradients(*lengths):
        return torch.autograd.grad(call(*leaves, 2, "TND", actual_seq_qlen=lengths[0],
                                        actual_seq_kvlen=lengths[1])[0].sum(),
                                   leaves)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = gradients([3, 2, 5], [2, 7, 1])
    for one, other in zip(plain, gradients([3, 5, 10], [2, 9, 10]), strict=True):
        assert torch.equal(one, other)


# -- what shapes cannot tell -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", ["BSND", "BNSD"])
def test_the_layout_tells_heads_from_tokens(layout):
    d = Draw(1)
    query, key, value = (d.normal((1, 4, 4, 16)) for _ in range(3))
    forward_case(dict(query=query, key=key, value=value, head_num=4, input_layout=layout, sparse_mode=2)).verify()


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_number_of_heads_divides_the_last_axis(heads):
    d = Draw(2)
    query, key, value = d.normal((2, 3, 32)), d.normal((2, 5, 32)), d.normal((2, 5, 32))
    forward_case(dict(query=query, key=key, value=value, head_num=heads, input_layout="BSH")).verify()


@pytest.mark.parametrize("layout", ["BSND", "BNSD", "TND"])
def test_a_paged_cache_with_as_many_heads_as_tokens_of_a_block(layout):
    """Tokens first, but for BNSD: the reference knows the rule, too."""
    d = Draw(3)
    shape = {"TND": (2, 4, 16), "BSND": (2, 1, 4, 16), "BNSD": (2, 4, 1, 16)}[layout]
    call = dict(query=d.normal(shape), key=d.normal((5, 4, 4, 16)), value=d.normal((5, 4, 4, 16)), num_heads=4,
                input_layout=layout, block_size=4, actual_seq_lengths_kv=[7, 5],
                block_table=torch.tensor([[3, 1], [0, 4]], dtype=torch.int32))
    if layout == "TND":
        call["actual_seq_lengths"] = [1, 2]
    inference_case("fused_infer", call).verify()


@pytest.mark.parametrize("tokens", [1023, 1024, 1025])
def test_a_bias_of_1024_rows_is_full_up_to_as_many_queries(tokens):
    d = Draw(4)
    query, key, value = (d.normal((1, 1, tokens, 8)) for _ in range(3))
    first = max(tokens - 1024, 0)
    bias = -0.01 * (torch.arange(1025.0)[None] - torch.arange(first, first + 1024)[:, None]).abs()
    forward_case(dict(query=query, key=key, value=value, head_num=1, input_layout="BNSD", sparse_mode=2,
                      pse=bias[None, None])).verify()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_float32_scales_beside_a_16_bit_query_are_per_token(dtype):
    d = Draw(5)
    cache = [d.integers((2, 2, 16, 16), -99, 99) for _ in range(2)]  # Nkv = B and D = Skv
    call = dict(query=d.normal((2, 2, 1, 16), dtype), key=cache[0], value=cache[1], num_heads=2, input_layout="BNSD")
    scale = d.uniform((2, 2, 16), 0.01, 0.02)
    by_token = operator("npu_incre_flash_attention")(**call, antiquant_scale=scale)
    fused = {**call, "antiquant_scale": scale, "antiquant_mode": 1}
    assert torch.equal(by_token, operator("npu_fused_infer_attention_score")(**fused)[0])
    by_channel = operator("npu_incre_flash_attention")(**call, antiquant_scale=scale.to(dtype))
    assert not torch.allclose(by_channel, by_token, atol=0.05)
