// Scales of a quantised query: a number per row of a tile, with which its scores are multiplied.
#pragma once

#include "../call/schedule.h"
#include "../softmax/softmax.h"
#include "../tiles/tile_copy.h"

namespace npufa {

class QueryScale {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR scale) {
    tiling_ = &tiling;
    scale_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(scale));
    pipe.InitBuffer(queue_, 1, MAX_CORE_ROWS * BLOCK_BYTES);
    pipe.InitBuffer(values_, MAX_CORE_ROWS * sizeof(float));
    pipe.InitBuffer(blocks_, MAX_CORE_ROWS * BLOCK_BYTES);
  }

  // Takes the scales of rows [row, row + rows) of a tile: this core's.
  __aicore__ inline void Load(const Tile& tile, uint32_t row, uint32_t rows) {
    if (rows == 0) return;
    AscendC::LocalTensor<float> raw = queue_.AllocTensor<float>();
    if (rows % FLOATS_PER_BLOCK != 0) {  // rows are taken eight at a time
      const uint32_t last = rows / FLOATS_PER_BLOCK * FLOATS_PER_REPEAT;
      AscendC::Duplicate(raw[last], 0.0f, static_cast<int32_t>(FLOATS_PER_REPEAT));
      OrderPipes<AscendC::HardEvent::V_MTE2>();
    }
    const uint64_t first = RowOffset(tiling_->queryScale, tile, tile.sequence.qFirst + tile.firstRow, row);
    LoadRows(raw, scale_[first], rows, 1u, RowDistance(tiling_->queryScale, tile), FLOATS_PER_BLOCK);
    queue_.EnQue(raw);
    raw = queue_.DeQue<float>();
    // A scale stands alone in its block of eight: the sum of the block is the scale.
    AscendC::BlockReduceSum(values_.Get<float>(), raw, static_cast<int32_t>(CeilDiv(rows, FLOATS_PER_BLOCK)),
                            static_cast<int32_t>(FLOATS_PER_REPEAT), 1, 1, static_cast<int32_t>(FLOATS_PER_BLOCK));
    AscendC::PipeBarrier<PIPE_V>();
    queue_.FreeTensor(raw);
    BroadcastRows(blocks_.Get<float>(), values_.Get<float>(), rows);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // scores of rows [row, row + rows) of this core, times their scales.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& scores, uint32_t row, uint32_t rows, uint32_t columns,
                               uint32_t pitch) {
    MultiplyRows(scores, blocks_.Get<float>()[row * FLOATS_PER_BLOCK], rows, columns, pitch);
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<float> scale_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> queue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> values_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
};

}  // namespace npufa
