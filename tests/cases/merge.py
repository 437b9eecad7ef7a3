"""Legal calls of the operators that merge partial attentions."""

import torch

import reference

from .draw import FLOATS
from .model import Case

ROUNDED_ONCE = {torch.float32: 3e-6, torch.float16: 6e-4, torch.bfloat16: 5e-3}


def close(got, want, dtype):
    """Computed in float32 and rounded once to its type."""
    torch.testing.assert_close(got.double(), want, rtol=ROUNDED_ONCE[dtype], atol=1e-5)


def attention_update_case(d, parts=None, dtype=None, update_type=None):
    """Rows without keys in some parts or in all."""
    parts, dtype = parts or d.integer(1, 6), dtype or d.pick(*FLOATS)
    rows, columns = d.integer(0, 900 if d.long else 90), d.pick(1, 7, 8, 64, 128, 200, 512, 600)
    lse = [d.normal((rows,), std=d.pick(5.0, 5.0, 100.0)) for _ in range(parts)]
    for part in lse:
        part[torch.rand(rows, generator=d.generator) < 0.3] = d.pick(torch.inf, -torch.inf)
    outputs = [d.strided(d.normal((rows, columns), dtype)) for _ in range(parts)]
    kwargs = dict(lse=[d.strided(part) for part in lse], local_out=outputs,
                  update_type=d.pick(0, 1) if update_type is None else update_type)

    def compare(result, want):
        output, total = result
        assert output.dtype == dtype and total.dtype == torch.float32
        close(output, want[0], dtype)
        if kwargs["update_type"]:
            close(total, want[1], torch.float32)
        else:
            assert total.shape == (0,)

    return Case("npu_attention_update", kwargs, lambda: reference.attention_update(lse, outputs), compare)


def ring_update_case(d, layout=None, softmax_layout=None, dtype=None):
    """Statistics of random rows, some of them without keys, in the order of the layout."""
    layout, dtype = layout or d.pick("SBH", "TND"), dtype or d.pick(*FLOATS)
    softmax_layout = d.pick("", "SBH", "TND") if softmax_layout is None else softmax_layout
    batch, heads = d.integer(1, 3), d.pick(1, 2, 5)
    tokens, columns = d.integer(1, 500 if d.long else 40), d.pick(1, 8, 64, 128, 520)
    ends = sorted(d.integer(0, tokens) for _ in range(d.integer(1, 4)))
    bounds = [0, *ends, tokens]
    count = batch * heads * tokens if layout == "SBH" else heads * tokens
    maxima, sums, outputs = [], [], []
    for _ in range(2):
        maxima.append(d.normal((count,), std=5.0))
        sums.append(d.uniform((count,), 0.5, 20.0))
        none = torch.rand(count, generator=d.generator) < 0.2
        maxima[-1][none], sums[-1][none] = 0, 0
        outputs.append(d.normal((count, columns), dtype))

    def stored(output):
        """Rows are (sequence, head, token)."""
        if layout == "SBH":
            return output.view(batch, heads, tokens, columns).permute(2, 0, 1, 3).flatten(2)
        if softmax_layout == "TND":
            return output.view(tokens, heads, columns)
        parts = [output[a * heads:b * heads].view(heads, b - a, columns).transpose(0, 1) for a, b in
                 zip(bounds, bounds[1:])]
        return torch.cat(parts)

    def widened(statistic):
        shape = (batch, heads, tokens, 8) if layout == "SBH" else (tokens, heads, 8)
        return statistic[:, None].repeat(1, 8).view(shape)

    kwargs = {}
    for step, output, maximum, total in zip(("prev", "cur"), outputs, maxima, sums, strict=True):
        kwargs |= {f"{step}_attn_out": d.strided(stored(output)), f"{step}_softmax_max": d.strided(widened(maximum)),
                   f"{step}_softmax_sum": d.strided(widened(total))}
    kwargs |= dict(input_layout=layout, input_softmax_layout=softmax_layout)
    if layout == "TND":
        kwargs["actual_seq_qlen"] = torch.tensor([*d.pick([], [0]), *ends])

    def compare(result, want):
        assert result[0].dtype == dtype and result[0].is_contiguous()
        close(result[0], stored(want[0]), dtype)
        for got, statistic in zip(result[1:], want[1:], strict=True):
            close(got, widened(statistic), torch.float32)

    return Case("npu_ring_attention_update", kwargs, lambda: reference.ring_update(outputs, maxima, sums), compare)
