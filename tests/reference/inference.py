"""npu_prompt_flash_attention, npu_incre_flash_attention and npu_fused_infer_attention_score."""

from dataclasses import dataclass

import torch

from . import attention, layout as layouts, lengths, masks, quant


@dataclass
class Inference:
    """Expected output (and LSE) in float64.

    `magnitude` is sum_j p_ij |v_j| in output units, `slack` an extra absolute tolerance per element.
    """
    out: torch.Tensor
    magnitude: torch.Tensor
    lse: torch.Tensor
    dtype: torch.dtype
    slack: torch.Tensor


def prompt(query, key, value, *, num_heads=1, scale_value=1.0, pre_tokens=2147483647, next_tokens=0,
           input_layout="BSH", num_key_value_heads=0, actual_seq_lengths=None, actual_seq_lengths_kv=None,
           sparse_mode=0, atten_mask=None, pse_shift=None, deq_scale1=None, quant_scale1=None, deq_scale2=None,
           quant_scale2=None, quant_offset2=None):
    return _Problem(
        query, key, value, layout=input_layout, heads=num_heads, kv_heads=num_key_value_heads or num_heads,
        scale=scale_value, mask=atten_mask, pse=pse_shift, mode=sparse_mode, pre=pre_tokens, nxt=next_tokens,
        q_lengths=actual_seq_lengths, kv_lengths=actual_seq_lengths_kv,
        int8_scales=(deq_scale1, quant_scale1, deq_scale2), out_scale=quant_scale2, out_offset=quant_offset2).run()


def incre(query, key, value, *, num_heads=1, scale_value=1.0, input_layout="BSH", num_key_value_heads=0,
          actual_seq_lengths=None, atten_mask=None, pse_shift=None, antiquant_scale=None, antiquant_offset=None,
          block_table=None, block_size=0, quant_scale2=None, quant_offset2=None, kv_padding_size=None,
          inner_precise=1):
    antiquant = None
    if antiquant_scale is not None:
        antiquant = [quant.AntiQuant.combined(0, antiquant_scale, antiquant_offset, w) for w in (0, 1)]
    return _Problem(
        query, key, value, layout=input_layout, heads=num_heads, kv_heads=num_key_value_heads or num_heads,
        scale=scale_value, mask=atten_mask, pse=pse_shift, kv_lengths=actual_seq_lengths, decode=True,
        kv_padding=kv_padding_size, block_table=block_table, block_size=block_size, antiquant=antiquant,
        out_scale=quant_scale2, out_offset=quant_offset2).run()


def fused_infer(query, key, value, *, num_heads=1, scale=1.0, pre_tokens=2147483647, next_tokens=2147483647,
                input_layout="BSH", num_key_value_heads=0, sparse_mode=0, inner_precise=0, block_size=0,
                antiquant_mode=0, key_antiquant_mode=0, value_antiquant_mode=0, softmax_lse_flag=False,
                pse_shift=None, atten_mask=None, actual_seq_lengths=None, actual_seq_lengths_kv=None,
                dequant_scale1=None, quant_scale1=None, dequant_scale2=None, quant_scale2=None, quant_offset2=None,
                antiquant_scale=None, antiquant_offset=None, key_antiquant_scale=None, key_antiquant_offset=None,
                value_antiquant_scale=None, value_antiquant_offset=None, block_table=None, query_padding_size=None,
                kv_padding_size=None, key_shared_prefix=None, value_shared_prefix=None,
                actual_shared_prefix_len=None, query_rope=None, key_rope=None, learnable_sink=None,
                softcap=0.0):
    antiquant = None
    if key_antiquant_scale is not None:
        antiquant = [quant.AntiQuant(key_antiquant_mode, key_antiquant_scale, key_antiquant_offset),
                     quant.AntiQuant(value_antiquant_mode, value_antiquant_scale, value_antiquant_offset)]
    elif antiquant_scale is not None:
        antiquant = [quant.AntiQuant.combined(antiquant_mode, antiquant_scale, antiquant_offset, w) for w in (0, 1)]
    single = not layouts.is_packed(input_layout) and layouts.extents(query, input_layout, num_heads)[1] == 1
    return _Problem(
        query, key, value, layout=input_layout, heads=num_heads, kv_heads=num_key_value_heads or num_heads,
        scale=scale, mask=atten_mask, pse=pse_shift, mode=sparse_mode, pre=pre_tokens, nxt=next_tokens,
        q_lengths=actual_seq_lengths, kv_lengths=actual_seq_lengths_kv, decode=single,
        q_padding=query_padding_size, kv_padding=kv_padding_size, block_table=block_table,
        block_size=block_size, antiquant=antiquant, prefix=(key_shared_prefix, value_shared_prefix),
        prefix_length=actual_shared_prefix_len, ropes=(query_rope, key_rope),
        int8_scales=(dequant_scale1, quant_scale1, dequant_scale2), out_scale=quant_scale2,
        out_offset=quant_offset2, sink=learnable_sink, softcap=softcap).run()


class _Problem:
    def __init__(self, query, key, value, *, layout, heads, kv_heads, scale, mask=None, pse=None, mode=0,
                 pre=masks.LIMIT, nxt=masks.LIMIT, q_lengths=None, kv_lengths=None, q_padding=None, kv_padding=None,
                 block_table=None, block_size=0, antiquant=None, prefix=(None, None), prefix_length=None,
                 ropes=(None, None), int8_scales=(None,) * 3, out_scale=None, out_offset=None, decode=False, sink=None,
                 softcap=0.0):
        self.__dict__.update(locals())
        del self.__dict__["self"]
        self.unpacked = [quant.unpack_int4(x) if x.dtype == torch.int32 else x for x in (key, value)]

    # -- geometry ---------------------------------------------------------------------------------------------
    def _query_side(self):
        """Per sequence: the whole query (N, S, D), the rows used (None = no rows) and where packed ones start."""
        packed = layouts.is_packed(self.layout)
        batch, size, _ = layouts.extents(self.query, self.layout, self.heads)
        spans = lengths.packed_spans(self.q_lengths)[0] if packed else None
        parts = layouts.split(self.query, self.layout, self.heads, spans)
        ropes = [None] * len(parts)
        if self.ropes[0] is not None:
            ropes = layouts.split(self.ropes[0], self.layout, self.heads, spans)
        if packed:
            return parts, ropes, [torch.arange(p.shape[1]) for p in parts]
        used = lengths.per_batch(self.q_lengths, batch, size)
        if size == 1:  # one row takes part or not
            used = [min(n, 1) for n in used]
        padding = self.q_padding if self.q_lengths is not None else None
        return parts, ropes, [lengths.window(size, n, padding) for n in used]

    def _key_side(self, batches):
        """Per sequence: (key, value, key_rope, columns), the columns numbered as masks and pse count them."""
        tensors = [*self.unpacked, self.ropes[1]]
        if self.block_table is not None:
            return [self._paged(tensors, b, n) for b, n in
                    enumerate(lengths.per_batch(self.kv_lengths, batches, 0))]
        packed = layouts.is_packed(self.layout)
        _, size, _ = layouts.extents(self.unpacked[0], self.layout, self.kv_heads)
        spans = lengths.packed_spans(self.kv_lengths)[0] if packed else None
        split = [[None] * batches if t is None else layouts.split(t, self.layout, self.kv_heads, spans)
                 for t in tensors]
        if packed:
            columns = [torch.arange(k.shape[1]) for k in split[0]]
        else:
            padding = self.kv_padding if self.kv_lengths is not None else None
            columns = [lengths.window(size, n, padding)
                       for n in lengths.per_batch(self.kv_lengths, batches, size)]
        return [self._contiguous(b, *parts) for b, parts in enumerate(zip(*split, columns))]

    def _contiguous(self, b, key, value, rope, columns):
        if columns is None:
            return None
        key = self._dequantise(key.double()[:, columns], 0, b, columns)
        value = self._dequantise(value.double()[:, columns], 1, b, columns)
        rope = None if rope is None else rope[:, columns].double()
        if self.prefix[0] is None:
            return key, value, rope, columns
        prefix = [layouts.split(quant.unpack_int4(p) if p.dtype == torch.int32 else p, self.layout, self.kv_heads)[0]
                  for p in self.prefix]
        count = prefix[0].shape[1] if self.prefix_length is None else lengths.as_list(self.prefix_length)[0]
        head = torch.arange(count)
        prefix = [self._dequantise(p[:, :count], w, 0, head) for w, p in enumerate(prefix)]
        return (torch.cat([prefix[0], key], 1), torch.cat([prefix[1], value], 1), None,
                torch.cat([head, columns + count]))

    def _paged(self, tensors, b, count):
        row, columns = self.block_table[b], torch.arange(count)
        gathered = []
        for t in tensors:
            if t is None:
                gathered.append(None)
                continue
            t = t.double()  # before torch 2.8 elements of float8 cannot be picked
            if t.dim() == 3:
                tokens = lengths.paged_tokens(t, row, self.block_size, count, 1).unflatten(-1, (self.kv_heads, -1))
            else:
                tokens = lengths.paged_tokens(t, row, self.block_size, count, self._block_axis(t))
            gathered.append(tokens.transpose(0, 1))
        key, value = (self._dequantise(x, w, b, columns) for w, x in enumerate(gathered[:2]))
        return key, value, None if gathered[2] is None else gathered[2].double(), columns

    def _block_axis(self, cache):
        part = layouts.input_part(self.layout)
        if part in ("TND", "NTD"):
            return 1 if cache.shape[1] == self.block_size and cache.shape[2] == self.kv_heads else 2
        return 2 if part == "BNSD" else 1

    def _dequantise(self, x, which, b, columns):
        x = x.double()
        if self.antiquant is None:
            return x
        row = None if self.block_table is None else self.block_table[b]
        return self.antiquant[which].apply(x, b, columns, row, self.block_size)

    # -- the function -----------------------------------------------------------------------------------------
    def run(self):
        queries, q_ropes, rows = self._query_side()
        keys = self._key_side(len(queries))
        results = [self._sequence(b, *parts) for b, parts in enumerate(zip(queries, q_ropes, rows, keys))]
        batch, size, _ = layouts.extents(self.query, self.layout, self.heads)
        head_dim = self._value_dim()
        out, magnitude, slack = (
            layouts.join([r[i] for r in results], self.layout, batch, size, self.heads, head_dim) for i in (0, 1, 2))
        lse_layout = "TND" if layouts.is_packed(self.layout) else "BNSD"
        lse = layouts.join([r[3][..., None] for r in results], lse_layout, batch, size, self.heads, 1, fill=torch.inf)
        if self.out_scale is not None:
            dtype = torch.int8
        else:
            dtype = torch.float16 if self.query.dtype == torch.int8 else self.query.dtype
        return Inference(out, magnitude, lse, dtype, slack)

    def _value_dim(self):
        value = self.unpacked[1]
        if value.dim() == 3 and layouts.input_part(self.layout) == "BSH" or (
                self.block_table is not None and value.dim() == 3):
            return value.shape[-1] // self.kv_heads
        return value.shape[-1]

    def _sequence(self, b, q, q_rope, rows, side):
        """(output, magnitude, slack, lse) over all stored rows of one sequence."""
        heads, stored = q.shape[:2]
        out = torch.zeros(heads, stored, self._value_dim(), dtype=torch.float64)
        magnitude, slack, lse = out.clone(), out.clone(), torch.full((heads, stored), torch.inf, dtype=torch.float64)
        if rows is None or side is None or len(rows) == 0:
            return out, magnitude, slack, lse
        key, value, k_rope, cols = side
        keep = self._keep(b, rows, cols)
        bias = None
        if self.pse is not None:
            bias = masks.bias_rows(self.pse.double(), b, rows, cols, self._longest())
        qk = attention.products(q[:, rows].double(), key)
        if q_rope is not None:
            qk = qk + attention.products(q_rope[:, rows].double(), k_rope)
        if self.query.dtype == torch.int8:
            deq1, q1, deq2 = (quant.scalar(s) for s in self.int8_scales)
            soft, result, spread = quant.int8_attention(
                qk, keep, value, deq1=deq1, q1=q1, deq2=deq2, scale=self.scale, bias=bias,
                softmax=attention.softmax, weighted=attention.weighted)
            units = abs(q1 * deq2)
        else:
            logits = attention.capped(self.scale * qk, self.softcap)
            logits = logits if bias is None else logits + bias
            soft = attention.softmax(logits, keep, None if self.sink is None else self.sink.double())
            result = attention.weighted(soft.p, value)
            spread, units = torch.zeros_like(result), 1.0
        size = attention.weighted(soft.p, value.abs()) * units
        if self.out_scale is not None:
            result, factor = quant.quantise(result, self.out_scale, self.out_offset, heads)
            result, spread = torch.where(soft.rows[..., None], result, 0.0), spread * factor
            size = size * factor
        out[:, rows], magnitude[:, rows], slack[:, rows], lse[:, rows] = result, size, spread, soft.lse
        return out, magnitude, slack, lse

    def _longest(self):
        if not layouts.is_packed(self.layout):
            return layouts.extents(self.query, self.layout, self.heads)[1]
        return max(n for _, n in lengths.packed_spans(self.q_lengths)[0])

    def _keep(self, b, rows, cols):
        mask, mode = self.mask, self.mode
        if self.decode:
            unread = mask is not None and mode in (2, 3, 4) and mask.shape[-2:] == (2048, 2048)
            if mask is not None and not unread:
                return ~masks.decode_mask(mask, b, cols).expand(-1, len(rows), -1)
            mask, mode = None, 1 if mode == 2 else mode  # mode 2 would keep one key: ignored
        return masks.kept_pairs(mode, rows, cols, batch=b, mask=mask, pre=self.pre, nxt=self.nxt)
