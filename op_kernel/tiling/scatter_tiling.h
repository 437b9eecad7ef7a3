// What the host tells the scatter kernel about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include "paged_rows_tiling.h"

namespace npufa {

struct ScatterTiling {
  int64_t tokens;
  int64_t slots;  // of the cache
  int64_t blockSize;
  int64_t slotBytes;  // 4 or 8: of an entry of the mapping
  int64_t sides;      // 1 or 2
  PagedRowsTiling side[2];
};

}  // namespace npufa
