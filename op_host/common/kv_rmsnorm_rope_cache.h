// Arguments of npu_kv_rmsnorm_rope_cache (SPEC section 9b), and their checks.
#pragma once

#include "paged_rows.h"

namespace npufa {

template <class Int>
struct KvRmsnormRopeCall {
  const char* op;
  TensorDesc<Int> kv;
  Int tokens, sequence_tokens;
  PagedRows<Int> rope, norm;
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
  static constexpr LatentMode kModes[] = {{"Norm", CacheForm::kNorm, false, true},
                                          {"PA", CacheForm::kNorm, false, false},
                                          {"PA_BNSD", CacheForm::kNorm, false, false},
                                          {"PA_NZ", CacheForm::kNz, false, false},
                                          {"PA_BLK_BNSD", CacheForm::kNorm, true, false},
                                          {"PA_BLK_NZ", CacheForm::kNz, true, false}};
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
                                   const LatentMode& mode, const Int& sequences) {
  const std::int64_t one = mode.in_sequence ? 1 : 2;
  const bool fits = cache.Dim() == 4 && !KnownNe(cache.Size(one), Int(1)) && !KnownNe(cache.Size(3), columns) &&
                    (!mode.in_sequence || !KnownNe(cache.Size(0), sequences));
  if (!fits) {
    Fail(op, name, "has the wrong shape", cache.sizes,
         (mode.in_sequence ? "(" + Show(sequences) + ", 1, length, " : "(blocks, block_size, 1, ") + Show(columns) +
             ") for cache_mode " + mode.name);
  }
  PagedRows<Int> rows;
  rows.form = mode.form;
  rows.blocks = cache.Size(0);
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

// The type of kv, or int8 with a scale for each column.
template <class Int>
bool RequireLatentTypes(const char* op, const char* name, const TensorDesc<Int>& cache, const char* scale_name,
                        const TensorDesc<Int>& scale, DType dtype, const Int& columns) {
  RequireDType(op, name, cache, {scale ? DType::kInt8 : dtype});
  if (!scale) return false;
  RequireDType(op, scale_name, scale, {DType::kFloat32});
  if (!SameSizes(scale, {columns})) {
    Fail(op, scale_name, "has the wrong shape", scale.sizes,
         Show(std::vector<Int>{columns}) + ": a scale for each column");
  }
  return true;
}

// Reader: framework's Arguments, or NamedReader of a context of CANN.
template <class Int, class Reader>
KvRmsnormRopeCall<Int> ReadKvRmsnormRope(const Reader& a) {
  const char* op = a.Op();
  const auto desc = [&](const char* name) { return a.template Desc<Int>(name); };
  const TensorDesc<Int> kv = desc("kv"), gamma = desc("gamma"), cosines = desc("cos"), index = desc("index");
  const TensorDesc<Int> rope_cache = desc("k_cache"), norm_cache = desc("ckv_cache");
  for (const char* name : {"k_rope_offset", "c_kv_offset", "v"}) {
    if (desc(name)) Fail(op, name, "is not supported", "a tensor", "None");
  }
  const LatentMode& mode = LatentModeOf(op, a.Text("cache_mode"));
  RequireDType(op, "kv", kv, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (kv.Dim() != 4 || KnownNe(kv.Size(1), Int(1))) {
    Fail(op, "kv", "has the wrong shape", kv.sizes, "(B, 1, S, normalised + rotated columns)");
  }
  RequireDType(op, "gamma", gamma, {kv.dtype});
  if (gamma.Dim() != 1) Fail(op, "gamma", "has the wrong number of dimensions", gamma.sizes, "1");
  const Int norm_columns = gamma.Size(0), rope_columns = kv.Size(3) - norm_columns;
  if (KnownLt(rope_columns, Int(2)) || KnownNe(Int(rope_columns % Int(2)), Int(0))) {
    Fail(op, "kv", "has the wrong number of columns", kv.Size(3),
         Show(norm_columns) + " of gamma and an even number of rotated ones");
  }
  for (const char* name : {"cos", "sin"}) {
    RequireDType(op, name, desc(name), {kv.dtype});
    const std::vector<Int> sizes = {kv.Size(0), Int(1), kv.Size(2), rope_columns};
    if (!SameSizes(desc(name), sizes)) Fail(op, name, "has the wrong shape", desc(name).sizes, Show(sizes));
  }
  KvRmsnormRopeCall<Int> call{op, kv, kv.Size(0) * kv.Size(2), kv.Size(2), {}, {}, false, false, mode.per_block,
                              mode.in_sequence, a.Flag("is_output_kv"), a.Number("epsilon")};
  call.rope_quantised =
      RequireLatentTypes(op, "k_cache", rope_cache, "k_rope_scale", desc("k_rope_scale"), kv.dtype, rope_columns);
  call.norm_quantised =
      RequireLatentTypes(op, "ckv_cache", norm_cache, "c_kv_scale", desc("c_kv_scale"), kv.dtype, norm_columns);
  call.rope = DescribeLatentCache(op, "k_cache", rope_cache, rope_columns, mode, kv.Size(0));
  call.norm = DescribeLatentCache(op, "ckv_cache", norm_cache, norm_columns, mode, kv.Size(0));
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
