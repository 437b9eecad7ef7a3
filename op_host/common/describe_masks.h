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

// One query token per sequence outside packed layouts and without rope: fused_infer's decode branch, and incre.
template <class Int>
bool IsDecode(const AttentionSpec<Int>& spec, OpKind kind) {
  if (kind == OpKind::kIncre) return true;
  return kind == OpKind::kFusedInfer && !spec.IsPackedBatch() && KnownEq(spec.q_tokens, Int(1)) &&
         KnownEq(spec.rope_dim, Int(0));
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

// A full mask: the last two axes cover rows and columns, leading axes are (B or 1), (1 or N).
template <class Int>
void CheckFullMask(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec, bool decode) {
  const auto& t = call.atten_mask;
  const ScoreExtents<Int> x = ScoreExtentsOf(spec);
  const std::string expected =
      decode ? "(B, Skv) or broadcastable, Skv = " + ScoreExtents<Int>::Text(x.columns)
             : "(Sq,Skv), (B or 1,Sq,Skv) or (B or 1,1 or N,Sq,Skv) with Sq >= " + ScoreExtents<Int>::Text(x.rows) +
                   ", Skv >= " + ScoreExtents<Int>::Text(x.columns);
  const bool per_batch = decode && t.Dim() <= 2;
  bool legal = t.Dim() >= (decode ? 1 : 2) && t.Dim() <= 4 && ScoreExtents<Int>::Fits(t.Size(-1), x.columns);
  if (legal && per_batch && t.Dim() == 2) legal = IsOneOr(t.Size(0), spec.batch);
  if (legal && !per_batch) legal = ScoreExtents<Int>::Fits(t.Size(-2), x.rows);
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
  if (call.sparse_mode >= kVarlenRightDown && !spec.IsPackedBatch()) {
    Fail(call.op, "sparse_mode", "needs input_layout TND", call.sparse_mode, "0..6 for " + call.input_layout);
  }
}

template <class Int>
void CheckPrefixLengths(const AttentionCall<Int>& call, const AttentionSpec<Int>& spec, bool required) {
  if (!call.prefix) {
    if (required) Fail(call.op, "prefix", "is missing", "None", "one prefix length per sequence for sparse_mode " + std::to_string(call.sparse_mode));
    return;
  }
  const auto& list = *call.prefix;
  const Int count(static_cast<std::int64_t>(list.size()));
  if (KnownNe(count, spec.batch)) Fail(call.op, "prefix", "has the wrong number of entries", list.size(), Show(spec.batch));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Int& most = spec.IsPackedBatch() && !spec.LengthsOnDevice() ? spec.kv_lens[i] : spec.kv_tokens;
    if (KnownLt(list[i], Int(0)) || KnownLt(most, list[i])) Fail(call.op, "prefix", "is out of range", list[i], "0.." + Show(most));
  }
}

template <class Int>
void DescribeMask(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const auto& t = call.atten_mask;
  CheckModeAllowed(call, *spec);
  if (t) {
    if (call.IsInference()) {
      RequireDType(call.op, "atten_mask", t, {DType::kBool, DType::kUInt8, DType::kInt8});
    } else {
      RequireDType(call.op, "atten_mask", t, {DType::kBool, DType::kUInt8});
    }
  }
  const bool decode = IsDecode(*spec, call.kind);
  const std::int64_t mode = call.sparse_mode;
  const bool causal_mode = mode == kLeftUpCausal || mode == kRightDownCausal || mode == kBand || mode >= kVarlenRightDown;
  spec->rule = {mode, call.pre_tokens, call.next_tokens, false};
  if (decode) {
    const bool unread = t && causal_mode && IsCompressedMask(t, kCompressedMask) &&
                        !(t.Dim() == 2 && KnownEq(spec->batch, Int(kCompressedMask)));
    spec->rule.mode = kAllMask;
    spec->rule.dense_mask = t.defined && !unread;
    if (spec->rule.dense_mask) CheckFullMask(call, *spec, true);
    return;
  }
  if (mode == kAllMask && !t) Fail(call.op, "atten_mask", "is missing", "None", "a full mask for sparse_mode 1");
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
  if (!t) Fail(call.op, call.names.pse, "is missing", "None", "the slopes of pse_type " + std::to_string(call.pse_type));
  RequireDType(call.op, call.names.pse, t, {DType::kFloat32});
  const bool legal = (t.Dim() == 1 && !KnownNe(t.Size(0), spec->heads)) ||
                     (t.Dim() == 2 && IsOneOr(t.Size(0), spec->batch) && !KnownNe(t.Size(1), spec->heads));
  if (!legal) Fail(call.op, call.names.pse, "has the wrong shape for slopes", t.sizes, "(N,) or (B,N), N = " + Show(spec->heads));
  spec->pse = PseForm::kSlopes;
}

// Compressed ALiBi needs a causal call: every kept pair then lies in what the stored rows cover.
template <class Int>
bool IsCausalCall(const AttentionSpec<Int>& spec) {
  const SparseRule& r = spec.rule;
  return r.dense_mask || r.mode == kLeftUpCausal || r.mode == kRightDownCausal || r.mode >= kVarlenRightDown ||
         (r.mode == kBand && r.next <= 0);
}

template <class Int>
bool AnyBeyond(const std::vector<Int>& extents, std::int64_t limit) {
  for (const Int& e : extents) {
    if (KnownLt(Int(limit), e)) return true;
  }
  return false;
}

template <class Int>
void DescribePse(const AttentionCall<Int>& call, AttentionSpec<Int>* spec) {
  const char* op = call.op;
  const char* name = call.names.pse;
  if (call.pse_type < 0 || call.pse_type > 3) Fail(op, "pse_type", "is unknown", call.pse_type, "0..3");
  const bool slopes = !call.IsInference() && call.pse_type >= 2;
  spec->pse_type = call.IsInference() ? 0 : call.pse_type;
  for (const auto& [arg, list] : {std::pair{"q_start_idx", &call.q_start_idx}, std::pair{"kv_start_idx", &call.kv_start_idx}}) {
    if (*list && (*list)->size() != 1) Fail(op, arg, "has the wrong number of entries", (*list)->size(), "1");
  }
  if (slopes) return DescribeSlopes(call, spec);
  const auto& t = call.pse;
  if (!t) return;
  RequireDType(op, name, t, {spec->dtype == DType::kInt8 ? DType::kFloat16 : spec->dtype});
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
