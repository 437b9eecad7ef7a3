"""Legal calls of npu_fusion_attention v1, v2, v3 and of their gradient operators."""

from functools import cache

import torch

import reference

from . import compare
from .draw import FLOATS
from .model import Case

LAYOUTS = ("BSH", "SBH", "BSND", "BNSD", "TND")
UNLIMITED = 2147483647
SOFTCAPS = (0.3, 1.0, 5.0, 50.0)


@cache
def compressed_mask(rows=2048, columns=2048, dtype=torch.bool):
    """The compressed causal mask torch_npu asks for; its content is not read here."""
    return torch.triu(torch.ones(rows, columns, dtype=torch.bool), diagonal=1).to(dtype)


def place(t, layout):
    """(B, N, S, D) in the given dense layout."""
    if layout == "BNSD":
        return t
    if layout == "BSND":
        return t.transpose(1, 2).contiguous()
    if layout == "BSH":
        return t.transpose(1, 2).flatten(2)
    return t.permute(2, 0, 1, 3).flatten(2)  # SBH


def packed_lengths(d, batch, limit, positive=False):
    """Lengths per sequence, zero now and then."""
    return [0 if not positive and d.chance(0.1) else d.size(limit) for _ in range(batch)]


def cumulative(sizes, trailing=0):
    total, out = 0, []
    for size in sizes:
        total += size
        out.append(total)
    return out + [0] * trailing


def band_tokens(d, sq, skv):
    """pre and next: usual, negative (empty bands included), unlimited or near overflow."""
    pool = (UNLIMITED, 0, 1, 7, sq, skv, -1, -5, 2 ** 62, 2 ** 63 - 1)
    return d.pick(*pool), d.pick(*pool)


def padded(d, size):
    """A mask or pse extent: sometimes larger than needed."""
    return size + (d.integer(1, 9) if d.chance(0.25) else 0)


def full_mask(d, shape_kinds, batch, heads, sq, skv, dtypes=(torch.bool, torch.uint8)):
    lead = {"SS": (), "BSS": (batch,), "1SS": (1,), "B1SS": (batch, 1), "11SS": (1, 1), "BNSS": (batch, heads)}
    kind = d.pick(*shape_kinds)
    rows = 1 if d.chance(0.15) else padded(d, sq)
    if kind == "SS" and rows == batch and rows != sq:  # would be a mask of keys in the wrong form
        rows = sq
    shape = (*lead[kind], rows, padded(d, skv))
    return d.strided(d.mask(shape, d.pick(*dtypes), d.pick(0.1, 0.3, 0.9)))


def _dense(d, kw, layout, dtype, fixed):
    batch, heads, kv_heads, sq, skv, dim = d.dims(head_dim=fixed.get("head_dim"))
    value_dim = d.integer(1, dim) if d.chance(0.2) else dim
    q, k = d.normal((batch, heads, sq, dim), dtype), d.normal((batch, kv_heads, skv, dim), dtype)
    v = d.normal((batch, kv_heads, skv, value_dim), dtype)
    kw |= dict(query=place(q, layout), key=place(k, layout), value=place(v, layout), head_num=heads)
    if kw.pop("rope"):
        rope = d.pick(64, 8, 5)
        kw["query_rope"] = place(d.normal((batch, heads, sq, rope), dtype, 0.3), layout)
        kw["key_rope"] = place(d.normal((batch, kv_heads, skv, rope), dtype, 0.3), layout)
    return dict(batch=batch, heads=heads, sq=sq, skv=skv, dim=dim, q_sizes=[sq] * batch, k_sizes=[skv] * batch)


def _packed(d, kw, dtype, fixed, version):
    batch, heads, kv_heads, _, _, dim = d.dims(head_dim=fixed.get("head_dim"))
    batch = d.integer(1, 4)
    limit = 129 if dim * heads <= 128 else 33
    limit = 700 if d.long else limit
    q_sizes, k_sizes = packed_lengths(d, batch, limit), packed_lengths(d, batch, limit)
    if d.chance(0.4):
        k_sizes = list(q_sizes)
    if d.chance(0.9):
        q_sizes[-1], k_sizes[-1] = q_sizes[-1] or 3, k_sizes[-1] or 2
    trailing = d.integer(1, 2) if q_sizes[-1] and k_sizes[-1] and d.chance(0.15) else 0
    lists, totals = [], []
    for sizes in (q_sizes, k_sizes):
        lists.append(cumulative(sizes, trailing))
        totals.append(sum(sizes) + (d.integer(1, 6) if d.chance(0.15) else 0))
    totals[0] += reference.lengths.reading(*zip(lists, totals)) == "both"
    if version != 3 and d.chance(0.1):
        plain = (q_sizes, sum(q_sizes)), (k_sizes, sum(k_sizes))
        if reference.lengths.reading(*plain) == "plain":
            (lists, totals), trailing = map(list, zip(*plain)), 0
    value_dim = d.integer(1, dim) if d.chance(0.2) else dim
    kw |= dict(query=d.normal((totals[0], heads, dim), dtype), key=d.normal((totals[1], kv_heads, dim), dtype),
               value=d.normal((totals[1], kv_heads, value_dim), dtype), head_num=heads,
               actual_seq_qlen=lists[0], actual_seq_kvlen=lists[1])
    if d.chance(0.3):
        kw["softmax_layout"] = "TND"
    if kw.pop("rope"):
        kw["query_rope"] = d.normal((totals[0], heads, 16), dtype, 0.3)
        kw["key_rope"] = d.normal((totals[1], kv_heads, 16), dtype, 0.3)
    return dict(batch=batch + trailing, heads=heads, sq=max(q_sizes), skv=max(k_sizes), dim=dim,
                q_sizes=q_sizes + [0] * trailing, k_sizes=k_sizes + [0] * trailing)


def _sparsity(d, kw, layout, shape, mode):
    """sparse_mode with the mask, band and prefix it needs."""
    packed = layout == "TND"
    modes = (0, 0, 1, 2, 3, 4, 6, 7, 8) if packed else (0, 0, 1, 2, 3, 4, 5, 6)
    mode = d.pick(*modes) if mode is None else mode
    kw["sparse_mode"] = mode
    kinds = ("SS",) if packed else ("SS", "BSS", "1SS", "B1SS", "11SS", "BNSS")
    dense = lambda: full_mask(d, kinds, shape["batch"], shape["heads"], shape["sq"], shape["skv"])  # noqa: E731
    if (mode == 1 and d.chance(0.8)) or (mode == 0 and d.chance(0.5)) or (mode == 5 and d.chance(0.3)):
        kw["atten_mask"] = dense()
    elif mode in (2, 3, 4, 7, 8) and d.chance(0.4):
        mask = compressed_mask(dtype=d.pick(torch.bool, torch.uint8))
        kw["atten_mask"] = mask.view(*d.pick((), (1,), (1, 1)), 2048, 2048)
    elif mode == 6 and d.chance(0.4):
        kw["atten_mask"] = compressed_mask(3072, 2048)
    if mode in (0, 4, 7, 8) or d.chance(0.2):
        kw["pre_tokens"], kw["next_tokens"] = band_tokens(d, shape["sq"], shape["skv"])
    if mode in (5, 6):
        kw["prefix"] = [d.integer(0, n) for n in shape["k_sizes"]]


def _pse(d, kw, shape, dtype, version, packed):
    batch, heads, sq, skv = (shape[n] for n in ("batch", "heads", "sq", "skv"))
    if version == 2:
        kw["pse_type"] = d.pick(0, 1, 2, 3)
    if kw.get("pse_type", 1) in (2, 3):
        kw["pse"] = d.uniform((batch, heads) if d.seed % 2 else (heads,), 0.0, 0.5)
        if d.chance(0.5):
            kw["q_start_idx"], kw["kv_start_idx"] = [d.integer(-20, 20)], [d.integer(-20, 20)]
        return
    lead = d.pick((batch, heads), (1, heads))
    rows = 1 if lead[0] == batch and not packed and d.chance(0.2) else padded(d, max(sq, 1))
    kw["pse"] = d.strided(d.normal((*lead, rows, padded(d, max(skv, 1))), dtype))


def _dropout(d, kw, shape, version):
    kw["keep_prob"] = d.pick(0.9, 0.5, 0.1)
    count = shape["heads"] * sum(q * k for q, k in zip(shape["q_sizes"], shape["k_sizes"]))
    if version != 3 and d.chance(0.4):
        kw["dropout_mask"] = d.integers((-(-count // 8) + d.pick(0, 0, 16),), 0, 255, torch.uint8)
    elif version != 3:
        kw["seed"] = d.pick(1, 17, -3, 2 ** 40 + 5, 2 ** 62)
        kw["offset"] = d.pick(0, 5, 2 ** 31, 2 ** 33)


VERSIONED = {1: {"pre_tokens": "pre_tockens", "next_tokens": "next_tockens"}, 2: {},
             3: {"pre_tokens": "pre_tockens", "next_tokens": "next_tockens"}}


def draw_call(d, fixed):
    """Arguments in the reference's spelling, and the version they are meant for."""
    version = fixed.get("version") or d.pick(1, 1, 2, 3)
    layout = fixed.get("layout") or d.pick(*LAYOUTS)
    dtype = fixed.get("dtype") or d.pick(*FLOATS)
    on = lambda name, p: fixed.get(name, d.chance(p))  # noqa: E731
    kw = {"input_layout": layout, "rope": version == 2 and on("rope", 0.3)}
    shape = _packed(d, kw, dtype, fixed, version) if layout == "TND" else _dense(d, kw, layout, dtype, fixed)
    kw["scale"] = d.pick(shape["dim"] ** -0.5, shape["dim"] ** -0.5, 1.0 / shape["dim"], 0.3)
    _sparsity(d, kw, layout, shape, fixed.get("sparse_mode"))
    if on("pse", 0.3) and kw["sparse_mode"] not in (7, 8):
        _pse(d, kw, shape, dtype, version, layout == "TND")
    if on("sink", 0.25):
        kw["sink"] = d.normal((shape["heads"],))
    if on("dropout", 0.25):
        _dropout(d, kw, shape, version)
    for name in ("query", "key", "value"):
        kw[name] = d.strided(kw[name])
    own = d.aside("softcap")
    if version != 1 and fixed.get("softcap", own.chance(0.25)):
        kw["softcap"] = own.pick(*SOFTCAPS)
    if version == 3:
        for name in ("actual_seq_qlen", "actual_seq_kvlen"):
            if name in kw:
                kw[name] = torch.tensor(kw[name])
    return version, kw


def op_name(version, grad=False):
    return "npu_fusion_attention" + ("_grad" if grad else "") + {1: "", 2: "_v2", 3: "_v3"}[version]


def spelled(kw, version):
    return {VERSIONED[version].get(k, k): v for k, v in kw.items()}


def fusion_case(d, **fixed):
    """`fixed`: version, layout, dtype, head_dim, sparse_mode, pse, sink, dropout, rope, softcap."""
    version, kw = draw_call(d, fixed)
    if version == 3:
        kw.pop("keep_prob", None)  # v3 draws its own seed: see test_dropout
    return forward_case(kw, version, {"seed": d.seed})


def forward_case(kw, version=1, notes=None):
    """A forward call from arguments in the reference's spelling (pre_tokens, scale)."""
    return Case(op_name(version), spelled(kw, version), lambda: reference.fusion_attention(**kw),
                lambda result, expected: compare_forward(kw, version, result, expected), notes or {})


def compare_forward(kw, version, result, expected):
    assert len(result) == (6 if version == 3 else 7)
    dtype = kw["query"].dtype
    out, maximum, total, empty = result[:4]
    assert out.dtype == dtype, f"out: dtype {out.dtype}"
    compare.check("out", out, expected.out, compare.tolerance(expected.out, dtype, expected.magnitude))
    compare.check_statistics("softmax_max", maximum, expected.softmax_max)
    compare.check_statistics("softmax_sum", total, expected.softmax_sum)
    assert empty.numel() == 0, "the fourth output is an empty tensor"
    if version != 3:
        assert result[6] == expected.numels, f"numels {result[6]} != {expected.numels}"
        if kw.get("seed"):
            assert result[4:6] == [kw["seed"], kw["offset"]] or result[4:6] == (kw["seed"], kw["offset"])


GRAD_OUTPUTS = {1: ("query", "key", "value", "pse", "sink"), 3: ("query", "key", "value", "pse", "sink"),
                2: ("query", "key", "value", "pse", "query_rope", "key_rope", "sink")}


def fusion_grad_case(d, **fixed):
    """The gradient operator called directly, fed with the forward's (reference) outputs."""
    version, kw = draw_call(d, fixed)
    kw.pop("dropout_mask", None)
    if "keep_prob" in kw:
        kw |= {"seed": kw.get("seed", 11), "offset": kw.get("offset", 4)}
    return grad_case(kw, version, d, {"seed": d.seed})


def grad_case(kw, version, d, notes=None):
    """A call of the gradient operator from arguments in the reference's spelling."""
    forward = reference.fusion_attention(**kw)
    dtype = kw["query"].dtype
    dy = d.strided(d.normal(forward.out.shape, dtype))
    call = spelled(kw, version)
    call["scale_value"] = call.pop("scale", 1.0)
    call |= {"dy": dy, "attention_in": forward.out.to(dtype), "softmax_max": forward.softmax_max.float().contiguous(),
             "softmax_sum": forward.softmax_sum.float().contiguous()}
    if version == 3:
        call |= {n: torch.tensor(call[n]) for n in ("seed", "offset") if n in call}
    else:
        call["numels"] = forward.numels
    return Case(op_name(version, grad=True), call, lambda: reference.fusion_attention_grad(dy=dy, **kw),
                lambda result, expected: compare_grad(kw, version, result, expected), notes or {})


def compare_grad(kw, version, result, expected):
    names = GRAD_OUTPUTS[version]
    assert len(result) == len(names)
    for name, actual in zip(names, result):
        compare_gradient(kw, name, actual, expected)


def compare_gradient(kw, name, actual, expected):
    """One gradient against autograd of the float64 function; absent inputs have empty gradients."""
    if kw.get(name) is None:
        assert actual.numel() == 0, f"d{name}: must be empty"
        return
    assert actual.dtype == kw[name].dtype, f"d{name}: dtype {actual.dtype}"
    want, magnitude = expected.grads[name], expected.magnitudes[name]
    compute = kw["query"].dtype
    allowed = compare.tolerance(want, compute, magnitude, terms=2.0)
    if want.numel():
        allowed = allowed + compare.STATISTIC * float(want.abs().max())  # maxima and sums come in float32
    compare.check(f"d{name}", actual, want, allowed)
