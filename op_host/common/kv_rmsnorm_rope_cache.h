// Arguments of npu_kv_rmsnorm_rope_cache (SPEC section 9b), and their checks.
#pragma once

#include "paged_rows.h"

namespace npufa {

template <class Int>
struct KvRmsnormRopeCall {
  const char* op;
  TensorDesc<Int> kv;
  Int tokens, sequence_tokens;
  TensorDesc<Int> v;  // with it kv holds keys alone: normalised as a whole, then turned in their first columns
  Int norm_columns, rope_columns;
  PagedRows<Int> rope, norm;  // of k_cache and ckv_cache
  bool rope_quantised, norm_quantised;
  bool index_per_block = false;    // one index for each block of a sequence
  bool index_in_sequence = false;  // caches are (B, 1, L, D), and an index counts within a sequence's L
  bool returns_rows;
  double epsilon;
};

struct LatentMode {
  const char* name;
  CacheForm form;
  bool per_block, in_sequence;
};

inline const LatentMode& LatentModeOf(const char* op, const std::string& name) {
  static constexpr LatentMode kModes[] = {
      {"Norm", CacheForm::kNorm, false, true},        {"PA", CacheForm::kNorm, false, false},
      {"PA_BNSD", CacheForm::kNorm, false, false},    {"PA_NZ", CacheForm::kNz, false, false},
      {"PA_BLK_BNSD", CacheForm::kNorm, true, false}, {"PA_BLK_NZ", CacheForm::kNz, true, false}};
  for (const LatentMode& mode : kModes) {
    if (name == mode.name) return mode;
  }
  Fail(op, "cache_mode", "is unknown", name,
       "\"Norm\", \"PA\", \"PA_BNSD\", \"PA_NZ\", \"PA_BLK_BNSD\" or \"PA_BLK_NZ\"");
}

// A cache of `columns` per token: (blocks, block_size, 1, columns), in NZ the same with rows cut into chunks; without
// blocks (B, 1, L, columns).
template <class Int>
PagedRows<Int> DescribeLatentCache(const char* op, const char* name, const TensorDesc<Int>& cache, const Int& columns,
                                   const LatentMode& mode, const Int& sequences, std::int64_t step) {
  PagedRows<Int> rows;
  rows.blocks = cache.Dim() > 0 ? cache.Size(0) : Int(0);
  SetBlockStep(step, &rows);
  const std::int64_t one = mode.in_sequence ? 1 : 2;
  const bool fits = cache.Dim() == 4 && !KnownNe(cache.Size(one), Int(1)) && !KnownNe(cache.Size(3), columns) &&
                    (!mode.in_sequence || !KnownNe(rows.blocks, sequences));
  if (!fits) {
    Fail(op, name, "has the wrong shape", cache.sizes,
         (mode.in_sequence ? "(" + Show(sequences) + ", 1, length, " : "(blocks, block_size, 1, ") + Show(columns) +
             ") for cache_mode " + mode.name);
  }
  rows.form = mode.form;
  rows.block_size = mode.in_sequence ? cache.Size(2) : cache.Size(1);
  rows.row = columns;
  rows.element_bytes = SizeOf(cache.dtype);
  rows.chunk = mode.form == CacheForm::kNz ? Int(kChunkBytes / rows.element_bytes) : columns;
  if (KnownNe(Int(rows.row % rows.chunk), Int(0))) {
    Fail(op, name, "has rows that cannot be cut", columns,
         "a multiple of " + Show(rows.chunk) + " for cache_mode " + mode.name);
  }
  return rows;
}

// A cache and the names of what it is quantised with.
struct LatentNames {
  const char *cache, *scale, *offset;
};

inline constexpr LatentNames kRopeNames{"k_cache", "k_rope_scale", "k_rope_offset"};
inline constexpr LatentNames kNormNames{"ckv_cache", "c_kv_scale", "c_kv_offset"};

// The type of kv, or int8 with a scale for each column, and perhaps an offset.
template <class Int, class Reader>
bool RequireLatentTypes(const Reader& a, const LatentNames& names, DType dtype, const Int& columns) {
  const TensorDesc<Int> scale = a.template Desc<Int>(names.scale), offset = a.template Desc<Int>(names.offset);
  RequireDType(a.Op(), names.cache, a.template Desc<Int>(names.cache), {scale ? DType::kInt8 : dtype});
  if (offset && !scale) {
    Fail(a.Op(), names.offset, std::string("is given without ") + names.scale, "a tensor", "None, or both");
  }
  for (const auto& [name, values] : {std::pair{names.scale, &scale}, std::pair{names.offset, &offset}}) {
    if (!*values) continue;
    RequireDType(a.Op(), name, *values, {DType::kFloat32});
    if (!SameSizes(*values, {columns})) {
      Fail(a.Op(), name, "has the wrong shape", values->sizes,
           Show(std::vector<Int>{columns}) + ": a number for each column");
    }
  }
  return scale.defined;
}

// Normalised and turned columns of the rows of kv.
template <class Int>
void SetColumns(const TensorDesc<Int>& gamma, const TensorDesc<Int>& cosines, KvRmsnormRopeCall<Int>* call) {
  const TensorDesc<Int>&kv = call->kv, &v = call->v;
  call->norm_columns = gamma.Size(0);
  call->rope_columns = v ? cosines.Size(-1) : Int(kv.Size(3) - call->norm_columns);
  if (v) {
    RequireDType(call->op, "v", v, {kv.dtype});
    const std::vector<Int> sizes = {kv.Size(0), Int(1), kv.Size(2)};
    bool fits = v.Dim() == 4;
    for (std::int64_t axis = 0; fits && axis < 3; ++axis) fits = !KnownNe(v.Size(axis), sizes[axis]);
    if (!fits) {
      Fail(call->op, "v", "has the wrong shape", v.sizes,
           "(" + Show(kv.Size(0)) + ", 1, " + Show(kv.Size(2)) + ", columns)");
    }
    if (KnownNe(call->norm_columns, kv.Size(3))) {
      Fail(call->op, "gamma", "has the wrong shape", gamma.sizes,
           Show(std::vector<Int>{kv.Size(3)}) + ": with v all columns of kv");
    }
  }
  const Int& rope = call->rope_columns;
  const bool legal = !KnownLt(rope, Int(2)) && !KnownNe(Int(rope % Int(2)), Int(0));
  if (v && (!legal || KnownLt(kv.Size(3), rope))) {
    Fail(call->op, "cos", "has the wrong number of columns", rope, "an even number up to " + Show(kv.Size(3)));
  }
  if (!legal) {
    Fail(call->op, "kv", "has the wrong number of columns", kv.Size(3),
         Show(call->norm_columns) + " of gamma and an even number of rotated ones");
  }
}

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
KvRmsnormRopeCall<Int> ReadKvRmsnormRope(const Reader& a) {
  const char* op = a.Op();
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  const TensorDesc<Int> kv = desc("kv"), gamma = desc("gamma"), index = desc("index");
  const LatentMode& mode = LatentModeOf(op, a.Text("cache_mode"));
  RequireDType(op, "kv", kv, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (kv.Dim() != 4 || KnownNe(kv.Size(1), Int(1))) {
    Fail(op, "kv", "has the wrong shape", kv.sizes, "(B, 1, S, normalised + rotated columns)");
  }
  RequireDType(op, "gamma", gamma, {kv.dtype});
  if (gamma.Dim() != 1) Fail(op, "gamma", "has the wrong number of dimensions", gamma.sizes, "1");
  for (const char* name : {"cos", "sin"}) {
    RequireDType(op, name, desc(name), {kv.dtype});
    if (desc(name).Dim() != 4) Fail(op, name, "has the wrong number of dimensions", desc(name).sizes, "4");
  }
  KvRmsnormRopeCall<Int> call{op,
                              kv,
                              kv.Size(0) * kv.Size(2),
                              kv.Size(2),
                              desc("v"),
                              Int(0),
                              Int(0),
                              {},
                              {},
                              false,
                              false,
                              mode.per_block,
                              mode.in_sequence,
                              a.Flag("is_output_kv"),
                              a.Number("epsilon")};
  SetColumns(gamma, desc("cos"), &call);
  for (const char* name : {"cos", "sin"}) {
    const std::vector<Int> sizes = {kv.Size(0), Int(1), kv.Size(2), call.rope_columns};
    if (!SameSizes(desc(name), sizes)) Fail(op, name, "has the wrong shape", desc(name).sizes, Show(sizes));
  }
  const Int rope_columns = call.v ? call.norm_columns : call.rope_columns;
  const Int norm_columns = call.v ? call.v.Size(3) : call.norm_columns;
  const TensorDesc<Int> rope_cache = desc("k_cache"), norm_cache = desc("ckv_cache");
  call.rope_quantised = RequireLatentTypes<Int>(a, kRopeNames, kv.dtype, rope_columns);
  call.norm_quantised = RequireLatentTypes<Int>(a, kNormNames, kv.dtype, norm_columns);
  call.rope = DescribeLatentCache(op, "k_cache", rope_cache, rope_columns, mode, kv.Size(0), a.Integer("k_block_step"));
  call.norm =
      DescribeLatentCache(op, "ckv_cache", norm_cache, norm_columns, mode, kv.Size(0), a.Integer("ckv_block_step"));
  RequireSameBlocks(op, "ckv_cache", norm_cache, call.norm, "k_cache", call.rope);
  RequireDType(op, "index", index, {DType::kInt64});
  std::vector<Int> entries = {call.tokens};
  if (mode.in_sequence) entries = {kv.Size(0), kv.Size(2)};
  if (mode.per_block) entries = {kv.Size(0) * ((kv.Size(2) + call.rope.block_size - Int(1)) / call.rope.block_size)};
  if (!SameSizes(index, entries)) {
    Fail(op, "index", "has the wrong shape", index.sizes, Show(entries) + " for cache_mode " + mode.name);
  }
  if (!(call.epsilon >= 0.0)) Fail(op, "epsilon", "is negative", call.epsilon, "a number of at least 0");
  return call;
}

}  // namespace npufa
