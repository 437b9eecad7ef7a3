// Shapes and dtypes of query, key, value, their rope parts, the paged cache and the shared prefix.
#pragma once

#include "attention_spec.h"
#include "quantised_query.h"

namespace npufa {

inline constexpr std::int64_t kMaxHeadDimTraining = 768;
inline constexpr std::int64_t kMaxHeadDimInference = 512;
inline constexpr std::int64_t kMaxHeadDimLatent = 576;  // of one cache for keys and values
inline constexpr std::int64_t kInt4PerInt32 = 8;

// Extents of one tensor, seen through a layout.
template <class Int>
struct Extents {
  Int batch{0}, tokens{0}, heads{0}, channels{0};
};

template <class Int>
void RequireRank(const AttentionCall<Int>& call, const char* argument, const TensorDesc<Int>& t, int rank) {
  if (t.Dim() != rank) {
    Fail(call.op, argument, "has the wrong number of dimensions", t.sizes,
         std::to_string(rank) + " dimensions for input_layout " + call.input_layout);
  }
}

// The argument that says how many heads the query has, or key and value.
template <class Int>
const char* HeadsArgument(const AttentionCall<Int>& call, bool of_key) {
  return of_key && call.IsInference() && call.kv_heads != 0 ? "num_key_value_heads" : call.names.heads;
}

// `heads` is the head count where the layout folds heads and channels into one axis.
template <class Int>
Extents<Int> ReadExtents(const AttentionCall<Int>& call, const char* argument, const TensorDesc<Int>& t, Layout layout,
                         const Int& heads, bool of_key = true) {
  const Axes axes = AxesOf(layout);
  RequireRank(call, argument, t, axes.rank);
  Extents<Int> x;
  x.batch = axes.batch >= 0 ? t.Size(axes.batch) : Int(1);
  x.tokens = t.Size(axes.token);
  if (axes.head >= 0) {
    x.heads = t.Size(axes.head);
    x.channels = t.Size(axes.channel);
    return x;
  }
  const Int width = t.Size(axes.channel);
  if (KnownNe(width % heads, Int(0))) {
    const bool derived = of_key && !call.IsInference();
    Fail(call.op, argument, "has a last axis that the heads do not divide", t.sizes,
         derived ? "a multiple of key's " + Show(heads) + " heads, that follow from " + call.names.heads
                 : "a multiple of " + std::string(HeadsArgument(call, of_key)) + " = " + Show(heads));
  }
  x.heads = heads;
  x.channels = width / heads;
  return x;
}

inline std::string LayoutHint(Layout layout, bool swapped) {
  if (!swapped) return "";
  return layout == Layout::kBNSD ? " (the tensor looks like BSND: pass input_layout=\"BSND\")"
                                 : " (the tensor looks like BNSD: pass input_layout=\"BNSD\")";
}

// An int8 query does not tell the type of what stays float: its rope does, else it is float16.
template <class Int>
DType FloatDType(const AttentionCall<Int>& call) {
  if (call.query.dtype != DType::kInt8) return call.query.dtype;
  return call.query_rope ? call.query_rope.dtype : DType::kFloat16;
}

template <class Int>
Extents<Int> DescribeQuery(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const Layout layout = spec->q_layout;
  if (call.heads <= 0) Fail(op, call.names.heads, "is not positive", call.heads, "the number of query heads");
  const bool int8_allowed = call.IsInference();
  if (int8_allowed) {
    RequireDType(op, "query", call.query, {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kInt8});
  } else {
    RequireDType(op, "query", call.query, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  }
  const Extents<Int> q = ReadExtents(call, "query", call.query, layout, Int(call.heads), false);
  if (KnownNe(q.heads, Int(call.heads))) {
    const bool swapped = (layout == Layout::kBNSD || layout == Layout::kBSND) &&
                         KnownEq(call.query.Size(layout == Layout::kBNSD ? 2 : 1), Int(call.heads));
    Fail(op, "query", std::string("has a head axis that is not ") + call.names.heads, call.query.sizes,
         Show(call.heads) + " heads in axis " + std::to_string(AxesOf(layout).head) + " of " + call.input_layout +
             LayoutHint(layout, swapped));
  }
  const std::int64_t most = !call.IsInference()        ? kMaxHeadDimTraining
                            : call.value_head_size > 0 ? kMaxHeadDimLatent
                                                       : kMaxHeadDimInference;
  if (KnownLt(q.channels, Int(1)) || KnownLt(Int(most), q.channels)) {
    Fail(op, "query", "has an unsupported head size", q.channels, "1.." + std::to_string(most));
  }
  if (call.kind == OpKind::kIncre && KnownNe(q.tokens, Int(1))) {
    Fail(op, "query", "has more than one token", call.query.sizes,
         "sequence length 1 (use npu_prompt_flash_attention or npu_fused_infer_attention_score for more)");
  }
  spec->batch = q.batch;
  spec->q_tokens = q.tokens;
  spec->heads = q.heads;
  spec->head_dim = q.channels;
  spec->dtype = call.query.dtype;
  spec->float_dtype = FloatDType(call);
  return q;
}

// Dtypes of key and value against the query's: equal, all int8, or a quantised cache under a float query.
template <class Int>
void DescribeCacheDType(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const DType q = call.query.dtype;
  const DType k = call.key.dtype;
  if (call.value.dtype != k) {
    Fail(call.op, "value", "differs from key in dtype", NameOf(call.value.dtype), NameOf(k));
  }
  spec->kv_dtype = k;
  if (k == q) {
    spec->quant.quantised_query = IsQuantisedQuery(call);
    spec->quant.int8_products = q == DType::kInt8 && !spec->quant.quantised_query;
    return;
  }
  const bool quantised = call.kind == OpKind::kIncre || call.kind == OpKind::kFusedInfer;
  if (quantised && IsFloating(q) && (k == DType::kInt8 || k == DType::kInt32 || IsFloat8(k))) {
    spec->quant.antiquant = true;
    spec->int4_cache = k == DType::kInt32;
    return;
  }
  Fail(call.op, "key", "differs from query in dtype", NameOf(k),
       std::string(NameOf(q)) + (quantised ? ", or int8, int32 (int4) or float8 with antiquant scales" : ""));
}

template <class Int>
void RequireDivisibleHeads(const AttentionCall<Int>& call, const Int& heads, const Int& kv_heads,
                           const char* argument) {
  if (KnownLt(kv_heads, Int(1)) || KnownNe(heads % kv_heads, Int(0))) {
    Fail(call.op, argument, "has a number of heads that does not divide the query's", kv_heads,
         std::string("a divisor of ") + call.names.heads + " = " + Show(heads));
  }
}

// Training has no head count of key and value: a folded axis is divided by the query's head size.
template <class Int>
Int KeyHeads(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  if (call.IsInference()) {
    if (call.kv_heads < 0) {
      const std::string heads = call.names.heads;
      Fail(call.op, "num_key_value_heads", "is negative", call.kv_heads,
           "a divisor of " + heads + ", or 0 for " + heads);
    }
    const Int heads(call.kv_heads == 0 ? call.heads : call.kv_heads);
    RequireDivisibleHeads(call, spec.heads, heads, "num_key_value_heads");
    return heads;
  }
  const Axes axes = AxesOf(spec.q_layout);
  RequireRank(call, "key", call.key, axes.rank);
  if (axes.head >= 0) return call.key.Size(axes.head);
  const Int width = call.key.Size(axes.channel);
  if (KnownNe(width % spec.head_dim, Int(0))) {
    Fail(call.op, "key", "has a last axis that the query's head size does not divide", call.key.sizes,
         "a multiple of " + Show(spec.head_dim) + ", the query's last axis by " + call.names.heads + " = " +
             Show(spec.heads));
  }
  return width / spec.head_dim;
}

template <class Int>
void RequireHeads(const AttentionCall<Int>& call, const char* argument, const TensorDesc<Int>& t, const Extents<Int>& x,
                  const Int& heads) {
  if (!KnownNe(x.heads, heads)) return;
  const Layout layout = ParseLayout(call.op, call.input_layout, call.input_layout).input;
  const bool four = layout == Layout::kBNSD || layout == Layout::kBSND;
  const bool swapped = four && KnownEq(t.Size(layout == Layout::kBNSD ? 2 : 1), heads);
  const bool by_attribute = call.IsInference();
  Fail(call.op, argument,
       by_attribute ? "has a head axis that is not num_key_value_heads" : "differs from key in heads", t.sizes,
       Show(heads) + " heads" + LayoutHint(layout, swapped));
}

template <class Int>
void RequireHeadDim(const AttentionCall<Int>& call, const char* argument, const Int& got, const Int& expected) {
  if (KnownNe(got, expected)) {
    Fail(call.op, argument, "has another head size than query", got, Show(expected));
  }
}

template <class Int>
void RequireValueDim(const AttentionCall<Int>& call, const Int& value_dim, const Int& head_dim) {
  if (KnownLt(value_dim, Int(1)) || KnownLt(head_dim, value_dim)) {
    Fail(call.op, "value", "has an unsupported head size", value_dim,
         "1.." + Show(head_dim) + " (at most that of key)");
  }
}

// Head size a stored row stands for: int4 rows hold eight elements per int32.
template <class Int>
Int Unpacked(const AttentionSpec<Int>& spec, const Int& channels) {
  return spec.int4_cache ? channels * Int(kInt4PerInt32) : channels;
}

template <class Int>
void DescribeContiguousCache(const AttentionCall<Int>& call, const Extents<Int>& q, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const Extents<Int> k = ReadExtents(call, "key", call.key, spec->q_layout, spec->kv_heads);
  if (KnownNe(k.batch, q.batch)) Fail(op, "key", "differs from query in batch size", k.batch, Show(q.batch));
  RequireHeads(call, "key", call.key, k, spec->kv_heads);
  RequireHeadDim(call, "key", Unpacked(*spec, k.channels), spec->head_dim);
  const Extents<Int> v = ReadExtents(call, "value", call.value, spec->q_layout, spec->kv_heads);
  if (KnownNe(v.batch, k.batch)) Fail(op, "value", "differs from key in batch size", v.batch, Show(k.batch));
  if (KnownNe(v.tokens, k.tokens)) {
    Fail(op, "value", "differs from key in sequence length", v.tokens, Show(k.tokens));
  }
  RequireHeads(call, "value", call.value, v, spec->kv_heads);
  spec->value_dim = spec->stored_value_dim = Unpacked(*spec, v.channels);
  RequireValueDim(call, spec->value_dim, spec->head_dim);
  spec->kv_tokens = k.tokens;
}

// Elements in 32 bytes, the columns that an NZ cache keeps together; 0 for types that have no such cache.
constexpr std::int64_t NzColumns(DType dtype) {
  if (dtype == DType::kInt8 || IsFloat8(dtype)) return 32;
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? 16 : 0;
}

// The arrangement of a paged cache, recognised by shape; block_size first where both fit.
template <class Int>
CacheLayout PagedLayout(const AttentionCall<Int>& call, const char* argument, const TensorDesc<Int>& t, Layout q_layout,
                        const Int& kv_heads) {
  const Int block(call.block_size);
  const std::int64_t columns = call.kind == OpKind::kFusedInfer ? NzColumns(t.dtype) : 0;
  std::string expected = "(num_blocks, " + Show(block) + ", " + Show(kv_heads) + "*D), (num_blocks, " + Show(block) +
                         ", " + Show(kv_heads) + ", D) or (num_blocks, " + Show(kv_heads) + ", " + Show(block) +
                         ", D)" + (q_layout == Layout::kBNSD ? "; the last for BNSD" : "");
  if (t.Dim() == 3 && !KnownNe(t.Size(1), block) && !KnownNe(t.Size(2) % kv_heads, Int(0)))
    return CacheLayout::kBlockTokenH;
  if (t.Dim() == 4) {
    const bool token_first = !KnownNe(t.Size(1), block) && !KnownNe(t.Size(2), kv_heads);
    const bool head_first = !KnownNe(t.Size(2), block) && !KnownNe(t.Size(1), kv_heads);
    if (token_first && q_layout != Layout::kBNSD) return CacheLayout::kBlockTokenHead;
    if (head_first) return CacheLayout::kBlockHeadToken;
  }
  if (columns > 0) {
    if (t.Dim() == 5 && !KnownNe(t.Size(1), kv_heads) && !KnownNe(t.Size(3), block) &&
        !KnownNe(t.Size(4), Int(columns))) {
      return CacheLayout::kNz;
    }
    expected += ", or in NZ (num_blocks, " + Show(kv_heads) + ", D/" + Show(columns) + ", " + Show(block) + ", " +
                Show(columns) + ")";
  }
  Fail(call.op, argument, "is not a paged cache of block_size " + Show(block), t.sizes, expected);
}

template <class Int>
Int PagedChannels(const TensorDesc<Int>& t, CacheLayout layout, const Int& kv_heads) {
  if (layout == CacheLayout::kNz) return t.Size(2) * t.Size(4);
  return layout == CacheLayout::kBlockTokenH ? t.Size(2) / kv_heads : t.Size(3);
}

template <class Int>
void RequireSameCache(const AttentionCall<Int>& call, const char* argument, const TensorDesc<Int>& t,
                      const AttentionSpec<Int>& spec) {
  const CacheLayout layout = PagedLayout(call, argument, t, spec.q_layout, spec.kv_heads);
  if (layout != spec.cache || KnownNe(t.Size(0), spec.num_blocks)) {
    Fail(call.op, argument, "differs from key in cache layout", t.sizes,
         "the blocks and layout of key " + Show(call.key.sizes));
  }
}

template <class Int>
void DescribePagedCache(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const auto& table = call.block_table;
  if (call.block_size <= 0) {
    Fail(op, "block_size", "is not positive", call.block_size, "tokens per block, since block_table is given");
  }
  if (table.dtype != DType::kInt32) {
    Fail(op, "block_table", "has the wrong dtype", NameOf(table.dtype), "int32 (use block_table.to(torch.int32))");
  }
  if (table.Dim() != 2) Fail(op, "block_table", "has the wrong number of dimensions", table.sizes, "(B, max blocks)");
  if (!call.kv_lens && !call.kv_lens_tensor) {
    Fail(op, call.names.kv_lens, "is missing", "None", "one length per sequence, since block_table is given");
  }
  for (const auto& [name, padding] : {std::pair{"query_padding_size", &call.query_padding_size},
                                      std::pair{"kv_padding_size", &call.kv_padding_size}}) {
    if (*padding) Fail(op, name, "does not go with a paged cache", "a tensor", "None, since block_table is given");
  }
  spec->block_size = Int(call.block_size);
  spec->cache = PagedLayout(call, "key", call.key, spec->q_layout, spec->kv_heads);
  spec->num_blocks = call.key.Size(0);
  RequireHeadDim(call, "key", Unpacked(*spec, PagedChannels(call.key, spec->cache, spec->kv_heads)), spec->head_dim);
  RequireSameCache(call, "value", call.value, *spec);
  spec->stored_value_dim = Unpacked(*spec, PagedChannels(call.value, spec->cache, spec->kv_heads));
  spec->value_dim = call.value_head_size > 0 ? Int(call.value_head_size) : spec->stored_value_dim;
  RequireValueDim(call, spec->value_dim, spec->head_dim);
  spec->kv_tokens = table.Size(1) * spec->block_size;
}

template <class Int>
void DescribeSharedPrefix(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const auto& k = call.key_shared_prefix;
  const auto& v = call.value_shared_prefix;
  if (k.defined != v.defined) {
    Fail(op, k ? "value_shared_prefix" : "key_shared_prefix", "is missing", "None",
         "key_shared_prefix and value_shared_prefix together");
  }
  if (!k) {
    if (call.actual_shared_prefix_len) {
      Fail(op, "actual_shared_prefix_len", "is given without key_shared_prefix", *call.actual_shared_prefix_len,
           "None");
    }
    return;
  }
  const char* alone = "None together with key_shared_prefix";
  if (spec->IsPackedBatch())
    Fail(op, "key_shared_prefix", "does not go with a packed layout", call.input_layout, "BSH, BSND or BNSD");
  if (call.block_table) Fail(op, "block_table", "does not go with a shared prefix", "a tensor", alone);
  if (call.query_padding_size) Fail(op, "query_padding_size", "does not go with a shared prefix", "a tensor", alone);
  if (call.kv_padding_size) Fail(op, "kv_padding_size", "does not go with a shared prefix", "a tensor", alone);
  if (call.query_rope) Fail(op, "query_rope", "does not go with a shared prefix", "a tensor", alone);
  RequireDType(op, "key_shared_prefix", k, {call.key.dtype});
  RequireDType(op, "value_shared_prefix", v, {call.value.dtype});
  const Extents<Int> kx = ReadExtents(call, "key_shared_prefix", k, spec->q_layout, spec->kv_heads);
  const Extents<Int> vx = ReadExtents(call, "value_shared_prefix", v, spec->q_layout, spec->kv_heads);
  auto check = [&](const char* name, const TensorDesc<Int>& t, const Extents<Int>& x, const Int& channels) {
    if (KnownNe(x.batch, Int(1))) Fail(op, name, "has a batch size other than 1", t.sizes, "batch size 1");
    if (KnownNe(x.heads, spec->kv_heads) || KnownNe(Unpacked(*spec, x.channels), channels)) {
      Fail(op, name, "differs from the cache in heads or head size", t.sizes,
           Show(spec->kv_heads) + " heads of " + Show(channels));
    }
  };
  check("key_shared_prefix", k, kx, spec->head_dim);
  check("value_shared_prefix", v, vx, spec->value_dim);
  if (KnownNe(vx.tokens, kx.tokens)) {
    Fail(op, "value_shared_prefix", "differs from key_shared_prefix in length", vx.tokens, Show(kx.tokens));
  }
  spec->prefix_tokens = kx.tokens;
  if (!call.actual_shared_prefix_len) return;
  const auto& len = *call.actual_shared_prefix_len;
  if (len.size() != 1) Fail(op, "actual_shared_prefix_len", "has the wrong number of entries", len, "1 entry");
  if (KnownLt(len[0], Int(0)) || KnownLt(kx.tokens, len[0])) {
    Fail(op, "actual_shared_prefix_len", "is out of range", len[0], "0.." + Show(kx.tokens));
  }
  spec->prefix_tokens = len[0];
}

template <class Int>
void DescribeRope(const AttentionCall<Int>& call, const Extents<Int>& q, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const auto& qr = call.query_rope;
  const auto& kr = call.key_rope;
  if (qr.defined != kr.defined) {
    Fail(op, qr ? "key_rope" : "query_rope", "is missing", "None", "query_rope and key_rope together");
  }
  if (!qr) return;
  if (spec->quant.int8_products) Fail(op, "query_rope", "does not go with an int8 query", "a tensor", "None");
  if (spec->quant.quantised_query) {
    RequireDType(op, "query_rope", qr, {DType::kFloat16, DType::kBFloat16});
  } else {
    RequireDType(op, "query_rope", qr, {spec->dtype});
  }
  RequireDType(op, "key_rope", kr, {spec->float_dtype});
  const Extents<Int> qx = ReadExtents(call, "query_rope", qr, spec->q_layout, spec->heads, false);
  if (KnownNe(qx.batch, q.batch) || KnownNe(qx.tokens, q.tokens) || KnownNe(qx.heads, q.heads)) {
    Fail(op, "query_rope", "differs from query in more than the head size", qr.sizes,
         "the other sizes of " + Show(call.query.sizes));
  }
  Int channels(0);
  if (spec->cache == CacheLayout::kNone) {
    const Extents<Int> kx = ReadExtents(call, "key_rope", kr, spec->q_layout, spec->kv_heads);
    if (KnownNe(kx.batch, q.batch) || KnownNe(kx.tokens, spec->kv_tokens) || KnownNe(kx.heads, spec->kv_heads)) {
      Fail(op, "key_rope", "differs from key in more than the head size", kr.sizes,
           "the other sizes of " + Show(call.key.sizes));
    }
    channels = kx.channels;
  } else {
    RequireSameCache(call, "key_rope", kr, *spec);
    channels = PagedChannels(kr, spec->cache, spec->kv_heads);
  }
  if (KnownLt(qx.channels, Int(1)) || KnownNe(qx.channels, channels)) {
    Fail(op, "key_rope", "differs from query_rope in head size", channels, Show(qx.channels));
  }
  spec->rope_dim = channels;
}

}  // namespace npufa
