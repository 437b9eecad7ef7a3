// Updates an attention and the statistics of its softmax by those over the keys of one more step of a ring.
#pragma once

#include "weighted_sum.h"

namespace npufa {

struct RingUpdateArguments {
  GM_ADDR output[2];  // of the steps before and of this one
  GM_ADDR maximum[2];
  GM_ADDR sum[2];
  GM_ADDR lengths;
  GM_ADDR newOutput;
  GM_ADDR newMaximum;
  GM_ADDR newSum;
};

// Statistics are blocks of eight equal floats per row throughout.
template <typename T>
class RingUpdate {
 public:
  __aicore__ inline void Run(const RingUpdateArguments& arguments, const RingUpdateTiling& tiling) {
    tiling_ = &tiling;
    arguments_ = &arguments;
    AscendC::TPipe pipe;
    pipe.InitBuffer(statisticQueue_, 2, MERGE_ROWS * BLOCK_BYTES);
    pipe.InitBuffer(outQueue_, 2, MERGE_ROWS * BLOCK_BYTES);
    pipe.InitBuffer(vectors_, VECTORS * MERGE_ROWS * BLOCK_BYTES);
    sum_.Init(pipe);
    if (tiling.hasLengths == 0) {
      for (uint64_t sequence = 0; sequence < tiling.sequences; ++sequence) {
        UpdateSequence(sequence * tiling.tokens * tiling.heads, sequence * tiling.sequenceOutput, tiling.tokens);
      }
      return;
    }
    // Tokens behind the last sequence count as one more.
    int64_t begin = 0;
    for (uint64_t sequence = 0; sequence <= tiling.sequences; ++sequence) {
      const int64_t tokens = static_cast<int64_t>(tiling.tokens);
      const int64_t end = sequence < tiling.sequences ? Min(End(sequence), tokens) : tokens;
      if (end <= begin) continue;
      UpdateSequence(begin * tiling.heads, begin * tiling.sequenceOutput, static_cast<uint64_t>(end - begin));
      begin = end;
    }
  }

 private:
  static constexpr float SMALLEST = 1.175494351e-38f;
  static constexpr float HUGE_FACTOR = 1e38f;
  static constexpr float NO_KEYS = 3.0e38f;
  static constexpr uint32_t MAXIMUM = 0;  // of each step
  static constexpr uint32_t SUM = 2;      // of each step
  static constexpr uint32_t LARGER = 4;
  static constexpr uint32_t TOTAL = 5;
  static constexpr uint32_t VALID = 6;
  static constexpr uint32_t VECTORS = 7;

  __aicore__ inline AscendC::LocalTensor<float> Vector(uint32_t index) {
    return vectors_.Get<float>()[index * MERGE_ROWS * FLOATS_PER_BLOCK];
  }

  __aicore__ inline int64_t End(uint64_t sequence) const {
    AscendC::GlobalTensor<int64_t> ends;
    ends.SetGlobalBuffer(reinterpret_cast<__gm__ int64_t*>(arguments_->lengths));
    return ends.GetValue(sequence);
  }

  // Rows of the statistics begin at `row`; the outputs of the first head at `output`. Cores take tiles in turn.
  __aicore__ inline void UpdateSequence(uint64_t row, uint64_t output, uint64_t tokens) {
    const uint64_t tilesPerHead = (tokens + tiling_->tileRows - 1) / tiling_->tileRows;
    const uint64_t core = static_cast<uint64_t>(AscendC::GetBlockIdx()), cores = AscendC::GetBlockNum();
    const uint64_t tiles = tilesPerHead * tiling_->heads;
    for (uint64_t tile = (core + cores - turn_ % cores) % cores; tile < tiles; tile += cores) {
      const uint64_t head = tile / tilesPerHead, first = tile % tilesPerHead * tiling_->tileRows;
      const uint32_t rows = static_cast<uint32_t>(Min(static_cast<uint64_t>(tiling_->tileRows), tokens - first));
      Update(row + head * tokens + first, output + head * tiling_->columns + first * tiling_->outputPitch, rows);
    }
    turn_ += tiles;
  }

  __aicore__ inline void Update(uint64_t row, uint64_t output, uint32_t rows) {
    MergeStatistics(row, rows);
    for (uint32_t column = 0; column < tiling_->columns; column += MERGE_COLUMNS) {
      sum_.Begin(rows, Min(MERGE_COLUMNS, tiling_->columns - column));
      for (uint32_t step = 0; step < 2; ++step) {
        sum_.Add(Output(arguments_->output[step])[output + column], tiling_->outputPitch, Vector(SUM + step));
      }
      sum_.Store(Output(arguments_->newOutput)[output + column], tiling_->outputPitch);
    }
  }

  // Leaves the weights of both steps in the place of their sums.
  __aicore__ inline void MergeStatistics(uint64_t row, uint32_t rows) {
    const int32_t count = static_cast<int32_t>(rows * FLOATS_PER_BLOCK);
    for (uint32_t step = 0; step < 2; ++step) {
      Load(Vector(MAXIMUM + step), arguments_->maximum[step], row, rows);
      Load(Vector(SUM + step), arguments_->sum[step], row, rows);
      MarkRowsWithoutKeys(Vector(MAXIMUM + step), Vector(SUM + step), count);
    }
    AscendC::Max(Vector(LARGER), Vector(MAXIMUM), Vector(MAXIMUM + 1), count);
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t step = 0; step < 2; ++step) {
      AscendC::Sub(Vector(MAXIMUM + step), Vector(MAXIMUM + step), Vector(LARGER), count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Exp(Vector(MAXIMUM + step), Vector(MAXIMUM + step), count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Mul(Vector(SUM + step), Vector(SUM + step), Vector(MAXIMUM + step), count);
    }
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(Vector(TOTAL), Vector(SUM), Vector(SUM + 1), count);
    AscendC::PipeBarrier<PIPE_V>();
    FindValid(Vector(TOTAL), count);
    AscendC::Mul(Vector(LARGER), Vector(LARGER), Vector(VALID), count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(Vector(LARGER), Vector(LARGER), 0.0f, count);  // -0 to 0
    AscendC::PipeBarrier<PIPE_V>();
    Store(arguments_->newMaximum, Vector(LARGER), row, rows);
    Store(arguments_->newSum, Vector(TOTAL), row, rows);
    AscendC::Maxs(Vector(TOTAL), Vector(TOTAL), SMALLEST, count);
    AscendC::PipeBarrier<PIPE_V>();
    for (uint32_t step = 0; step < 2; ++step) {
      AscendC::Div(Vector(SUM + step), Vector(SUM + step), Vector(TOTAL), count);
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  // 1 where a sum is positive, 0 where it is 0.
  __aicore__ inline void FindValid(const AscendC::LocalTensor<float>& sum, int32_t count) {
    AscendC::Muls(Vector(VALID), sum, HUGE_FACTOR, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mins(Vector(VALID), Vector(VALID), 1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Their maximum is 0; here it is to be smaller than any other.
  __aicore__ inline void MarkRowsWithoutKeys(const AscendC::LocalTensor<float>& maximum,
                                             const AscendC::LocalTensor<float>& sum, int32_t count) {
    FindValid(sum, count);
    AscendC::Mul(maximum, maximum, Vector(VALID), count);
    AscendC::Adds(Vector(VALID), Vector(VALID), -1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Muls(Vector(VALID), Vector(VALID), NO_KEYS, count);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(maximum, maximum, Vector(VALID), count);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline static AscendC::GlobalTensor<T> Output(GM_ADDR address) {
    AscendC::GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
    return tensor;
  }
  __aicore__ inline static AscendC::GlobalTensor<float> Statistic(GM_ADDR address, uint64_t row) {
    AscendC::GlobalTensor<float> tensor;
    tensor.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address));
    return tensor[row * FLOATS_PER_BLOCK];
  }

  __aicore__ inline void Load(const AscendC::LocalTensor<float>& result, GM_ADDR source, uint64_t row, uint32_t rows) {
    AscendC::LocalTensor<float> raw = statisticQueue_.AllocTensor<float>();
    AscendC::DataCopy(raw, Statistic(source, row), rows * FLOATS_PER_BLOCK);
    statisticQueue_.EnQue(raw);
    raw = statisticQueue_.DeQue<float>();
    Widen(result, raw, rows * FLOATS_PER_BLOCK);
    statisticQueue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Store(GM_ADDR target, const AscendC::LocalTensor<float>& values, uint64_t row, uint32_t rows) {
    AscendC::LocalTensor<float> out = outQueue_.AllocTensor<float>();
    Narrow(out, values, rows * FLOATS_PER_BLOCK);
    outQueue_.EnQue(out);
    out = outQueue_.DeQue<float>();
    AscendC::DataCopy(Statistic(target, row), out, rows * FLOATS_PER_BLOCK);
    outQueue_.FreeTensor(out);
  }

  const RingUpdateTiling* tiling_;
  const RingUpdateArguments* arguments_;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> statisticQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> vectors_;
  WeightedSum<T> sum_;
  uint64_t turn_ = 0;  // tiles of the sequences before
};

}  // namespace npufa
