// How rows of tokens lie in a paged cache, in bytes. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

// Bytes of rows that a core holds in each of its two buffers.
constexpr int64_t ROW_BUFFER_BYTES = 65536;
// Slots or block ids that a core holds at a time.
constexpr int64_t ROW_SLOTS = 1024;

struct PagedRowsTiling {
  int64_t rowBytes;
  int64_t pieceBytes;  // of a row that move together: the row, unless it is too long
  int64_t chunkBytes;  // that lie together in the cache: the row, or the last extent of form NZ
  int64_t blockBytes;
};

}  // namespace npufa
