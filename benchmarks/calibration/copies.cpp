// GM to UB and GM to L1, tile by tile, nothing else: what the transfers of a core cost.
#include "kernel_operator.h"

using namespace AscendC;

enum Order : uint32_t {
  OWN_ROWS,      // each core its own share of the rows, `passes` times
  QUARTERS,      // the same, a quarter of the columns at a time
  ALL_ROWS,      // every core all rows, in one order
  ALL_STAGGERED  // every core all rows, each beginning at another core's share
};

struct CopyTiling {
  uint32_t rows, columns;  // of the matrix of halves
  uint32_t tile_rows, tile_columns;
  uint32_t cores, order, passes, past_l2;
};

// Calls copy(first element, columns) for every tile in the order asked for.
template <class Copy>
__aicore__ inline void ForEachTile(const CopyTiling& t, Copy copy) {
  const uint32_t share = t.rows / t.cores, core = GetBlockIdx();
  const bool all = t.order == ALL_ROWS || t.order == ALL_STAGGERED;
  const uint32_t parts = t.order == QUARTERS ? 4 : 1, width = t.columns / parts;
  for (uint32_t part = 0; part < parts; ++part)
    for (uint32_t pass = 0; pass < t.passes; ++pass)
      for (uint32_t step = 0; step < (all ? t.cores : 1); ++step) {
        const uint32_t owner = !all ? core : t.order == ALL_ROWS ? step : (step + core) % t.cores;
        for (uint32_t row = owner * share; row < (owner + 1) * share; row += t.tile_rows)
          for (uint32_t at = 0; at < width; at += t.tile_columns) {
            const uint32_t columns = at + t.tile_columns > width ? width - at : t.tile_columns;
            copy(static_cast<uint64_t>(row) * t.columns + part * width + at, columns);
          }
      }
}

__aicore__ inline GlobalTensor<half> Matrix(GM_ADDR address, const CopyTiling& t) {
  GlobalTensor<half> matrix;
  matrix.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(address), static_cast<uint64_t>(t.rows) * t.columns);
  if (t.past_l2) matrix.SetL2CacheHint(CacheMode::CACHE_MODE_DISABLE);
  return matrix;
}

extern "C" __global__ __aicore__ void copies_to_ub(GM_ADDR source, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(CopyTiling, tiling, tiling_gm);
  const GlobalTensor<half> matrix = Matrix(source, tiling);
  const LocalTensor<half> tile(TPosition::VECIN, 0, tiling.tile_rows * tiling.tile_columns);
  ForEachTile(tiling, [&](uint64_t first, uint32_t columns) {
    const uint32_t bytes = columns * sizeof(half), pitch = tiling.columns * sizeof(half);
    DataCopyPad(tile, matrix[first], {static_cast<uint16_t>(tiling.tile_rows), bytes, pitch - bytes, 0, 0},
                DataCopyPadExtParams<half>());
  });
}

extern "C" __global__ __aicore__ void copies_to_l1(GM_ADDR source, GM_ADDR tiling_gm) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GET_TILING_DATA_WITH_STRUCT(CopyTiling, tiling, tiling_gm);
  if ASCEND_IS_AIC {
    const GlobalTensor<half> matrix = Matrix(source, tiling);
    const LocalTensor<half> tile(TPosition::A1, 0, tiling.tile_rows * tiling.tile_columns);
    Nd2NzParams nd;
    nd.ndNum = nd.dstNzNStride = 1;
    nd.srcNdMatrixStride = nd.dstNzMatrixStride = 0;
    nd.nValue = tiling.tile_rows;
    nd.dstNzC0Stride = (tiling.tile_rows + 15) / 16 * 16;
    nd.srcDValue = tiling.columns;
    ForEachTile(tiling, [&](uint64_t first, uint32_t columns) {
      nd.dValue = columns;
      DataCopy(tile, matrix[first], nd);
    });
  }
}
