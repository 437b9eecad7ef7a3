// What the host tells the gather kernel about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include "paged_rows_tiling.h"

namespace npufa {

struct GatherTiling {
  int64_t tokens;  // that the result has room for
  int64_t sequences;
  int64_t blocks;  // of the cache
  int64_t blockSize;
  int64_t tableColumns;
  int64_t indexBytes;  // 4 or 8: of block ids, lengths and offsets
  int64_t hasOffsets;  // 0 or 1
  int64_t cumulative;  // 0 or 1: lengths count from the first sequence on, and begin with 0
  PagedRowsTiling side[2];
};

}  // namespace npufa
