// Types and tiling that the operators on paged caches share.
#pragma once

#include "../../op_kernel/tiling/paged_rows_tiling.h"
#include "../common/paged_rows.h"
#include "../operator/plain_operator.h"

namespace npufa {

// Each with slots or block ids of two types.
inline const Types& MovableTypes() {
  static const Types types{ge::DT_FLOAT16, ge::DT_BF16,  ge::DT_FLOAT,         ge::DT_INT8,       ge::DT_UINT8,
                           ge::DT_INT16,   ge::DT_INT32, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E5M2};
  return types;
}

inline PagedRowsTiling TilePagedRows(const PagedRows<std::int64_t>& rows) {
  PagedRowsTiling tiling;
  tiling.rowBytes = rows.row * rows.element_bytes;
  tiling.chunkBytes = rows.chunk * rows.element_bytes;
  tiling.blockBytes = rows.block_size * tiling.rowBytes * rows.block_step;
  tiling.pieceBytes = std::min(tiling.rowBytes, ROW_BUFFER_BYTES);
  return tiling;
}

}  // namespace npufa
