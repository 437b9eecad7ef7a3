// Rows of halves from one tensor to another, both with so many elements from row to row.
#include "attention/tiles/tile_copy.h"

struct RowCopyTiling {
  uint64_t pitch;
  uint32_t rows, columns;
};

extern "C" __global__ __aicore__ void row_copies(GM_ADDR source, GM_ADDR target, GM_ADDR tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GET_TILING_DATA_WITH_STRUCT(RowCopyTiling, given, tiling);
  AscendC::GlobalTensor<half> in, out;
  in.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(source));
  out.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(target));
  const uint32_t pitch = npufa::AlignUp(given.columns, 16);
  AscendC::TPipe pipe;
  AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, 1> queue;
  pipe.InitBuffer(queue, 1, given.rows * pitch * sizeof(half));
  AscendC::LocalTensor<half> rows = queue.AllocTensor<half>();
  npufa::LoadRows(rows, in, given.rows, given.columns, given.pitch, pitch);
  queue.EnQue(rows);
  rows = queue.DeQue<half>();
  npufa::StoreRows(out, rows, given.rows, given.columns, given.pitch, pitch);
  queue.FreeTensor(rows);
}
