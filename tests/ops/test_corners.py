"""Corner cases that the specification decides."""

import threading

import pytest
import torch

from cases import Draw, random_case
from cases.draw import FLOATS
from cases.fusion import forward_case, grad_case, place
from cases.inference import inference_case
from cases.model import operator

NAN = float("nan")


def qkv(batch=1, heads=2, kv_heads=2, sq=9, skv=12, dim=16, dtype=torch.float32, seed=0):
    d = Draw(seed)
    return [d.normal(s, dtype) for s in ((batch, heads, sq, dim), (batch, kv_heads, skv, dim),
                                         (batch, kv_heads, skv, dim))]


def fusion(q, k, v, **kw):
    return forward_case(dict(query=q, key=k, value=v, head_num=q.shape[1], input_layout="BNSD", scale=0.3, **kw))


def infer(q, k, v, kind="fused_infer", **kw):
    extra = {"softmax_lse_flag": True} if kind == "fused_infer" else {}
    scale = {"scale": 0.3} if kind == "fused_infer" else {"scale_value": 0.3}
    return inference_case(kind, dict(query=q, key=k, value=v, num_heads=q.shape[1], num_key_value_heads=k.shape[1],
                                     input_layout="BNSD", **scale, **extra, **kw))


# -- rows without keys -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("sink", [None, 2.0])
def test_rows_without_keys(dtype, sink):
    q, k, v = qkv(sq=12, skv=9, dtype=dtype)
    extra = {} if sink is None else {"sink": torch.full((2,), sink)}
    out, maximum, total, *_ = fusion(q, k, v, sparse_mode=3, **extra).verify()
    for t in (out, maximum, total):
        assert bool((t[:, :, :3] == 0).all())


@pytest.mark.parametrize("kind", ["prompt", "fused_infer"])
def test_all_masked(kind):
    q, k, v = qkv()
    result = infer(q, k, v, kind, atten_mask=torch.ones(9, 12, dtype=torch.bool), sparse_mode=1).verify()
    if kind == "fused_infer":
        assert bool((result[0] == 0).all()) and bool(result[1].isposinf().all())


def test_minus_infinity_pse_masks():
    q, k, v = qkv()
    pse = Draw(1).normal((1, 2, 9, 12))
    pse[:, :, :, 5] = -torch.inf
    pse[:, 1, 3] = -torch.inf
    out, maximum, total, *_ = fusion(q, k, v, pse=pse).verify()
    assert bool((out[0, 1, 3] == 0).all()) and maximum[0, 1, 3, 0] == 0 and total[0, 1, 3, 0] == 0
    fusion(q, k, v, pse=pse, sink=torch.zeros(2)).verify()
    infer(q, k, v, pse_shift=pse).verify()
    infer(q, k, v, "prompt", pse_shift=pse, sparse_mode=2).verify()
    infer(q[:, :, :1], k, v, "incre", pse_shift=pse[:, :, 3:4]).verify()
    grad_case(dict(query=q, key=k, value=v, head_num=2, input_layout="BNSD", pse=pse, scale=0.3), 1, Draw(2)).verify()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_very_negative_bias_is_not_a_mask(dtype):
    """Finite scores take part however small they are: a row of equal ones averages v."""
    lowest = -65504.0 if dtype == torch.float16 else -3e38
    q, k, v = qkv(dtype=dtype)
    q[:, :, 2:7] = 0                                  # else the sum rounds the products away
    pse = torch.zeros(1, 2, 9, 12, dtype=dtype)
    pse[:, :, 2:5] = lowest
    pse[:, :, 6, :4] = lowest
    infer(q, k, v, pse_shift=pse).verify()
    fusion(q, k, v, pse=pse).verify()
    infer(q[:, :, :1], k, v, "incre", pse_shift=pse[:, :, 2:3]).verify()


def blocked(width, sq=70, skv=1100):
    """A mask whose first `width` columns, a block in the middle and some whole rows are masked out."""
    mask = torch.zeros(sq, skv, dtype=torch.bool)
    mask[:, :width], mask[10:40, 600:900], mask[[3, 5, 69]], mask[20, 5] = True, True, True, False
    return mask


@pytest.mark.parametrize("width", [64, 300, 1024])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_whole_tiles_masked_out(width, dtype):
    """A running maximum of minus infinity must not turn into NaN when later tiles have keys."""
    mask = blocked(width)
    q, k, v = qkv(sq=70, skv=1100, dtype=dtype)
    bias = torch.zeros(1, 2, 70, 1100, dtype=dtype).masked_fill_(mask, -torch.inf)
    call = dict(query=q, key=k, value=v, head_num=2, input_layout="BNSD", scale=0.3)
    fusion(q, k, v, atten_mask=mask, sparse_mode=1).verify()
    fusion(q, k, v, pse=bias).verify()
    grad_case(dict(call, atten_mask=mask, sparse_mode=1), 1, Draw(1)).verify()
    grad_case(dict(call, pse=bias), 1, Draw(1)).verify()
    infer(q, k, v, atten_mask=mask, sparse_mode=1).verify()
    infer(q, k, v, "prompt", pse_shift=bias, sparse_mode=3).verify()
    for row in (3, 20, 30):
        infer(q[:, :, row:row + 1], k, v, "incre", atten_mask=mask[row:row + 1]).verify()
        infer(q[:, :, row:row + 1], k, v, pse_shift=bias[:, :, row:row + 1]).verify()


@pytest.mark.parametrize("value", [-float("inf"), -1e4, 0.0, 80.0, 1e4])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_extreme_sinks(value, dtype):
    q, k, v = qkv(sq=40, skv=300, dtype=dtype)
    fusion(q, k, v, sink=torch.tensor([value, 0.5]), sparse_mode=3).verify()


# -- empty tensors -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_empty_keys(dtype):
    q, k, v = qkv(skv=0, dtype=dtype)
    out, maximum, total, *_ = fusion(q, k, v).verify()
    assert bool((out == 0).all()) and bool((maximum == 0).all()) and bool((total == 0).all())
    infer(q, k, v).verify()
    infer(q, k, v, "prompt").verify()
    infer(q[:, :, :1], k, v, "incre").verify()
    out = infer(q, k, v, quant_scale2=torch.ones(1), quant_offset2=torch.full((1,), 7.0)).verify()[0]
    assert out.dtype == torch.int8 and bool((out == 0).all())


@pytest.mark.parametrize("batch,sq", [(0, 9), (1, 0), (0, 0)])
def test_empty_queries(batch, sq):
    q, k, v = qkv(batch=batch, sq=sq)
    assert fusion(q, k, v).verify()[0].shape == q.shape
    out, lse = infer(q, k, v).verify()
    assert out.shape == q.shape and lse.shape == (batch, 2, sq, 1)
    assert infer(q, k, v, "prompt").verify().shape == q.shape


def test_empty_gradients():
    for sq, skv in ((0, 5), (5, 0)):
        q, k, v = (t.requires_grad_() for t in qkv(sq=sq, skv=skv))
        operator("npu_fusion_attention")(q, k, v, 2, "BNSD")[0].sum().backward()
        assert all(t.grad.shape == t.shape and bool((t.grad == 0).all()) for t in (q, k, v))


@pytest.mark.parametrize("lengths,kv", [([0, 0], [3, 9]), ([2, 5], [0, 0]), ([0, 0], [0, 0])])
def test_packed_without_tokens(lengths, kv):
    d = Draw(1)
    total, kv_total = max(lengths[-1], 0), kv[-1]
    q, k, v = d.normal((total, 2, 8)), d.normal((kv_total, 2, 8)), d.normal((kv_total, 2, 8))
    forward_case(dict(query=q, key=k, value=v, head_num=2, input_layout="TND", actual_seq_qlen=lengths,
                      actual_seq_kvlen=kv)).verify()
    inference_case("fused_infer", dict(query=q, key=k, value=v, num_heads=2, input_layout="TND",
                                       actual_seq_lengths=lengths, actual_seq_lengths_kv=kv,
                                       softmax_lse_flag=True)).verify()


# -- what lies beyond the lengths --------------------------------------------------------------------------------------
@pytest.mark.parametrize("poison", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["prompt", "fused_infer", "incre"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_poison_beyond_the_lengths(poison, kind, dtype):
    sq = 1 if kind == "incre" else 9
    q, k, v = qkv(batch=2, sq=sq, skv=40, dtype=dtype)
    lengths = [31, 5]
    for b, n in enumerate(lengths):
        k[b, :, n:] = poison
        v[b, :, n:] = poison
    name = "actual_seq_lengths" if kind == "incre" else "actual_seq_lengths_kv"
    extra = {}
    if kind != "incre":
        q[0, :, 4:] = poison
        extra["actual_seq_lengths"] = [4, 9]
    pse = Draw(1).normal((2, 2, sq, 64), dtype)
    pse[..., 40:] = poison
    for b, n in enumerate(lengths):
        pse[b, ..., n:] = poison
    infer(q, k, v, kind, pse_shift=pse, **{name: lengths}, **extra).verify()


@pytest.mark.parametrize("sq", [1, 9])
def test_poison_in_left_padding(sq):
    q, k, v = qkv(batch=2, sq=sq, skv=40)
    for b, (start, stop) in enumerate(((10, 35), (32, 35))):
        for t in (k, v):
            t[b, :, :start] = NAN
            t[b, :, stop:] = NAN
    extra = {}
    if sq > 1:
        q[:, :, :3], q[:, :, 7:] = NAN, NAN
        extra = dict(actual_seq_lengths=[4], query_padding_size=torch.tensor([2]), sparse_mode=3)
    infer(q, k, v, actual_seq_lengths_kv=[25, 3], kv_padding_size=torch.tensor([5]), **extra).verify()


@pytest.mark.parametrize("sq", [1, 6])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_poison_in_unused_blocks(sq, dtype):
    d = Draw(2)
    q = d.normal((2, 2, sq, 16), dtype)
    pools = [torch.full((9, 2, 16, 16), NAN, dtype=dtype) for _ in range(2)]
    table = torch.tensor([[4, 1, 7], [2, -1, 2 ** 31 - 1]], dtype=torch.int32)
    for pool in pools:
        for block, count in ((4, 16), (1, 16), (7, 5), (2, 3)):
            pool[block, :, :count] = d.normal((2, count, 16), dtype)
    for mode in (0, 3):
        infer(q, *pools, actual_seq_lengths_kv=[37, 3], block_table=table, block_size=16, sparse_mode=mode).verify()


def test_poison_in_quantised_padding():
    """NaN scales of tokens beyond the lengths must not matter either."""
    d = Draw(3)
    q = d.normal((2, 2, 4, 16))
    k, v = d.integers((2, 2, 20, 16), -99, 99), d.integers((2, 2, 20, 16), -99, 99)
    scale = d.uniform((2, 20), 0.01, 0.02)
    scale[0, 13:], scale[1, 2:] = NAN, NAN
    case = inference_case("fused_infer", dict(
        query=q, key=k, value=v, num_heads=2, input_layout="BNSD", actual_seq_lengths_kv=[13, 2], key_antiquant_mode=1,
        value_antiquant_mode=1, key_antiquant_scale=scale, value_antiquant_scale=scale.clone()), antiquant=True)
    case.verify()


def test_poison_behind_packed_sequences():
    d = Draw(4)
    q, k, v = d.normal((12, 2, 8)), d.normal((15, 2, 8)), d.normal((15, 2, 8))
    q[9:], k[11:], v[11:] = NAN, NAN, NAN
    lengths = dict(actual_seq_qlen=[4, 9], actual_seq_kvlen=[6, 11])
    forward_case(dict(query=q, key=k, value=v, head_num=2, input_layout="TND", sparse_mode=3, **lengths)).verify()
    inference_case("fused_infer", dict(query=q, key=k, value=v, num_heads=2, input_layout="TND",
                                       actual_seq_lengths=[4, 9], actual_seq_lengths_kv=[6, 11], sparse_mode=3,
                                       softmax_lse_flag=True)).verify()
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    out = operator("npu_fusion_attention")(*leaves, 2, "TND", sparse_mode=3, **lengths)[0]
    dy = torch.ones_like(out)
    dy[9:] = NAN
    out.backward(dy)
    assert all(bool(t.grad.isfinite().all()) for t in leaves)
    assert all(bool((t.grad[n:] == 0).all()) for t, n in zip(leaves, (9, 11, 11)))


def test_poison_in_padded_pse_and_mask():
    q, k, v = qkv()
    pse = torch.full((1, 2, 20, 30), NAN)
    pse[:, :, :9, :12] = Draw(1).normal((1, 2, 9, 12))
    fusion(q, k, v, pse=pse).verify()
    fusion(q, k, v, pse=pse, sparse_mode=3).verify()
    infer(q, k, v, pse_shift=pse).verify()


# -- NaN in real inputs ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_propagates(which, dtype):
    tensors = qkv(dtype=dtype)
    tensors[which][0, 0, 4, 3] = NAN
    out = fusion(*tensors).call()[0]
    rows = out[0, 0].isnan().any(-1)
    assert bool(rows[4]) if which == 0 else bool(rows.all())
    assert not bool(out[0, 1].isnan().any())
    got = infer(*tensors).call()[0]
    assert torch.equal(got[0, 0].isnan().any(-1), rows)


# -- memory layouts ----------------------------------------------------------------------------------------------------
def contiguous_and(view, make):
    """The operator gives the same bits for a view and its contiguous copy."""
    got, want = make(*view).verify(), make(*(t.contiguous() for t in view)).verify()
    first = (got[0], want[0]) if isinstance(got, (tuple, list)) else (got, want)
    assert torch.equal(*first)


@pytest.mark.parametrize("make", [fusion, infer], ids=["fusion", "fused_infer"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_views(make, dtype):
    d = Draw(5)
    fused = d.normal((2, 10, 3, 4, 16), dtype)                                   # one projection, sliced
    contiguous_and([fused[:, :, i].transpose(1, 2) for i in range(3)], make)
    q, k, v = qkv(batch=2, heads=4, kv_heads=4, dtype=dtype)
    contiguous_and([q, k[:, :1].expand(-1, 4, -1, -1), v[:, :1].expand(-1, 4, -1, -1)], make)   # stride 0
    contiguous_and([q[:1].expand(2, -1, -1, -1), k, v], make)
    contiguous_and([t.transpose(2, 3).contiguous().transpose(2, 3) for t in (q, k, v)], make)   # D strided
    contiguous_and([t.flip(0)[::2] for t in (q, k, v)], make)
    wide = d.normal((2, 4, 12, 1024), dtype)                                     # rows far apart
    contiguous_and([wide[..., 16 * i:16 * i + 16] for i in range(3)], make)


def test_huge_strides():
    """Offsets beyond 2**31 elements need 64-bit indexing (the memory between is never touched)."""
    base = torch.empty(2 ** 32 + 2 ** 20, dtype=torch.uint8).view(torch.float16)
    view = base.as_strided((1, 2, 3, 8), (1, 2 ** 31 + 64, 16, 1))
    view.copy_(Draw(1).normal(view.shape, torch.float16))
    fusion(view, view, view).verify()
    infer(view, view, view, "prompt").verify()


def test_strided_masks_and_bias():
    q, k, v = qkv(batch=2)
    d = Draw(6)
    mask = d.mask((2, 1, 12, 9)).transpose(2, 3)
    fusion(q, k, v, atten_mask=mask, pse=d.normal((2, 2, 12, 9)).transpose(2, 3)).verify()
    bias = d.normal((1, 2, 1, 12)).expand(1, 2, 9, 12)
    fusion(q, k, v, atten_mask=d.mask((1, 1, 1, 12)).expand(2, 1, 9, 12), pse=bias).verify()


def test_inputs_are_not_modified():
    for kind in ("fusion", "fusion_grad", "prompt", "incre", "fused_infer"):
        for seed in range(12):
            case = random_case(kind, seed)
            before = {n: t.clone() for n, t in case.kwargs.items() if isinstance(t, torch.Tensor)}
            case.call()
            for name, t in before.items():
                same = (x.contiguous().reshape(-1).view(torch.uint8) for x in (case.kwargs[name], t))
                assert torch.equal(*same), f"{case.op} changed {name}"


# -- extremes of attributes --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pre,nxt", [
    (2 ** 63 - 1, 2 ** 63 - 1), (-2 ** 63, 2 ** 63 - 1), (2 ** 63 - 1, -2 ** 63), (-2 ** 63, -2 ** 63),
    (2 ** 31, 2 ** 31), (-2 ** 31 - 1, 2 ** 31)])
def test_band_limits_do_not_overflow(pre, nxt):
    q, k, v = qkv()
    mask = torch.zeros(9, 12, dtype=torch.bool)
    for mode, extra in ((4, {}), (0, {"atten_mask": mask})):
        infer(q, k, v, sparse_mode=mode, pre_tokens=pre, next_tokens=nxt, **extra).verify()
        infer(q, k, v, "prompt", sparse_mode=mode, pre_tokens=pre, next_tokens=nxt, **extra).verify()
        fusion(q, k, v, sparse_mode=mode, pre_tokens=pre, next_tokens=nxt, **extra).verify()


# -- reproducibility ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["fusion", "fusion_grad", "prompt", "incre", "fused_infer"])
def test_same_bits_every_time(kind):
    for seed in range(10):
        case = random_case(kind, seed)
        first, second = case.call(), case.call()
        first, second = ([r] if isinstance(r, torch.Tensor) else list(r) for r in (first, second))
        for a, b in zip(first, second):
            if isinstance(a, torch.Tensor):
                assert torch.equal(a, b), case
            else:
                assert a == b, case


def test_eight_threads_at_once():
    """Concurrent callers get the bits a lone caller gets."""
    kinds = ("fusion", "fusion_grad", "prompt", "incre", "fused_infer")
    made = [random_case(kind, seed) for seed in range(8) for kind in kinds]
    lone = [case.call() for case in made]
    failures = []

    def work(offset):
        for i in range(len(made)):
            at = (i * 3 + offset * 5) % len(made)
            got = made[at].call()
            pairs = [(got, lone[at])] if isinstance(got, torch.Tensor) else list(zip(got, lone[at]))
            for a, b in pairs:
                if isinstance(a, torch.Tensor) and not torch.equal(a, b):
                    failures.append(str(made[at]))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_counts(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for kind in ("fusion", "fusion_grad", "incre", "fused_infer"):
            for seed in range(200, 206):
                random_case(kind, seed).verify()
    finally:
        torch.set_num_threads(before)


def test_inference_mode_and_no_grad():
    q, k, v = qkv()
    for context in (torch.inference_mode, torch.no_grad):
        with context():
            fusion(q, k, v).verify()
            infer(q, k, v).verify()


def test_many_heads_and_sequences():
    q, k, v = qkv(batch=3, heads=256, kv_heads=4, sq=2, skv=5, dim=8)
    fusion(q, k, v, sparse_mode=3).verify()
    infer(q, k, v).verify()
    q, k, v = qkv(batch=130, heads=2, kv_heads=1, sq=1, skv=7, dim=8)
    infer(q, k, v, "incre", actual_seq_lengths=[n % 8 for n in range(130)]).verify()
    d = Draw(7)
    q, k = d.normal((200, 2, 8)), d.normal((400, 2, 8))
    lengths = dict(actual_seq_qlen=list(range(1, 201)), actual_seq_kvlen=list(range(2, 401, 2)))
    forward_case(dict(query=q, key=k, value=k, head_num=2, input_layout="TND", sparse_mode=3, **lengths)).verify()


def test_scalar_padding_sizes():
    q, k, v = qkv(sq=9, skv=12)
    for shape in ((), (1,)):
        infer(q, k, v, actual_seq_lengths=[4], actual_seq_lengths_kv=[7], query_padding_size=torch.full(shape, 2),
              kv_padding_size=torch.full(shape, 3)).verify()


def test_expanded_batches():
    q, k, v = qkv()
    shared = [t.expand(3, -1, -1, -1) for t in (q, k, v)]
    outs = fusion(*shared).verify()[0]
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[1], outs[2])
    for layout in ("BSH", "SBH"):
        forward_case(dict(query=place(shared[0], layout), key=place(shared[1], layout), value=place(shared[2], layout),
                          head_num=2, input_layout=layout)).verify()
