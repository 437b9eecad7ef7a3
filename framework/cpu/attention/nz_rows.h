// Rows of an NZ cache copied together: they lie in pieces of 32 bytes, each among those of the block's other tokens.
#pragma once

#include <algorithm>
#include <cstring>

#include "buffer.h"
#include "problem.h"

namespace npufa::cpu {

class NzRows {
 public:
  NzRows(const RowSource& source, std::int64_t row_bytes) : source_(source), pieces_(row_bytes / kPiece) {}

  // From pointers to the first pieces of rows to pointers to rows, good until the next call. Rows of other caches stay
  // where they are.
  void Join(std::int64_t count, const void** rows) {
    if (source_.piece_distance == 0) return;
    if (count > capacity_) joined_.Resize(count * pieces_ * kPiece);
    capacity_ = std::max(capacity_, count);
    char* row = joined_.data();
    for (std::int64_t j = 0; j < count; ++j, row += pieces_ * kPiece) {
      const char* piece = static_cast<const char*>(rows[j]);
      for (std::int64_t i = 0; i < pieces_; ++i) {
        std::memcpy(row + i * kPiece, piece + i * source_.piece_distance, kPiece);
      }
      rows[j] = row;
    }
  }

 private:
  static constexpr std::int64_t kPiece = 32;

  const RowSource& source_;
  std::int64_t pieces_, capacity_ = 0;
  Buffer<char> joined_;
};

}  // namespace npufa::cpu
