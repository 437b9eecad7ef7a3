// Generated bias -slope |j - i| or -slope sqrt(|j - i|) (ALiBi, arXiv 2108.12409).
#pragma once

#include "../call/schedule.h"
#include "../tiles/row_ops.h"

namespace npufa {

class Alibi {
 public:
  // Tiles have up to `columns` columns.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR slopes, uint32_t columns) {
    tiling_ = &tiling;
    slopes_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(slopes));
    pipe.InitBuffer(columns_, columns * sizeof(float));
    pipe.InitBuffer(distances_, columns * sizeof(float));
    AscendC::LocalTensor<float> indices = columns_.Get<float>();
    AscendC::CreateVecIndex(indices, 0.0f, columns);
    AscendC::PipeBarrier<PIPE_V>();
    slopeOf_ = NO_SLOPE;
  }

  // Adds to the scores of rows [row, row + rows) of the step's tile.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& scores, const Step& step, uint32_t row, uint32_t rows,
                               uint32_t pitch) {
    const Tile& tile = step.tile;
    const AscendC::LocalTensor<float> distances = distances_.Get<float>();
    const int32_t count = static_cast<int32_t>(pitch);
    for (uint32_t r = row; r < row + rows; ++r) {
      const uint32_t head = tile.head + (tile.rowsAreHeads ? r : 0);
      const uint32_t token = tile.firstRow + (tile.rowsAreHeads ? 0 : r);
      const int64_t first = static_cast<int64_t>(step.firstKey) + Distance(tile.sequence) - token;
      AscendC::Adds(distances, columns_.Get<float>(), static_cast<float>(first), count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Abs(distances, distances, count);
      AscendC::PipeBarrier<PIPE_V>();
      if (tiling_->biasKind == BIAS_SQUARE_ROOT) {
        AscendC::Sqrt(distances, distances, count);
        AscendC::PipeBarrier<PIPE_V>();
      }
      AscendC::Axpy(scores[(r - row) * pitch], distances, -Slope(tile.sequence.batch, head), count);
      AscendC::PipeBarrier<PIPE_V>();
    }
  }

 private:
  static constexpr uint64_t NO_SLOPE = ~static_cast<uint64_t>(0);

  // Of the first key of a sequence from its first row.
  __aicore__ inline int64_t Distance(const Sequence& sequence) const {
    if (tiling_->biasFromEnd == 0) return tiling_->biasDistance;
    return static_cast<int64_t>(sequence.qLength) - sequence.kvLength;
  }

  // Reading a number from global memory is slow: neighbours ask for the same one.
  __aicore__ inline float Slope(uint32_t batch, uint32_t head) {
    const uint64_t index = batch * tiling_->bias.batch + head;
    if (index != slopeOf_) {
      slopeOf_ = index;
      slope_ = slopes_.GetValue(index);
    }
    return slope_;
  }

  const ForwardTiling* tiling_;
  AscendC::GlobalTensor<float> slopes_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> columns_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> distances_;
  uint64_t slopeOf_;
  float slope_;
};

}  // namespace npufa
