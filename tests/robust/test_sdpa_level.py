"""The level of torch's scaled_dot_product_attention against the float64 reference: every layout, mode and length."""

import pytest
import torch

from cases import fusion, inference
from cases.draw import Draw
from cases.nz import nz_case
from cases.variants import with_sink
from npufa.robust import _sdpa
from npufa.robust._call import Call

OPERATORS = {
    "fusion": fusion.fusion_case, "fusion_grad": fusion.fusion_grad_case, "prompt": inference.prompt_case,
    "incre": inference.incre_case, "fused_infer": inference.fused_infer_case,
}


def verify(case):
    """True when the level took the call, whose results were right."""
    call = Call.bind(case.op, (), case.kwargs)
    try:
        results = _sdpa.run(call, call.on_meta())
    except _sdpa.UnsupportedError:
        return False
    try:
        case.compare(results[0] if len(results) == 1 else results, case.expected())
    except AssertionError as error:
        raise AssertionError(f"{error}\n{case}") from None
    return True


@pytest.mark.parametrize("name", OPERATORS)
def test_random_calls(name):
    done = sum(verify(OPERATORS[name](Draw(seed))) for seed in range(20))
    assert done > 5


@pytest.mark.slow(group="draws")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", OPERATORS)
def test_more_random_calls(name):
    done = sum(verify(OPERATORS[name](Draw(seed, long=seed % 4 == 0))) for seed in range(1000, 2000))
    assert done > 300


MODES = [(layout, mode) for layout in fusion.LAYOUTS for mode in range(9)
         if (mode != 5 if layout == "TND" else mode < 7)]
KINDS = [(layout, kind) for layout in inference.FUSED_LAYOUTS
         for kind in ("plain", "paged", "padding", "prefix", "rope")
         if "T" not in layout or kind not in ("padding", "prefix")]


@pytest.mark.parametrize(("layout", "mode"), MODES)
def test_every_training_mode_in_every_layout(layout, mode):
    options = {"layout": layout, "sparse_mode": mode, "dropout": False}
    assert verify(fusion.fusion_case(Draw(mode), **options))
    assert verify(fusion.fusion_grad_case(Draw(mode + 10), **options))


@pytest.mark.parametrize(("layout", "kind"), KINDS)
def test_every_inference_layout(layout, kind):
    for seed in range(2):
        assert verify(inference.fused_infer_case(Draw(seed), layout=layout, kind=kind, cache="float", out_int8=False))


@pytest.mark.parametrize("layout", inference.FUSED_LAYOUTS)
def test_nz_caches(layout):
    assert verify(nz_case(3, layout=layout, cache="float", out_int8=False))


@pytest.mark.parametrize("layout", ["BSH", "BNSD", "TND"])
def test_the_second_version_with_sinks(layout):
    case = inference.fused_infer_case(Draw(5), layout=layout, kind="plain", cache="float", lse=True, out_int8=False)
    heads, dtype = case.kwargs["num_heads"], case.kwargs["query"].dtype
    assert verify(with_sink(case, Draw(8).normal((heads,), dtype)))


@pytest.mark.parametrize("padding", [0, 3, 4, 20, -2])
def test_left_padding_up_to_beyond_the_first_key(padding):
    query, key = torch.randn(2, 1, 4, 8), torch.randn(2, 1, 8, 8)
    kw = {"query": query, "key": key, "value": key, "num_heads": 1, "input_layout": "BNSD", "softmax_lse_flag": True,
          "actual_seq_lengths_kv": [5, 2], "kv_padding_size": torch.tensor([padding]), "scale": 0.3}
    assert verify(inference.inference_case("fused_infer", kw))


def test_long_alibi_bias():
    query, key = torch.randn(1, 1, 1100, 8), torch.randn(1, 1, 1100, 8)
    full = -0.1 * (torch.arange(1100)[:, None] - torch.arange(1100)).abs().float()
    kw = {"query": query, "key": key, "value": key, "head_num": 1, "input_layout": "BNSD", "sparse_mode": 3,
          "pse": full[None, None, -1024:].contiguous(), "scale": 0.3}
    assert verify(fusion.forward_case(kw))


@pytest.mark.parametrize(("case", "argument"), [
    (lambda: fusion.fusion_case(Draw(0), dropout=True, version=1), "keep_prob"),
    (lambda: inference.fused_infer_case(Draw(0), layout="BNSD", kind="int8"), "query"),
    (lambda: inference.fused_infer_case(Draw(0), layout="BNSD", kind="plain", cache="int8"), "key"),
    (lambda: inference.prompt_case(Draw(0), int8=False, out_int8=True), "quant_scale2"),
])
def test_what_it_refuses_is_named(case, argument):
    case = case()
    call = Call.bind(case.op, (), case.kwargs)
    with pytest.raises(_sdpa.UnsupportedError, match=f"npufa.robust: {argument} is not for"):
        _sdpa.run(call, call.on_meta())
