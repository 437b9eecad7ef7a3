// Attention of a few query rows, those of all heads of a group together, whose keys and values are read once where they
// lie: decode. Bound by memory, see docs/cpu_performance.md.
#pragma once

#include "cache_scales.h"

namespace npufa::cpu {

class DecodeWorker {
 public:
  DecodeWorker(const Problem& problem, const Primitives& primitives);

  // Whether reading once pays for so many rows.
  bool Takes(const RowRange& rows) const;
  // Unnormalised result of the rows over keys [key_begin, key_end): adds to acc, updates max and sum.
  void Run(const RowRange& rows, std::int64_t key_begin, std::int64_t key_end, float* acc, std::int64_t acc_ld,
           float* max, float* sum);

 private:
  enum class Products { kFloat32, kBFloat16, kInt8 };
  static constexpr std::int64_t kMaxRows = 16;
  static Products ProductsFor(const Problem& problem, const Primitives& primitives);

  // Pointers to the rows of a tile and to those read next.
  struct Tile {
    std::int64_t first = 0, keys = 0;
    const void* key[kTileKeys + kRowsAhead];
    const void* value[kTileKeys + kRowsAhead];
  };

  void Allocate();
  void LoadQuery(const RowRange& rows);
  void Locate(const RowRange& rows, std::int64_t first, std::int64_t keys, std::int64_t key_end);
  // The dtype of rows as the products take them; int4 rows are unpacked.
  DType Prepare(const void** rows, std::int64_t channels);
  void Score(const RowRange& rows);
  void Softmax(const RowRange& rows, float* max, float* sum, float* acc, std::int64_t acc_ld);
  void Accumulate(const RowRange& rows, float* acc, std::int64_t acc_ld);

  const Problem& p_;
  const Primitives& prim_;
  Products products_;
  CacheScales key_scales_, value_scales_;
  NzRows nz_keys_, nz_values_;
  std::int64_t query_ld_;
  TileWindow window_;
  Tile tile_;
  float shift_[kMaxRows], unit_[kMaxRows];
  alignas(64) float scores_[kMaxRows * kScoreLd];
  alignas(64) std::uint16_t p16_[kMaxRows * kScoreLd];
  Buffer<float> query_;
  Buffer<std::uint16_t> query16_;
  Buffer<std::int8_t> query_high_, query_low_, unpacked_;
};

}  // namespace npufa::cpu
