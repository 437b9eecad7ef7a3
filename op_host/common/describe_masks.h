// atten_mask, pse and the sparse modes (SPEC sections 3 and 4).
#pragma once

#include <string_view>

#include "attention_spec.h"

namespace npufa {

// Query and key extents that masks and biases are compared with: padded sizes, or the longest sequence of a packed batch.
template <class Int>
struct ScoreExtents {
  std::vector<Int> rows, columns;  // every entry must fit; none where only the device knows the lengths

  static bool Fits(const Int& got, const std::vector<Int>& needed) {
    for (const Int& n : needed) {
      if (KnownLt(got, n)) return false;
    }
    return true;
  }
  static std::string Text(const std::vector<Int>& needed) {
    return needed.empty() ? "that of the longest sequence" : Show(needed);
  }
};

template <class Int>
ScoreExtents<Int> ScoreExtentsOf(const AttentionSpec<Int>& spec) {
  if (!spec.IsPackedBatch()) return {{spec.q_tokens}, {spec.prefix_tokens + spec.kv_tokens}};
  if (spec.cache != CacheLayout::kNone) return {spec.q_lens, {spec.kv_tokens}};
  return {spec.q_lens, spec.kv_lens};
}

// One query token per sequence outside packed layouts, where masks may be (B,Skv): fused_infer's decode branch, and incre.
template <class Int>
bool IsDecode(const AttentionSpec<Int>& spec, OpKind kind) {
  if (kind == OpKind::kIncre) return true;
  return kind == OpKind::kFusedInfer && !spec.IsPackedBatch() && KnownEq(spec.q_tokens, Int(1));
}

template <class Int>
bool IsCompressedMask(const TensorDesc<Int>& t, std::int64_t rows) {
  if (t.Dim() < 2 || t.Dim() > 4) return false;
  for (std::int64_t i = 0; i + 2 < t.Dim(); ++i) {
    if (!KnownEq(t.Size(i), Int(1))) return false;
  }
  return KnownEq(t.Size(-2), Int(rows)) && KnownEq(t.Size(-1), Int(kCompressedMask));
}

template <class Int>
bool IsOneOr(const Int& got, const Int& other) {
  return KnownEq(got, Int(1)) || !KnownNe(got, other);
}

template <class Int>
void CheckMaskType(const AttentionCall<Int>& call) {
  const DType dtype = call.atten_mask.dtype;
  if (dtype == DType::kBool || dtype == DType::kUInt8 || (call.IsInference() && dtype == DType::kInt8)) return;
  const std::string types = call.IsInference() ? "bool, uint8 or int8" : "bool or uint8";
  const bool additive = IsFloating(dtype) || dtype == DType::kFloat64;
  const std::string fix = additive
                              ? std::string("an additive mask goes into ") + call.names.pse + ", or becomes mask < 0"
                              : "mask != 0 makes one";
  Fail(call.op, "atten_mask", "has the wrong dtype", NameOf(dtype),
       types + " where 1 means masked out, the opposite of scaled_dot_product_attention's (" + fix + ")");
}

// (B,Skv) where (Sq,Skv) is meant to be: at more than one row, the first axis of two is that of the rows.
template <class Int>
void RefuseKeyPaddingMask(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec,
                          const std::vector<Int>& rows) {
  const auto& t = call.atten_mask;
  if (t.Dim() != 2 || rows.empty() || KnownEq(t.Size(0), Int(1)) || !KnownEq(t.Size(0), spec.batch)) return;
  for (const Int& n : rows) {
    if (!KnownNe(n, t.Size(0))) return;
  }
  Fail(call.op, "atten_mask", "has the batch size where the rows of the query belong", t.sizes,
       spec.IsPackedBatch() ? std::string("(maxSq,maxSkv)")
                            : "mask[:, None, None, :] of shape (B,1,1,Skv) for a mask of keys, or (Sq,Skv)");
}

// A full mask: the last two axes cover rows (or are one row for all) and columns, leading axes are (B or 1), (1 or N).
template <class Int>
void CheckFullMask(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec, bool decode) {
  const auto& t = call.atten_mask;
  const ScoreExtents<Int> x = ScoreExtentsOf(spec);
  const std::string expected = decode
                                   ? "(B, Skv) or broadcastable, Skv = " + ScoreExtents<Int>::Text(x.columns)
                                   : "(Sq,Skv), (B,Sq,Skv) or (B,N,Sq,Skv), every axis but the last 1 or Sq >= " +
                                         ScoreExtents<Int>::Text(x.rows) + ", B = " + Show(spec.batch) +
                                         ", N = " + Show(spec.heads) + "; Skv >= " + ScoreExtents<Int>::Text(x.columns);
  const bool per_batch = decode && t.Dim() <= 2;
  if (!decode) RefuseKeyPaddingMask(call, spec, x.rows);
  bool legal = t.Dim() >= (decode ? 1 : 2) && t.Dim() <= 4 && ScoreExtents<Int>::Fits(t.Size(-1), x.columns);
  if (legal && per_batch && t.Dim() == 2) legal = IsOneOr(t.Size(0), spec.batch);
  if (legal && !per_batch) legal = KnownEq(t.Size(-2), Int(1)) || ScoreExtents<Int>::Fits(t.Size(-2), x.rows);
  if (legal && t.Dim() >= 3) {
    legal = IsOneOr(t.Size(0), spec.IsPackedBatch() ? Int(1) : spec.batch);
  }
  if (legal && t.Dim() == 4) legal = IsOneOr(t.Size(1), spec.IsPackedBatch() ? Int(1) : spec.heads);
  if (!legal) Fail(call.op, "atten_mask", "has the wrong shape", t.sizes, expected);
}

template <class Int>
void CheckModeAllowed(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec) {
  const std::int64_t most = call.IsInference() ? kBand : kVarlenLeftUp;
  if (call.sparse_mode < 0 || call.sparse_mode > most) {
    Fail(call.op, "sparse_mode", "is not supported", call.sparse_mode, "0.." + std::to_string(most));
  }
  if (call.sparse_mode == kPrefix && spec.IsPackedBatch()) {
    Fail(call.op, "sparse_mode", "5 does not go with input_layout TND", call.sparse_mode, "6 (prefix, compressed)");
  }
  if (OfPackedBatch(call.sparse_mode) && !spec.IsPackedBatch()) {
    Fail(call.op, "sparse_mode", "needs input_layout TND", call.sparse_mode, "0..6 for " + call.input_layout);
  }
}

template <class Int>
void CheckPrefixLengths(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec, bool required) {
  if (!call.prefix) {
    if (required)
      Fail(call.op, "prefix", "is missing", "None",
           "one prefix length per sequence for sparse_mode " + std::to_string(call.sparse_mode));
    return;
  }
  const auto& list = *call.prefix;
  const Int count(static_cast<std::int64_t>(list.size()));
  if (KnownNe(count, spec.batch))
    Fail(call.op, "prefix", "has the wrong number of entries", list.size(), Show(spec.batch));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Int& most = spec.IsPackedBatch() && !spec.LengthsOnDevice() ? spec.kv_lens[i] : spec.kv_tokens;
    if (KnownLt(list[i], Int(0)) || KnownLt(most, list[i]))
      Fail(call.op, "prefix", "is out of range", list[i], "0.." + Show(most));
  }
}

// One row: a mask of its keys rules alone; without one the mode's rule does, but for mode 2, whose single key nobody means.
template <class Int>
void DescribeDecodeMask(const AttentionCall<Int>& call, bool causal_mode, AttentionSpec<Int>* spec) {
  const auto& t = call.atten_mask;
  const bool compressed = t.defined && causal_mode && IsCompressedMask(t, kCompressedMask);
  if (compressed && t.Dim() == 2 && KnownEq(spec->batch, Int(kCompressedMask))) {
    Fail(call.op, "atten_mask",
         "has two readings, the compressed mask of sparse_mode " + std::to_string(call.sparse_mode) + " and (B,Skv)",
         t.sizes, "None for the mode's rule, or mask[:, None] of shape (B,1,Skv) for a mask of keys");
  }
  if (t && !compressed) {
    CheckFullMask(call, *spec, true);
    spec->rule.mode = kAllMask;
    spec->rule.dense_mask = true;
  } else if (call.sparse_mode == kLeftUpCausal) {
    spec->rule.mode = kAllMask;
  }
}

template <class Int>
void DescribeMask(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const auto& t = call.atten_mask;
  CheckModeAllowed(call, *spec);
  if (t) CheckMaskType(call);
  const std::int64_t mode = call.sparse_mode;
  const bool causal_mode = TakesTriangle(mode);
  spec->rule = {mode, call.pre_tokens, call.next_tokens, false};
  if (IsDecode(*spec, call.kind)) return DescribeDecodeMask(call, causal_mode, spec);
  const bool prefix_mode = mode == kPrefix || mode == kPrefixCompressed;
  const bool full = t.defined && (mode == kDefaultMask || mode == kAllMask || mode == kPrefix);
  if (prefix_mode) CheckPrefixLengths(call, *spec, !full);
  if (full) {
    CheckFullMask(call, *spec, false);
    spec->rule.dense_mask = true;
  } else if (t && causal_mode && !IsCompressedMask(t, kCompressedMask)) {
    Fail(call.op, "atten_mask", "is not the compressed mask of sparse_mode " + std::to_string(mode), t.sizes,
         "(2048,2048), (1,2048,2048), (1,1,2048,2048), or None");
  } else if (t && mode == kPrefixCompressed && !IsCompressedMask(t, kCompressedPrefixMaskRows)) {
    Fail(call.op, "atten_mask", "is not the compressed mask of sparse_mode 6", t.sizes, "(3072,2048) or None");
  }
}

template <class Int>
void DescribeSlopes(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const auto& t = call.pse;
  if (!t)
    Fail(call.op, call.names.pse, "is missing", "None", "the slopes of pse_type " + std::to_string(call.pse_type));
  RequireDType(call.op, call.names.pse, t, {DType::kFloat32});
  const bool legal = (t.Dim() == 1 && !KnownNe(t.Size(0), spec->heads)) ||
                     (t.Dim() == 2 && IsOneOr(t.Size(0), spec->batch) && !KnownNe(t.Size(1), spec->heads));
  if (!legal)
    Fail(call.op, call.names.pse, "has the wrong shape for slopes", t.sizes,
         std::string("(N,) or (B,N), N = ") + call.names.heads + " = " + Show(spec->heads));
  spec->pse = PseForm::kSlopes;
}

// Compressed ALiBi needs a causal call: every kept pair then lies in what the stored rows cover.
template <class Int>
bool IsCausalCall(const AttentionSpec<Int>& spec) {
  const SparseRule& r = spec.rule;
  return r.dense_mask || (TakesTriangle(r.mode) && (r.mode != kBand || r.next <= 0));
}

template <class Int>
bool AnyBeyond(const std::vector<Int>& extents, std::int64_t limit) {
  for (const Int& e : extents) {
    if (KnownLt(Int(limit), e)) return true;
  }
  return false;
}

// Lengths that only the device knows are bounded by the bias itself.
template <class Int>
void DescribePseOfKeys(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const auto& t = call.pse;
  const bool of_tokens = call.pse_layout == kPseOfTokens;
  const std::vector<Int> rows = of_tokens || !spec->IsPackedBatch() ? std::vector<Int>{spec->q_tokens} : spec->q_lens;
  const bool legal = t.Dim() == 4 && IsOneOr(t.Size(0), of_tokens ? Int(1) : spec->batch) &&
                     IsOneOr(t.Size(1), spec->heads) && ScoreExtents<Int>::Fits(t.Size(3), spec->kv_lens) &&
                     (KnownEq(t.Size(2), Int(1)) || ScoreExtents<Int>::Fits(t.Size(2), rows));
  if (!legal) {
    Fail(call.op, call.names.pse, "has the wrong shape", t.sizes,
         "(B or 1, N or 1, rows, columns) with B = " + Show(spec->batch) + ", N = " + Show(spec->heads) +
             ", rows >= " + ScoreExtents<Int>::Text(rows) + ", columns >= " + ScoreExtents<Int>::Text(spec->kv_lens));
  }
  spec->pse = PseForm::kFull;
}

template <class Int>
void DescribePse(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const char* name = call.names.pse;
  if (call.pse_type < 0 || call.pse_type > 3) Fail(op, "pse_type", "is unknown", call.pse_type, "0..3");
  spec->pse_from_end = call.pse_layout >= kPseSlopes;
  spec->pse_type = !call.IsInference() ? call.pse_type : spec->pse_from_end ? call.pse_layout - kPseSlopes + 2 : 0;
  for (const auto& [arg, list] :
       {std::pair{"q_start_idx", &call.q_start_idx}, std::pair{"kv_start_idx", &call.kv_start_idx}}) {
    if (*list && (*list)->size() != 1) Fail(op, arg, "has the wrong number of entries", (*list)->size(), "1");
  }
  if (spec->pse_type >= 2) return DescribeSlopes(call, spec);
  const auto& t = call.pse;
  if (!t) return;
  RequireDType(op, name, t, {spec->float_dtype});
  if (call.pse_layout != kPsePerHead) return DescribePseOfKeys(call, spec);
  const ScoreExtents<Int> x = ScoreExtentsOf(*spec);
  const bool head_ok = t.Dim() == 4 && IsOneOr(t.Size(0), spec->batch) && !KnownNe(t.Size(1), spec->heads) &&
                       ScoreExtents<Int>::Fits(t.Size(3), x.columns);
  if (head_ok) {
    if (KnownEq(t.Size(2), Int(1)) || ScoreExtents<Int>::Fits(t.Size(2), x.rows)) {
      spec->pse = PseForm::kFull;
      return;
    }
    const bool square = spec->IsPackedBatch() || !KnownNe(spec->q_tokens, spec->prefix_tokens + spec->kv_tokens);
    if (KnownEq(t.Size(2), Int(kAlibiRows)) && AnyBeyond(x.rows, kAlibiRows) && square && IsCausalCall(*spec)) {
      spec->pse = PseForm::kCompressed;
      return;
    }
  }
  Fail(op, name, "has the wrong shape", t.sizes,
       "(B or 1, N, Sq or 1, Skv) with N = " + Show(spec->heads) + ", Sq >= " + ScoreExtents<Int>::Text(x.rows) +
           ", Skv >= " + ScoreExtents<Int>::Text(x.columns) +
           ", or (B or 1, N, 1024, Skv) for a causal call with Sq = Skv > 1024");
}

}  // namespace npufa
