"""npu_fusion_attention (v1, v2, v3) and its gradient."""

from dataclasses import dataclass, field

import torch

from . import attention, dropout, layout as layouts, lengths, masks

STATISTIC_WIDTH = 8


@dataclass
class Forward:
    """Expected outputs; `magnitude` is sum_j p_ij |v_j|, what rounding errors of `out` scale with."""
    out: torch.Tensor
    magnitude: torch.Tensor
    softmax_max: torch.Tensor
    softmax_sum: torch.Tensor
    numels: int
    sequences: list = field(default_factory=list)


@dataclass
class Gradient:
    """Gradients and, per gradient, the magnitude of the terms it sums (what rounding errors scale with)."""
    grads: dict
    magnitudes: dict


@dataclass
class Sequence:
    logits: torch.Tensor
    soft: attention.Softmax
    value: torch.Tensor
    kept: torch.Tensor | None
    out: torch.Tensor
    magnitude: torch.Tensor


def normalise(kwargs):
    """One spelling for the arguments of all versions."""
    kwargs = dict(kwargs)
    for new, old in (("pre_tokens", "pre_tockens"), ("next_tokens", "next_tockens"), ("scale", "scale_value")):
        if old in kwargs:
            kwargs[new] = kwargs.pop(old)
    return kwargs


def fusion_attention(query, key, value, head_num, input_layout, **kwargs):
    """The forward pass in float64."""
    leaves = _leaves(query, key, value, normalise(kwargs), grad=False)
    return _forward(leaves, head_num, input_layout, normalise(kwargs))


def fusion_attention_grad(query, key, value, dy, head_num, input_layout, **kwargs):
    """The gradients by autograd of the dense float64 forward pass."""
    kwargs = normalise(kwargs)
    leaves = _leaves(query, key, value, kwargs, grad=True)
    forward = _forward(leaves, head_num, input_layout, kwargs)
    present = {n: t for n, t in leaves.items() if t is not None}
    dy = dy.detach().double()
    grads = _grads(forward.out, dy, present)
    magnitudes = _magnitudes(leaves, forward, dy, head_num, input_layout, kwargs)
    return Gradient(grads, magnitudes)


def _grads(out, dy, leaves, **kw):
    if not out.requires_grad:
        return {n: torch.zeros_like(t) for n, t in leaves.items()}
    found = torch.autograd.grad(out, list(leaves.values()), dy, allow_unused=True, **kw)
    return {n: torch.zeros_like(t) if g is None else g for (n, t), g in zip(leaves.items(), found)}


def _leaves(query, key, value, kwargs, grad):
    tensors = {"query": query, "key": key, "value": value}
    tensors |= {n: kwargs.get(n) for n in ("pse", "query_rope", "key_rope", "sink")}
    return {n: None if t is None else t.detach().double().requires_grad_(grad) for n, t in tensors.items()}


def _geometry(leaves, heads, layout, kw):
    """Key/value heads and per-sequence spans."""
    query, key = leaves["query"], leaves["key"]
    if layouts.input_part(layout) in ("BSH", "SBH"):
        kv_heads = key.shape[2] // (query.shape[2] // heads)
    else:
        kv_heads = key.shape[1 if layout in ("BNSD", "TND") else 2]
    q_spans = k_spans = None
    count = 0
    if layouts.is_packed(layout):
        sides = ((kw["actual_seq_qlen"], query.shape[0]), (kw["actual_seq_kvlen"], key.shape[0]))
        read = lengths.reading(*sides)
        assert read in ("cumulative", "plain"), f"lengths with {read} reading: {sides}"
        (q_spans, count), (k_spans, _) = (lengths.packed_spans(side, read == "plain") for side, _ in sides)
    return kv_heads, q_spans, k_spans, count


def _logits(q, k, q_rope, k_rope, bias, kw, i, j):
    """Scaled, capped and biased scores of one sequence."""
    scale, pse_type = kw.get("scale", 1.0), kw.get("pse_type", 1)
    qk = attention.products(q, k)
    if q_rope is not None:
        qk = qk + attention.products(q_rope, k_rope)
    scores = attention.capped(scale * qk, kw.get("softcap", 0.0))
    if bias is None:
        return scores
    if pse_type == 0:
        return scores + bias
    if pse_type == 1:
        return scores + scale * bias
    start_q = (lengths.as_list(kw.get("q_start_idx")) or [0])[0]
    start_k = (lengths.as_list(kw.get("kv_start_idx")) or [0])[0]
    distance = ((j[None] + start_k) - (i[:, None] + start_q)).abs().double()
    if pse_type == 3:
        distance = distance.sqrt()
    return scores - bias[:, None, None] * distance


def _bias(pse, kw, b, rows, cols, longest):
    """What sequence `b` sees of `pse`: (N, rows, cols), or its N slopes."""
    if pse is None:
        return None
    if kw.get("pse_type", 1) in (2, 3):
        return pse if pse.dim() == 1 else pse[b if pse.shape[0] > 1 else 0]
    return masks.bias_rows(pse, b, rows, cols, longest)


def _all_logits(leaves, heads, layout, kw):
    """(index, logits, rows, cols) of every sequence."""
    kv_heads, q_spans, k_spans, count = _geometry(leaves, heads, layout, kw)
    q_parts = layouts.split(leaves["query"], layout, heads, q_spans)
    k_parts = layouts.split(leaves["key"], layout, kv_heads, k_spans)
    ropes = [(None, None)] * len(q_parts)
    if leaves["query_rope"] is not None:
        ropes = list(zip(layouts.split(leaves["query_rope"], layout, heads, q_spans),
                         layouts.split(leaves["key_rope"], layout, kv_heads, k_spans)))
    longest = max((q.shape[1] for q in q_parts), default=0)
    for b, (q, k, rope) in enumerate(zip(q_parts, k_parts, ropes)):
        rows, cols = torch.arange(q.shape[1]), torch.arange(k.shape[1])
        bias = _bias(leaves["pse"], kw, b, rows, cols, longest)
        yield b, count, _logits(q, k, *rope, bias, kw, rows, cols), rows, cols


def _forward(leaves, heads, layout, kw):
    kv_heads, q_spans, k_spans, _ = _geometry(leaves, heads, layout, kw)
    v_parts = layouts.split(leaves["value"], layout, kv_heads, k_spans)
    sequences, prefix = [], lengths.as_list(kw.get("prefix"))
    keep_prob = kw.get("keep_prob", 1.0)
    flat, numels = _dropout_bits(leaves, heads, layout, kw)
    position = 0
    for b, count, logits, rows, cols in _all_logits(leaves, heads, layout, kw):
        keep = masks.kept_pairs(
            kw.get("sparse_mode", 0), rows, cols, batch=b, mask=kw.get("atten_mask"),
            pre=kw.get("pre_tokens", masks.LIMIT), nxt=kw.get("next_tokens", masks.LIMIT), prefix=prefix,
            first=b == 0, last=b == count - 1)
        soft = attention.softmax(logits, keep, leaves["sink"])
        p, kept = soft.p, None
        if flat is not None:
            kept = flat[position:position + logits.numel()].view(logits.shape)
            p = torch.where(kept, p / keep_prob, 0.0)
        position += logits.numel()
        sequences.append(Sequence(logits, soft, v_parts[b], kept, attention.weighted(p, v_parts[b]),
                                  attention.weighted(p.detach(), v_parts[b].detach().abs())))
    out, magnitude = (_assemble([getattr(s, n) for s in sequences], leaves, heads, layout, kv_heads)
                      for n in ("out", "magnitude"))
    statistics = [_statistics([getattr(s.soft, n).detach() for s in sequences], leaves, heads, layout,
                              kw.get("softmax_layout", "")) for n in ("maximum", "total")]
    return Forward(out, magnitude, *statistics, numels, sequences)


def _dropout_bits(leaves, heads, layout, kw):
    _, q_spans, k_spans, _ = _geometry(leaves, heads, layout, kw)
    if q_spans is None:
        batch, sq, _ = layouts.extents(leaves["query"], layout, heads)
        _, skv, _ = layouts.extents(leaves["key"], layout, 1)
        numels = batch * heads * sq * skv
    else:
        numels = sum(heads * q * k for (_, q), (_, k) in zip(q_spans, k_spans))
    bits = dropout.keep_bits(numels, kw.get("keep_prob", 1.0), kw.get("dropout_mask"), kw.get("seed") or 0,
                             kw.get("offset") or 0)
    return bits, numels


def _assemble(parts, leaves, heads, layout, kv_heads):
    batch, sequence, _ = layouts.extents(leaves["query"], layout, heads)
    head_dim = layouts.extents(leaves["value"], layout, kv_heads)[2]
    return layouts.join(parts, layout, batch, sequence, heads, head_dim)


def _statistics(parts, leaves, heads, layout, softmax_layout):
    """(B, N, Sq, 8), or (T, N, 8) whose memory holds one (N, Lq, 8) block per sequence unless asked for TND."""
    batch, sequence, _ = layouts.extents(leaves["query"], layout, heads)
    if not layouts.is_packed(layout):
        stacked = torch.stack(parts) if parts else torch.zeros(batch, heads, sequence)
        return stacked[..., None].expand(*stacked.shape, STATISTIC_WIDTH)
    if softmax_layout == "TND":
        parts = [p.transpose(0, 1) for p in parts]
    values = torch.cat([p.reshape(-1) for p in parts]) if parts else torch.zeros(0, dtype=torch.float64)
    flat = torch.zeros(sequence * heads, dtype=torch.float64)
    flat[:values.numel()] = values
    return flat.view(sequence, heads, 1).expand(-1, -1, STATISTIC_WIDTH)


def _magnitudes(leaves, forward, dy, heads, layout, kw):
    """The gradient formulas with every term replaced by its absolute value."""
    kv_heads, q_spans, k_spans, _ = _geometry(leaves, heads, layout, kw)
    spans = q_spans
    positive = {n: None if t is None else t.detach().abs().nan_to_num(0, 0, 0).requires_grad_()
                for n, t in leaves.items()}
    dy_parts = layouts.split(dy.abs(), layout, heads, spans)
    v_parts = layouts.split(positive["value"], layout, kv_heads, k_spans)
    absolute = dict(kw, scale=abs(kw.get("scale", 1.0)), softcap=0.0)  # of which capping only takes away
    outputs, gradients = [], []
    sink = torch.zeros(heads, dtype=torch.float64)
    for (b, _, logits, _, _), seq in zip(_all_logits(positive, heads, layout, absolute), forward.sequences):
        p = seq.soft.p.detach()
        drop = 1.0 if seq.kept is None else seq.kept / kw.get("keep_prob", 1.0)
        d_p = drop * (dy_parts[b] @ attention.repeat_heads(v_parts[b].detach(), heads).transpose(1, 2))
        delta = (p * d_p).sum(-1, keepdim=True)
        outputs += [logits, attention.weighted(p * drop, v_parts[b])]
        gradients += [p * (d_p + delta), dy_parts[b]]
        sink += (seq.soft.p_sink.detach() * delta[..., 0]).sum(-1)
    present = {n: t for n, t in positive.items() if t is not None}
    if outputs:
        found = torch.autograd.grad(outputs, list(present.values()), gradients, allow_unused=True)
    else:
        found = [None] * len(present)
    result = {n: torch.zeros_like(t) if g is None else g.abs() for (n, t), g in zip(present.items(), found)}
    if "sink" in result:
        result["sink"] = sink
    return result
