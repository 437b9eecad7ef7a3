// Validation of a whole attention call: AttentionCall in, AttentionSpec out, or an ArgumentError that names the argument.
#pragma once

#include "describe_lengths.h"
#include "describe_masks.h"
#include "describe_shapes.h"
#include "quantised_query.h"

#include <cmath>
#include <type_traits>

namespace npufa {

inline constexpr std::string_view LayoutsOf(OpKind kind) {
  switch (kind) {
    case OpKind::kFusion: return "BSH SBH BSND BNSD TND";
    case OpKind::kPrompt: return "BSH BSND BNSD BNSD_BSND";
    case OpKind::kIncre: return "BSH BSND BNSD";
    case OpKind::kFusedInfer: return "BSH BSND BNSD TND NTD BNSD_BSND BSH_NBSD BSND_NBSD BNSD_NBSD TND_NTD NTD_TND";
  }
  return "";
}

constexpr std::int64_t MaxInnerPrecise(OpKind kind) {
  switch (kind) {
    case OpKind::kFusion: return 2;
    case OpKind::kIncre: return 1;
    default: return 3;
  }
}

// float32 neither overflows nor loses scores between these.
inline constexpr double kLeastSoftcap = 0x1p-100, kMostSoftcap = 0x1p100;

template <class Int>
void CheckSoftcap(const AttentionCall<Int>& call) {
  if (call.softcap == 0.0) return;
  if (!(call.softcap >= kLeastSoftcap && call.softcap <= kMostSoftcap)) {
    Fail(call.op, "softcap", "is out of range", call.softcap, "0.0 (off), or a cap from 2^-100 to 2^100");
  }
  if (call.query.dtype == DType::kInt8) {
    Fail(call.op, "softcap", "does not go with int8 products", call.softcap, "0.0 (off), or a float query");
  }
}

template <class Int>
void CheckNumbers(const AttentionCall<Int>& call) {
  if (call.padding_mask) Fail(call.op, "padding_mask", "is reserved", "a tensor", "None");
  if (call.key_rope_antiquant_scale) {
    Fail(call.op, call.names.key_rope_antiquant_scale, "is reserved", "a tensor", "None");
  }
  if (std::isnan(call.scale))
    Fail(call.op, call.names.scale, "is not a number", call.scale, "a number, 1/sqrt(D) by custom");
  CheckSoftcap(call);
  if (call.inner_precise < 0 || call.inner_precise > MaxInnerPrecise(call.kind)) {
    Fail(call.op, "inner_precise", "is unknown", call.inner_precise,
         "0.." + std::to_string(MaxInnerPrecise(call.kind)));
  }
}

template <class Int>
void DescribeTraining(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  if (!(call.keep_prob > 0.0 && call.keep_prob <= 1.0)) {
    Fail(call.op, "keep_prob", "is out of range", call.keep_prob, "a value in (0, 1]");
  }
  const bool packed_statistics = call.softmax_layout == "TND" && spec->IsPackedBatch();
  if (!call.softmax_layout.empty() && !packed_statistics) {
    Fail(call.op, "softmax_layout", "is not supported", call.softmax_layout, "\"\", or \"TND\" for input_layout TND");
  }
}

template <class Int>
void CheckSink(const AttentionCall<Int>& call, const Int& heads) {
  if (!call.sink) return;
  if (call.IsInference()) {
    RequireDType(call.op, call.names.sink, call.sink, {DType::kBFloat16, DType::kFloat16, DType::kFloat32});
  } else {
    RequireDType(call.op, call.names.sink, call.sink, {DType::kFloat32});
  }
  if (call.sink.Dim() != 1 || KnownNe(call.sink.Size(0), heads)) {
    Fail(call.op, call.names.sink, "has the wrong shape", call.sink.sizes,
         std::string("(N,), N = ") + call.names.heads + " = " + Show(heads));
  }
}

template <class Int>
DType OutputType(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  return call.quant_scale2 ? DType::kInt8 : spec.float_dtype;
}

template <class Int>
void DescribeInference(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  CheckQueryScale(call, *spec);
  CheckProductScales(call, spec->quant.int8_products);
  CheckOutputScale(call, spec->heads * spec->value_dim);
  const Int kv_tokens = spec->kv_tokens;
  const ScaleExtents<Int> extents{spec->batch, spec->kv_heads,   spec->head_dim,   spec->value_dim,
                                  kv_tokens,   spec->num_blocks, spec->block_size, spec->cache != CacheLayout::kNone};
  if (!spec->quant.quantised_query) DescribeAntiquant(call, extents, &spec->quant);
  spec->quant.int8_output = call.quant_scale2.defined;
  spec->out_dtype = OutputType(call, *spec);
  const bool per_token = spec->quant.key_scale >= ScaleAxis::kToken && spec->quant.key_scale != ScaleAxis::kHead;
  const bool value_per_token =
      spec->quant.value_scale >= ScaleAxis::kToken && spec->quant.value_scale != ScaleAxis::kHead;
  if (call.key_shared_prefix && (per_token || value_per_token)) {
    Fail(call.op, "key_shared_prefix", "does not go with antiquant scales per token", "a tensor",
         "None, or scales per tensor, channel or head");
  }
  if (spec->IsPackedBatch() && spec->cache == CacheLayout::kNone &&
      (spec->quant.key_scale == ScaleAxis::kTokenHead || per_token || value_per_token)) {
    Fail(call.op, call.antiquant_scale ? call.names.antiquant_scale : call.names.key_antiquant_scale,
         "per token does not go with a packed key", call.input_layout,
         "a paged cache, or scales per tensor, channel or head");
  }
}

// Number of scores N * sum(Lq * Lk), which is what the flat dropout mask covers.
template <class Int>
Int CountScores(const AttentionSpec<Int>& spec) {
  if (!spec.IsPackedBatch()) return spec.batch * spec.heads * spec.q_tokens * spec.kv_tokens;
  Int count(0);
  for (std::size_t i = 0; i < spec.q_lens.size(); ++i) count = count + spec.q_lens[i] * spec.kv_lens[i];
  return count * spec.heads;
}

// Scores are indexed with 64-bit integers throughout. Symbolic sizes are left to the call itself: a bound on a product
// of symbols would only burden the traced graph's guards.
template <class Int>
void CheckScoreCount(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  if constexpr (!std::is_same_v<Int, std::int64_t>) return;
  Int left(std::numeric_limits<std::int64_t>::max());
  for (const Int& factor : {spec.batch, spec.heads, spec.q_tokens, spec.prefix_tokens + spec.kv_tokens}) {
    if (!KnownLt(Int(0), factor)) return;
    left = left / factor;
    if (KnownLt(left, Int(1))) {
      Fail(call.op, "key", "makes more scores than a 64-bit index counts", call.key.sizes,
           "B*N*Sq*Skv below 2^63 with query " + Show(call.query.sizes));
    }
  }
}

template <class Int>
void CheckDropoutMask(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  if (!call.dropout_mask) return;
  RequireDType(call.op, "dropout_mask", call.dropout_mask, {DType::kUInt8});
  if (spec.IsPackedBatch() && spec.LengthsOnDevice()) return;
  const Int bytes = (CountScores(spec) + Int(7)) / Int(8);
  if (KnownLt(call.dropout_mask.Numel(), bytes)) {
    Fail(call.op, "dropout_mask", "is too short", call.dropout_mask.sizes, Show(bytes) + " bytes, one bit per score");
  }
}

template <class Int>
AttentionSpec<Int> Describe(const AttentionCall<Int>& call) {
  AttentionSpec<Int> spec;
  CheckNumbers(call);
  const LayoutPair& layouts = ParseLayout(call.op, call.input_layout, LayoutsOf(call.kind));
  spec.q_layout = layouts.input;
  spec.out_layout = layouts.output;
  const Extents<Int> q = DescribeQuery(call, &spec);
  DescribeCacheDType(call, &spec);
  spec.kv_heads = KeyHeads(call, spec);
  if (!call.IsInference()) RequireDivisibleHeads(call, spec.heads, spec.kv_heads, "key");
  if (call.block_table) {
    DescribePagedCache(call, &spec);
  } else {
    if (call.block_size < 0) Fail(call.op, "block_size", "is negative", call.block_size, "0 without block_table");
    DescribeContiguousCache(call, q, &spec);
  }
  spec.out_dtype = spec.dtype;
  DescribeSharedPrefix(call, &spec);
  DescribeRope(call, q, &spec);
  DescribeLengths(call, &spec);
  CheckScoreCount(call, spec);
  DescribeMask(call, &spec);
  DescribePse(call, &spec);
  CheckSink(call, spec.heads);
  if (call.IsInference()) {
    DescribeInference(call, &spec);
  } else {
    DescribeTraining(call, &spec);
    CheckDropoutMask(call, spec);
  }
  return spec;
}

}  // namespace npufa
