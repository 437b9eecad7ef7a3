// Rows of tokens to and from a paged cache on the CPU, as bytes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>

#include "ops/in_place.h"
#include "paged_rows.h"

namespace npufa::cpu {

class PagedRowsMove {
 public:
  // Both tensors are dense.
  PagedRowsMove(const at::Tensor& rows, const CacheMemory& cache, const PagedRows<std::int64_t>& paged)
      : rows_(static_cast<char*>(rows.data_ptr())), cache_(static_cast<char*>(cache.tensor.data_ptr())),
        row_(paged.row * paged.element_bytes), chunk_(paged.chunk * paged.element_bytes), block_size_(paged.block_size),
        block_(block_size_ * row_ * cache.block_step) {}

  void Store(std::int64_t token, std::int64_t slot) const {
    ForChunks(token, slot, [this](char* row, char* cache) { std::memcpy(cache, row, chunk_); });
  }
  void Load(std::int64_t token, std::int64_t slot) const {
    ForChunks(token, slot, [this](char* row, const char* cache) { std::memcpy(row, cache, chunk_); });
  }
  void Clear(std::int64_t token) const { std::memset(rows_ + token * row_, 0, row_); }

 private:
  template <class Move>
  void ForChunks(std::int64_t token, std::int64_t slot, const Move& move) const {
    char* row = rows_ + token * row_;
    char* cache = cache_ + slot / block_size_ * block_ + slot % block_size_ * chunk_;
    for (std::int64_t at = 0; at < row_; at += chunk_, cache += block_size_ * chunk_) move(row + at, cache);
  }

  char *rows_, *cache_;
  std::int64_t row_, chunk_, block_size_, block_;
};

}  // namespace npufa::cpu
