// Online softmax of the rows of one vector core (Milakov and Gimelshein, arXiv 1805.02867): running maximum and sum per
// row, and the factor by which a step's new maximum rescales what was accumulated before.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "../tiles/row_ops.h"

namespace npufa {

constexpr uint32_t MAX_CORE_ROWS = CUBE_BLOCK / 2;
constexpr float LOWEST = -3.402823466e38f;  // maximum of a row without keys

class OnlineSoftmax {
 public:
  // `chunkFloats`: the largest tile given to Update.
  __aicore__ inline void Init(AscendC::TPipe& pipe, uint32_t chunkFloats) {
    pipe.InitBuffer(statistics_, STATISTICS * MAX_CORE_ROWS * sizeof(float));
    pipe.InitBuffer(blocks_, MAX_CORE_ROWS * BLOCK_BYTES);
    pipe.InitBuffer(partial_, PartialFloats(chunkFloats) * sizeof(float));
    // Statistics are processed in whole blocks of eight rows.
    AscendC::Duplicate(statistics_.Get<float>(), 0.0f, STATISTICS * MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Turns scores of rows [row, row + rows) of this core into exp(score - maximum) in place. `pitch` floats per row, all
  // in use. Masked scores are -infinity.
  __aicore__ inline void Update(const AscendC::LocalTensor<float>& tile, uint32_t row, uint32_t rows, uint32_t pitch,
                                bool firstStep, uint32_t tileNumber, uint32_t slot) {
    const uint32_t count = AlignUp(rows, FLOATS_PER_BLOCK);
    const AscendC::LocalTensor<float> maximum = Maximum(tileNumber, row);
    const AscendC::LocalTensor<float> sum = Sum(tileNumber, row);
    const AscendC::LocalTensor<float> rescale = Statistic(RESCALE + slot, row);
    const AscendC::LocalTensor<float> current = Statistic(CURRENT, 0);
    const AscendC::LocalTensor<float> blocks = blocks_.Get<float>();
    const AscendC::LocalTensor<float> partial = partial_.Get<float>();

    ReduceRows<MaximumOf>(current, tile, partial, rows, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    if (firstStep) {
      // A finite floor: rows of only -infinity give exp(-infinity) = 0 instead of NaN.
      AscendC::Maxs(maximum, current, LOWEST, count);
      AscendC::PipeBarrier<PIPE_V>();
    } else {
      AscendC::Max(current, maximum, current, count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Sub(rescale, maximum, current, count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Muls(maximum, current, 1.0f, count);
      AscendC::Exp(rescale, rescale, count);
      AscendC::PipeBarrier<PIPE_V>();
    }
    BroadcastRows(blocks, maximum, rows);
    AscendC::PipeBarrier<PIPE_V>();
    SubtractRows(tile, blocks, rows, pitch, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(tile, tile, rows * pitch);
    AscendC::PipeBarrier<PIPE_V>();
    ReduceRows<SumOf>(firstStep ? sum : current, tile, partial, rows, pitch);
    if (firstStep) return;
    AscendC::Mul(sum, sum, rescale, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(sum, sum, current, count);
  }

  // Factors (blocks of eight per row) for what was accumulated before the step in `slot`.
  __aicore__ inline AscendC::LocalTensor<float> RescaleBlocks(uint32_t row, uint32_t rows, uint32_t slot) {
    return Broadcast(Statistic(RESCALE + slot, row), rows);
  }

  // Maxima and sums of a tile, LOWEST and 0 for rows without keys.
  __aicore__ inline AscendC::LocalTensor<float> Maximum(uint32_t tileNumber, uint32_t row) {
    return Statistic(MAXIMUM + tileNumber % PIPELINE_SLOTS, row);
  }
  __aicore__ inline AscendC::LocalTensor<float> Sum(uint32_t tileNumber, uint32_t row) {
    return Statistic(SUM + tileNumber % PIPELINE_SLOTS, row);
  }

 private:
  // Rows of the statistics buffer.
  static constexpr uint32_t CURRENT = 0;
  static constexpr uint32_t MAXIMUM = 1;
  static constexpr uint32_t SUM = MAXIMUM + PIPELINE_SLOTS;
  static constexpr uint32_t RESCALE = SUM + PIPELINE_SLOTS;
  static constexpr uint32_t STATISTICS = RESCALE + PIPELINE_SLOTS;

  __aicore__ inline AscendC::LocalTensor<float> Statistic(uint32_t which, uint32_t row) {
    return statistics_.Get<float>()[which * MAX_CORE_ROWS + row];
  }

  __aicore__ inline AscendC::LocalTensor<float> Broadcast(const AscendC::LocalTensor<float>& values, uint32_t rows) {
    const AscendC::LocalTensor<float> blocks = blocks_.Get<float>();
    BroadcastRows(blocks, values, rows);
    AscendC::PipeBarrier<PIPE_V>();
    return blocks;
  }

  AscendC::TBuf<AscendC::TPosition::VECCALC> statistics_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> partial_;
};

}  // namespace npufa
