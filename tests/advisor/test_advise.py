"""Every rule of the advisor: a call that triggers it and one that does not."""

import pytest
import torch

import npufa
from cases.device import on_device
from npufa.advisor import advise
from npufa.advisor._masks import recognise

TRAIN = {"operator": "npu_fusion_attention", "head_num": 4, "input_layout": "BNSD", "scale": 0.25}
INFER = {"num_heads": 4, "input_layout": "BNSD", "scale": 0.25}


def tensors(batch=2, heads=4, kv_heads=None, rows=8, keys=8, dim=16, dtype=torch.float16):
    shapes = [(batch, heads, rows, dim), *[(batch, kv_heads or heads, keys, dim)] * 2]
    return [torch.randn(s).to(dtype) for s in shapes]


def codes(inputs, **call):
    return {f.code: f for f in advise(*inputs, **call)}


def test_a_good_call_has_no_findings():
    assert advise(*tensors(), **INFER, sparse_mode=3) == []
    query, key, value = tensors()
    assert advise(query.requires_grad_(), key, value, **TRAIN, keep_prob=0.9) == []


def causal(rows, keys):
    return torch.ones(rows, keys, dtype=torch.bool).triu(1 + keys - rows)


def paged(size):
    pool = torch.randn(4, 4, size, 16, dtype=torch.float16)
    return [torch.randn(2, 4, 1, 16, dtype=torch.float16), pool, pool.clone()], {
        **INFER, "block_table": torch.tensor([[0, 1], [2, 3]], dtype=torch.int32), "block_size": size,
        "actual_seq_lengths_kv": [5, 6]}


def bsh():
    return [t.transpose(1, 2).flatten(2) for t in tensors()], {**INFER, "input_layout": "BSH"}


def repeated():
    query, key, value = tensors()
    return [query, *(t[:, ::2].repeat_interleave(2, 1) for t in (key, value))], INFER


def strided():
    query, key, value = tensors()
    return [query, key.mT.contiguous().mT, value], INFER


def with_mask(mask, **more):
    return lambda: (tensors(), {**INFER, "atten_mask": mask, **more})


def with_bias(bias):
    return lambda: (tensors(), {**INFER, "pse_shift": bias})


NO_MASK = torch.zeros(1, 4, 8, 8, dtype=torch.float16)
CASES = [
    ("layout", "info", bsh, lambda: (tensors(), INFER)),
    ("head_dim", "info", lambda: (tensors(dim=20), INFER), lambda: (tensors(dim=48), INFER)),
    ("dense_mask", "warning", with_mask(causal(8, 8)), with_mask(torch.rand(8, 8) < 0.5)),
    ("dense_mask", "warning", with_mask(causal(8, 8)), with_mask(causal(8, 8), pre_tokens=2)),
    ("dense_mask", "warning", with_mask((torch.arange(8) > 5)[None, None, None]),
     with_mask(torch.eye(8)[None, 3:4] > 0)),
    ("inverted_mask", "warning", with_mask(~causal(8, 8)), with_mask(causal(8, 8))),
    ("compressed_mask", "info", with_mask(torch.ones(2048, 2048).bool(), sparse_mode=3), with_mask(causal(8, 8))),
    ("additive_mask", "warning", with_bias(NO_MASK.masked_fill(causal(8, 8), -torch.inf)), with_bias(NO_MASK + 1)),
    ("block_size", "warning", lambda: paged(24), lambda: paged(16)),
    ("float32", "info", lambda: (tensors(dtype=torch.float32), INFER), lambda: (tensors(), INFER)),
    ("scale", "warning", lambda: (tensors(), {**INFER, "scale": 1.0}), lambda: (tensors(), INFER)),
    ("repeated_heads", "warning", repeated, lambda: (tensors(), INFER)),
    ("dropout", "warning", lambda: (tensors(), {**TRAIN, "keep_prob": 0.9}), lambda: (tensors(), TRAIN)),
    ("operator", "info", lambda: (tensors(), TRAIN), lambda: (tensors(), INFER)),
    ("strides", "warning", strided, lambda: (tensors(), INFER)),
    ("sync", "info", lambda: (tensors(), {**TRAIN, "sync": True}), lambda: (tensors(), TRAIN)),
    ("quantise", "info", lambda: (tensors(1, 8, None, 1, 2 ** 17), {**INFER, "num_heads": 8}),
     lambda: (tensors(1, 8, None, 1, 64), {**INFER, "num_heads": 8})),
    ("padding", "info", lambda: (tensors(), {**INFER, "actual_seq_lengths": [8, 2]}),
     lambda: (tensors(), {**INFER, "actual_seq_lengths": [8, 7]})),
    ("captured_lengths", "warning", lambda: (tensors(), {**INFER, "graph": True, "actual_seq_lengths_kv": [5, 8]}),
     lambda: (tensors(), {**INFER, "graph": True, "actual_seq_lengths_kv": torch.tensor([5, 8])})),
    ("captured_lengths", "warning", lambda: (tensors(), {**INFER, "graph": True, "actual_seq_lengths_kv": [5, 8]}),
     lambda: (tensors(), {**INFER, "actual_seq_lengths_kv": [5, 8]})),
    ("illegal", "error", lambda: (tensors(), {**INFER, "input_layout": "BSND"}), lambda: (tensors(), INFER)),
    ("float_mask", "error", with_mask(torch.zeros(8, 8)), with_mask(causal(8, 8))),
    ("arguments", "error", lambda: (tensors(), {**INFER, "sparsity": 3}), lambda: (tensors(), INFER)),
]


@pytest.mark.parametrize(("code", "severity", "bad", "good"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_rule(code, severity, bad, good):
    inputs, call = bad()
    finding = codes(inputs, **call)[code]
    assert finding.severity == severity and finding.reason and finding.fix
    inputs, call = good()
    assert code not in codes(inputs, **call)


def test_an_illegal_call_has_the_operators_own_message():
    query, key, value = tensors()
    with pytest.raises((RuntimeError, ValueError)) as error:
        npufa.npu_fused_infer_attention_score(query, key, value[:, :3], **INFER)
    finding = advise(query, key, value[:, :3], **INFER)[0]
    assert f"{finding.reason}; expected {finding.fix.removeprefix('pass ')}" == str(error.value).splitlines()[0]


def test_sorted_by_severity_and_named_by_operator_or_function():
    findings = advise(*tensors(dim=20, dtype=torch.float32), operator=npufa.npu_prompt_flash_attention, num_heads=4,
                      input_layout="BNSD", atten_mask=causal(8, 8))
    severities = [f.severity for f in findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert {"scale", "head_dim", "float32"} <= {f.code for f in findings}
    with pytest.raises(ValueError, match="operator is unknown"):
        advise(*tensors(), operator="softmax")


@pytest.mark.parametrize("rows", [1, 5, 8, 130])
@pytest.mark.parametrize("keys", [1, 8, 129])
@pytest.mark.parametrize(("mode", "pre", "following"),
                         [(2, 0, 0), (3, 0, 0), (4, 3, 2), (4, -1, 4), (4, 0, 0), (4, 5, -2)])
def test_the_mask_of_a_mode_is_recognised_as_one_that_gives_the_same(rows, keys, mode, pre, following):
    i, j, delta = torch.arange(rows)[:, None], torch.arange(keys)[None], keys - rows
    keep = {2: j <= i, 3: j <= i + delta, 4: (j >= i + delta - pre) & (j <= i + delta + following)}[mode]
    rule = recognise(~keep, rows, keys)
    assert rule is not None
    inputs = tensors(1, 1, None, rows, keys, dtype=torch.float32)
    settings = {"head_num": 1, "input_layout": "BNSD"}
    want = npufa.npu_fusion_attention(*inputs, **settings, atten_mask=~keep)[0]
    words = rule.arguments.split()
    if words[0].startswith("sparse_mode"):
        settings["sparse_mode"] = int(words[0][-1])
        if len(words) > 1:
            settings |= {"pre_tockens": int(words[2]), "next_tockens": int(words[6])}
        got = npufa.npu_fusion_attention(*inputs, **settings)[0]
    elif words[0] == "no":
        got = npufa.npu_fusion_attention(*inputs, **settings)[0]
    else:
        got = npufa.npu_prompt_flash_attention(*inputs, num_heads=1, input_layout="BNSD",
                                               actual_seq_lengths_kv=[int(words[-1].strip("[]"))])
    torch.testing.assert_close(got, want)


def test_masks_of_padding_and_masks_that_are_none():
    lengths = torch.tensor([3, 8])
    mask = (torch.arange(8) >= lengths[:, None])[:, None, None].expand(2, 1, 6, 8)
    assert recognise(mask, 6, 8).arguments == "the key/value lengths [3, 8]"
    assert recognise(torch.zeros(6, 8), 6, 8).arguments == "no atten_mask"
    holes = ~causal(64, 64)
    holes[40, 3] = False
    assert recognise(~holes, 64, 64) is None


def band(rows, keys, before, after):
    distance = torch.arange(keys) - torch.arange(rows)[:, None]
    return (distance < -before) | (distance > after)


@pytest.mark.parametrize(("mask", "kept", "meant"), [
    (torch.ones(8, 8).tril(), "sparse_mode=3", "sparse_mode=4 with -1 tokens before and 7 after"),
    (~causal(8, 12), "sparse_mode=3", "sparse_mode=4 with -1 tokens before and 7 after"),
    (torch.ones(8, 12).tril(), "sparse_mode=2", "sparse_mode=4 with 3 tokens before and 7 after"),
    (~band(8, 8, 3, 0), "sparse_mode=4 with 3 tokens before and 0 after", "the mask as it is"),
], ids=["tril", "lower right", "upper left", "window"])
def test_both_readings_of_an_inverted_mask(mask, kept, meant):
    rows, keys = mask.shape
    mask = mask.to(torch.uint8)
    found = codes(tensors(rows=rows, keys=keys), **INFER, atten_mask=mask)
    finding = found["inverted_mask"]
    assert "dense_mask" not in found and "looks inverted" in finding.reason
    assert f"pass {kept} (" in finding.fix and f"pass {meant} if" in finding.fix


@pytest.mark.parametrize("mask", [
    band(8, 8, 3, 0), band(8, 8, 8, 2), torch.eye(8), torch.ones(8, 8).tril(-2), torch.ones(8, 8).triu(2),
    torch.zeros(8, 8), torch.ones(8, 8), (torch.arange(8) < 3).expand(8, 8), torch.ones(1, 8), torch.ones(8, 1),
], ids=str)
def test_other_masks_do_not_look_inverted(mask):
    rows, keys = mask.shape
    assert "inverted_mask" not in codes(tensors(rows=rows, keys=keys), **INFER, atten_mask=mask.bool())


def test_large_masks_are_sampled():
    mask = causal(4100, 4100)
    rule = recognise(mask, 4100, 4100)
    assert rule.arguments == "sparse_mode=3" and not rule.whole
    mask[0, 0] = True
    assert recognise(mask, 4100, 4100) is None


def test_memory_that_is_saved():
    query, key, value = tensors()
    assert codes([query, key, value], **INFER, atten_mask=causal(8, 8))["dense_mask"].saves == 64
    inputs, call = repeated()
    assert codes(inputs, **call)["repeated_heads"].saves == key.numel() * 2


@on_device
def test_on_the_npu():
    from npufa.advisor import advise

    inputs = [t.npu() for t in tensors(dtype=torch.float32)]
    found = {f.code: f.severity for f in advise(*inputs, **INFER, atten_mask=causal(8, 8).npu())}
    assert found == {"float32": "warning", "dense_mask": "warning"}
