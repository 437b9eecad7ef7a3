// Softmax statistics of finished rows: sink, the values that callers see, divisors.
#pragma once

#include "../call/schedule.h"
#include "../tiles/tile_copy.h"
#include "softmax.h"

namespace npufa {

class RowStatistics {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR softmaxMax, GM_ADDR softmaxSum,
                              GM_ADDR softmaxLse, GM_ADDR sink, NumberReader& reader) {
    tiling_ = &tiling;
    reader_ = &reader;
    sink_ = sink;
    max_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(softmaxMax));
    sum_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(softmaxSum));
    lse_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(softmaxLse));
    pipe.InitBuffer(vectors_, VECTORS * MAX_CORE_ROWS * sizeof(float));
    pipe.InitBuffer(blocks_, MAX_CORE_ROWS * BLOCK_BYTES);
    AscendC::Duplicate(vectors_.Get<float>(), 0.0f, VECTORS * MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Maximum and sum of `rows` rows. The sum of a row with keys is at least the 1 of its maximum, without it is 0.
  __aicore__ inline void Load(const AscendC::LocalTensor<float>& maximum, const AscendC::LocalTensor<float>& sum,
                              uint32_t rows) {
    const int32_t count = static_cast<int32_t>(AlignUp(rows, FLOATS_PER_BLOCK));
    AscendC::Muls(Vector(MAXIMUM), maximum, 1.0f, count);
    AscendC::Muls(Vector(SUM), sum, 1.0f, count);
    AscendC::PipeBarrier<PIPE_V>();
    FindValid();
  }
  __aicore__ inline void LoadEmpty() {
    AscendC::Duplicate(Vector(MAXIMUM), LOWEST, MAX_CORE_ROWS);
    AscendC::Duplicate(Vector(SUM), 0.0f, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    FindValid();
  }

  // Takes the logit of the sink into maximum and sum. Returns the factors (blocks) for what was accumulated.
  __aicore__ inline AscendC::LocalTensor<float> AddSink(const Tile& tile, uint32_t row, uint32_t rows) {
    const AscendC::LocalTensor<float> maximum = Vector(MAXIMUM), sum = Vector(SUM), sink = Vector(SINK);
    const AscendC::LocalTensor<float> larger = Vector(LARGER), factor = Vector(FACTOR);
    ReadSink(sink, tile, row, rows);
    AscendC::Max(larger, maximum, sink, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Sub(factor, maximum, larger, MAX_CORE_ROWS);
    AscendC::Sub(sink, sink, larger, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Exp(factor, factor, MAX_CORE_ROWS);
    AscendC::Exp(sink, sink, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Mul(sum, sum, factor, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(sum, sum, sink, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    WhereValid(sum, sum);
    WhereValid(maximum, larger);
    return Broadcast(factor, rows);
  }

  // What the call returns of them, for rows whose first lies at stored token `token`.
  template <typename OutQueue>
  __aicore__ inline void Store(const Tile& tile, uint32_t token, uint32_t row, uint32_t rows, OutQueue& outQueue) {
    if (tiling_->hasStatistics) {
      WhereValid(Vector(LARGER), Vector(MAXIMUM));
      StoreBlocks(max_, Vector(LARGER), tile, row, rows, outQueue);
      StoreBlocks(sum_, Vector(SUM), tile, row, rows, outQueue);
    }
    if (tiling_->hasLse) StoreLse(tile, token, row, rows, outQueue);
  }

  // Sums (blocks of eight per row), positive also for rows without keys.
  __aicore__ inline AscendC::LocalTensor<float> Divisors(uint32_t rows) {
    AscendC::Maxs(Vector(FACTOR), Vector(SUM), SMALLEST, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    return Broadcast(Vector(FACTOR), rows);
  }

  // 1 for rows with keys, 0 for others (blocks).
  __aicore__ inline AscendC::LocalTensor<float> Validity(uint32_t rows) { return Broadcast(Vector(VALID), rows); }

 private:
  static constexpr float SMALLEST = 1.175494351e-38f;
  static constexpr uint32_t MAXIMUM = 0;
  static constexpr uint32_t SUM = 1;
  static constexpr uint32_t SINK = 2;
  static constexpr uint32_t LARGER = 3;
  static constexpr uint32_t FACTOR = 4;
  static constexpr uint32_t VALID = 5;
  static constexpr uint32_t VECTORS = 6;

  __aicore__ inline AscendC::LocalTensor<float> Vector(uint32_t which) {
    return vectors_.Get<float>()[which * MAX_CORE_ROWS];
  }
  __aicore__ inline void FindValid() {
    AscendC::Mins(Vector(VALID), Vector(SUM), 1.0f, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }
  // values for rows with keys, 0 for others.
  __aicore__ inline void WhereValid(const AscendC::LocalTensor<float>& result,
                                    const AscendC::LocalTensor<float>& values) {
    AscendC::Mul(result, values, Vector(VALID), MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }
  __aicore__ inline AscendC::LocalTensor<float> Broadcast(const AscendC::LocalTensor<float>& values, uint32_t rows) {
    const AscendC::LocalTensor<float> blocks = blocks_.Get<float>();
    BroadcastRows(blocks, values, rows);
    AscendC::PipeBarrier<PIPE_V>();
    return blocks;
  }

  __aicore__ inline void ReadSink(const AscendC::LocalTensor<float>& sink, const Tile& tile, uint32_t row,
                                  uint32_t rows) {
    if (tile.rowsAreHeads) {
      reader_->Read(sink, sink_, tile.head + row, rows);
      return;
    }
    AscendC::GlobalTensor<float> values;
    values.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(sink_));
    AscendC::Duplicate(sink, values.GetValue(tile.head), MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Position of a row among all statistics, and the distance to the next row's.
  __aicore__ inline uint64_t Position(const Tile& tile, uint32_t row) const {
    const Sequence& s = tile.sequence;
    const uint64_t heads = tiling_->sequences.heads;
    const uint32_t head = tile.head + (tile.rowsAreHeads ? row : 0);
    const uint32_t token = tile.firstRow + (tile.rowsAreHeads ? 0 : row);
    if (!tiling_->sequences.packedQuery) return (s.batch * heads + head) * s.qStored + token;
    return tiling_->statisticsByToken ? (s.qFirst + token) * heads + head
                                      : s.qFirst * heads + static_cast<uint64_t>(head) * s.qStored + token;
  }
  __aicore__ inline uint64_t Distance(const Tile& tile) const {
    if (tiling_->statisticsByToken) return tile.rowsAreHeads ? 1 : tiling_->sequences.heads;
    return tile.rowsAreHeads ? tile.sequence.qStored : 1;
  }

  template <typename OutQueue>
  __aicore__ inline void StoreBlocks(const AscendC::GlobalTensor<float>& target,
                                     const AscendC::LocalTensor<float>& values, const Tile& tile, uint32_t row,
                                     uint32_t rows, OutQueue& outQueue) {
    AscendC::LocalTensor<float> blocks = outQueue.template AllocTensor<float>();
    BroadcastRows(blocks, values, rows);
    outQueue.EnQue(blocks);
    blocks = outQueue.template DeQue<float>();
    StoreRows(target[Position(tile, row) * STATISTIC_WIDTH], blocks, rows, STATISTIC_WIDTH,
              Distance(tile) * STATISTIC_WIDTH, STATISTIC_WIDTH);
    outQueue.FreeTensor(blocks);
  }

  template <typename OutQueue>
  __aicore__ inline void StoreLse(const Tile& tile, uint32_t token, uint32_t row, uint32_t rows, OutQueue& outQueue) {
    const AscendC::LocalTensor<float> lse = Vector(LARGER);
    const AscendC::LocalTensor<float> infinite = Vector(FACTOR);
    AscendC::Ln(lse, Vector(SUM), MAX_CORE_ROWS);
    // 1 / valid - 1 is 0 for rows with keys and infinite for others.
    AscendC::Duplicate(infinite, 1.0f, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Div(infinite, infinite, Vector(VALID), MAX_CORE_ROWS);
    AscendC::Add(lse, lse, Vector(MAXIMUM), MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Adds(infinite, infinite, -1.0f, MAX_CORE_ROWS);
    AscendC::Maxs(lse, lse, LOWEST, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    WhereValid(lse, lse);
    AscendC::Add(lse, lse, infinite, MAX_CORE_ROWS);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<float> blocks = outQueue.template AllocTensor<float>();
    BroadcastRows(blocks, lse, rows);
    outQueue.EnQue(blocks);
    blocks = outQueue.template DeQue<float>();
    StoreRows(lse_[RowOffset(tiling_->lse, tile, token, row)], blocks, rows, 1u, RowDistance(tiling_->lse, tile),
              FLOATS_PER_BLOCK);
    outQueue.FreeTensor(blocks);
  }

  const ForwardTiling* tiling_;
  GM_ADDR sink_;
  AscendC::GlobalTensor<float> max_;
  AscendC::GlobalTensor<float> sum_;
  AscendC::GlobalTensor<float> lse_;
  NumberReader* reader_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> vectors_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> blocks_;
};

}  // namespace npufa
