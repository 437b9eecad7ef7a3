#include "decode_worker.h"

#include <algorithm>

namespace npufa::cpu {

namespace {

// Rows up to which re-reading cached tiles for every few rows is cheaper than packing them.
constexpr std::int64_t kFloat32Rows = 8;

std::int64_t PadTo(std::int64_t n, std::int64_t lane) { return (n + lane - 1) / lane * lane; }

}  // namespace

DecodeWorker::Products DecodeWorker::ProductsFor(const Problem& p, const Primitives& prim) {
  constexpr std::int64_t kMaxFixedChannels = 512;
  if (p.Quantised()) {
    const bool integers = p.int4_cache || p.kv_dtype == DType::kInt8;
    const bool fits = p.head_dim <= kMaxFixedChannels && p.value_dim <= kMaxFixedChannels;
    // 16 bits of the query are more than a 16-bit type has, but not all of a float32.
    return integers && fits && p.dtype != DType::kFloat32 && prim.dot_rows_int8 ? Products::kInt8 : Products::kFloat32;
  }
  const bool bf16 = p.dtype == DType::kBFloat16 && p.kv_dtype == DType::kBFloat16;
  return bf16 && prim.dot_rows_bf16 ? Products::kBFloat16 : Products::kFloat32;
}

DecodeWorker::DecodeWorker(const Problem& p, const Primitives& prim)
    : p_(p), prim_(prim), products_(ProductsFor(p, prim)), key_scales_(p.key, p.key_antiquant, p.head_dim),
      value_scales_(p.value, p.value_antiquant, p.value_dim), nz_keys_(p.key, p.head_dim * SizeOf(p.kv_dtype)),
      nz_values_(p.value, p.value_dim * SizeOf(p.kv_dtype)), query_ld_(PadTo(p.head_dim, kFixedLane)) {}

bool DecodeWorker::Takes(const RowRange& rows) const {
  return p_.rope_dim == 0 && rows.Count() <= (products_ == Products::kFloat32 ? kFloat32Rows : kMaxRows);
}

void DecodeWorker::Allocate() {
  if (query_.data() != nullptr || query16_.data() != nullptr) return;
  if (products_ == Products::kBFloat16) return query16_.Resize(kMaxRows * query_ld_);
  query_.Resize(kMaxRows * query_ld_);
  if (products_ == Products::kInt8) {
    query_high_.Resize(kMaxRows * query_ld_);
    query_low_.Resize(kMaxRows * query_ld_);
  }
  if (p_.int4_cache) unpacked_.Resize(kTileKeys * std::max(p_.head_dim, p_.value_dim));
}

void DecodeWorker::Run(const RowRange& rows, std::int64_t key_begin, std::int64_t key_end, float* acc,
                       std::int64_t acc_ld, float* max, float* sum) {
  Allocate();
  LoadQuery(rows);
  for (std::int64_t first = key_begin; first < key_end; first += kTileKeys) {
    const std::int64_t keys = std::min(kTileKeys, key_end - first);
    window_.Classify(rows, first, keys);
    if (window_.kind == TileKind::kSkipped) continue;
    Locate(rows, first, keys, key_end);
    Score(rows);
    Softmax(rows, max, sum, acc, acc_ld);
    Accumulate(rows, acc, acc_ld);
  }
  if (value_scales_.Any() && !value_scales_.PerToken()) {
    value_scales_.ScaleSums(*rows.sequence, rows.kv_head, rows.Count(), acc, acc_ld, sum);
  }
}

void DecodeWorker::LoadQuery(const RowRange& rows) {
  const void* pointers[kMaxRows];
  RowPointers(p_, p_.query, rows, pointers);
  if (products_ == Products::kBFloat16) {
    prim_.pack_bf16(pointers, p_.dtype, rows.Count(), p_.head_dim, {query16_.data(), query_ld_});
    return;
  }
  prim_.pack_f32(pointers, p_.dtype, rows.Count(), p_.head_dim, query_.data(), query_ld_);
  if (p_.QuantisedQuery()) ScaleQuery(p_, rows, p_.head_dim, query_.data(), query_ld_);
  if (key_scales_.Any()) {
    key_scales_.ScaleQuery(*rows.sequence, rows.kv_head, rows.Count(), query_.data(), query_ld_, shift_);
  }
  if (products_ == Products::kInt8) {
    prim_.fixed_rows(rows.Count(), p_.head_dim, query_.data(), query_ld_, query_high_.data(), query_low_.data(),
                     query_ld_, unit_);
  }
}

void DecodeWorker::Locate(const RowRange& rows, std::int64_t first, std::int64_t keys, std::int64_t key_end) {
  const Sequence& s = *rows.sequence;
  tile_.first = first;
  tile_.keys = keys;
  p_.key.Pointers(s, rows.kv_head, first, keys, tile_.key);
  p_.value.Pointers(s, rows.kv_head, first, keys, tile_.value);
  // Values are read behind the keys, and then the keys of the next tile.
  const std::int64_t next = std::min(kRowsAhead, key_end - first - keys);
  p_.key.Pointers(s, rows.kv_head, first + keys, next, tile_.value + keys);
  std::fill_n(tile_.value + keys + next, kRowsAhead - next, tile_.value[keys + next - 1]);
  const std::int64_t values = std::min(kRowsAhead, keys);
  std::copy_n(tile_.value, values, tile_.key + keys);
  std::fill_n(tile_.key + keys + values, kRowsAhead - values, tile_.value[values - 1]);
  nz_keys_.Join(keys, tile_.key);
  nz_values_.Join(keys, tile_.value);
}

DType DecodeWorker::Prepare(const void** rows, std::int64_t channels) {
  if (!p_.int4_cache) return p_.kv_dtype;
  prim_.unpack_int4(tile_.keys, channels, rows, unpacked_.data());
  for (std::int64_t j = 0; j < tile_.keys; ++j) rows[j] = unpacked_.data() + j * channels;
  return DType::kInt8;
}

void DecodeWorker::Score(const RowRange& rows) {
  const std::int64_t m = rows.Count(), n = tile_.keys, d = p_.head_dim;
  const DType dtype = Prepare(tile_.key, d);
  if (products_ == Products::kBFloat16) {
    prim_.dot_rows_bf16(m, n, d, query16_.data(), query_ld_, tile_.key, scores_, kScoreLd);
  } else if (products_ == Products::kInt8) {
    prim_.dot_rows_int8(m, n, d, query_high_.data(), query_low_.data(), query_ld_, unit_, tile_.key, scores_, kScoreLd);
  } else {
    prim_.dot_rows(m, n, d, query_.data(), query_ld_, tile_.key, dtype, scores_, kScoreLd);
  }
  if (!key_scales_.Any()) return;
  key_scales_.ScaleScores(*rows.sequence, rows.kv_head, tile_.first, n, m, scores_, kScoreLd, shift_);
}

// Probabilities replace the scores, or go to p16_; accumulators follow the new maxima.
void DecodeWorker::Softmax(const RowRange& rows, float* max, float* sum, float* acc, std::int64_t acc_ld) {
  const std::int64_t m = rows.Count(), n = tile_.keys;
  const bool bf16 = products_ == Products::kBFloat16;
  const bool direct = bf16 && !p_.dropout.active;
  float correction[kMaxRows];
  const float scale = CapBiasAndMask(p_, prim_, rows, tile_.first, n, scores_, kScoreLd);
  prim_.softmax_rows(m, n, scores_, kScoreLd, window_.Rows(), scale, max, sum, correction,
                     direct ? Bf16Planes{p16_, kScoreLd} : Bf16Planes{});
  if (p_.dropout.active) ApplyDropout(p_, prim_, rows, tile_.first, n, scores_, kScoreLd);
  if (p_.quantised_products) {
    for (std::int64_t i = 0; i < m; ++i) prim_.quantize_row(n, scores_ + i * kScoreLd, p_.p_scale);
  }
  if (bf16 && !direct) prim_.round_bf16(m, PadLane(n), scores_, kScoreLd, {p16_, kScoreLd});
  if (std::any_of(correction, correction + m, [](float c) { return c != 1.0f; })) {
    prim_.scale_rows(m, acc_ld, acc, acc_ld, correction);
  }
  if (value_scales_.PerToken()) {
    value_scales_.ScaleProbabilities(*rows.sequence, rows.kv_head, tile_.first, n, m, scores_, kScoreLd, acc, acc_ld);
  }
}

void DecodeWorker::Accumulate(const RowRange& rows, float* acc, std::int64_t acc_ld) {
  const std::int64_t m = rows.Count(), n = tile_.keys, d = p_.value_dim;
  const DType dtype = Prepare(tile_.value, d);
  if (products_ == Products::kBFloat16) {
    prim_.accumulate_rows_bf16(m, n, d, p16_, kScoreLd, tile_.value, acc, acc_ld);
  } else if (products_ == Products::kInt8) {
    prim_.accumulate_rows_int8(m, n, d, scores_, kScoreLd, tile_.value, acc, acc_ld);
  } else {
    prim_.accumulate_rows(m, n, d, scores_, kScoreLd, tile_.value, dtype, acc, acc_ld);
  }
}

}  // namespace npufa::cpu
