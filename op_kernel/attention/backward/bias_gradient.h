// Gradient of the bias (pse) from the score gradients of the backward steps. What a step alone feeds is stored at once,
// what several steps feed is summed by each vector core for itself: BiasGradientOutput adds up their sums in order.
#pragma once

#include "../tiles/tile_copy.h"
#include "backward_workspace.h"

namespace npufa {

template <typename T>
class BiasGradient {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const BackwardTiling& tiling, const BackwardWorkspace<T>& workspace,
                              GM_ADDR gradient, uint32_t core) {
    tiling_ = &tiling;
    forward_ = &tiling.forward;
    sums_ = workspace.BiasSums(core);
    if (tiling.biasParts > 0) {
      stored_ = workspace.BiasPart(0);
    } else {
      stored_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(gradient));
    }
    pipe.InitBuffer(queue_, 1, forward_->chunkFloats * sizeof(T));
    pipe.InitBuffer(rowQueue_, 1, MAX_KEY_BLOCK * sizeof(float));
    if (forward_->biasKind < BIAS_LINEAR) return;
    pipe.InitBuffer(columns_, MAX_KEY_BLOCK * sizeof(float));
    pipe.InitBuffer(distances_, MAX_KEY_BLOCK * sizeof(float));
    pipe.InitBuffer(total_, MAX_KEY_BLOCK * sizeof(float));
    pipe.InitBuffer(partial_, PartialFloats(MAX_KEY_BLOCK) * sizeof(float));
    AscendC::CreateVecIndex(columns_.Get<float>(), 0.0f, MAX_KEY_BLOCK);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Takes in the score gradients of rows [row, row + rows) of a step, which it may change.
  __aicore__ inline void Add(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step, uint32_t row,
                             uint32_t rows, uint32_t pitch) {
    if (forward_->biasScaled) {
      AscendC::Muls(gradients, gradients, forward_->scale, static_cast<int32_t>(rows * pitch));
      AscendC::PipeBarrier<PIPE_V>();
    }
    if (forward_->biasKind >= BIAS_LINEAR) {
      AddToSlope(gradients, step, row, rows, pitch);
    } else if (forward_->biasKind == BIAS_COMPRESSED) {
      AddToCompressed(gradients, step, row, rows, pitch);
    } else if (forward_->bias.token == 0) {
      AddToRow(gradients, step, rows, pitch);
    } else {
      const Sequence& s = step.scores.tile.sequence;
      StoreMatrix(gradients, step, s.maskRow + step.scores.tile.firstRow + row, rows, pitch);
    }
  }

 private:
  static constexpr uint32_t COMPRESSED_ROWS = 1024;

  // Where the bias of a head begins, and where its stored gradient does.
  __aicore__ inline uint64_t HeadOffset(const Tile& tile) const {
    return tile.sequence.batch * forward_->bias.batch + tile.head * forward_->bias.head;
  }
  __aicore__ inline uint64_t StoredOffset(const Tile& tile) const {
    return HeadOffset(tile) + (tiling_->biasParts > 0 ? tile.sequence.batch * tiling_->biasElements : 0);
  }

  // Rows of the bias from `biasRow` on that no other step feeds.
  __aicore__ inline void StoreMatrix(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step,
                                     uint32_t biasRow, uint32_t rows, uint32_t pitch) {
    const Tile& tile = step.scores.tile;
    AscendC::LocalTensor<T> out = queue_.template AllocTensor<T>();
    Narrow(out, gradients, rows * pitch);
    queue_.EnQue(out);
    out = queue_.template DeQue<T>();
    const uint64_t offset =
        StoredOffset(tile) + biasRow * forward_->bias.token + tile.sequence.maskColumn + step.scores.firstKey;
    StoreRows(stored_[offset], out, rows, step.Columns(), forward_->bias.token, pitch);
    queue_.FreeTensor(out);
  }

  // One row of bias for all rows of scores.
  __aicore__ inline void AddToRow(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step, uint32_t rows,
                                  uint32_t pitch) {
    const Tile& tile = step.scores.tile;
    for (uint32_t r = 1; r < rows; ++r) {
      AscendC::Add(gradients, gradients, gradients[r * pitch], static_cast<int32_t>(pitch));
      AscendC::PipeBarrier<PIPE_V>();
    }
    AddToSums(gradients, HeadOffset(tile) + tile.sequence.maskColumn + step.scores.firstKey, step.Columns());
  }

  // Stored rows end at the last row of the longest sequence; rows before them, and the last, feed the last one.
  __aicore__ inline void AddToCompressed(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step,
                                         uint32_t row, uint32_t rows, uint32_t pitch) {
    const Tile& tile = step.scores.tile;
    const uint32_t last = forward_->sequences.longestQuery - 1;
    const uint32_t missing = last + 1 - COMPRESSED_ROWS;
    const uint64_t width = forward_->bias.token;
    const uint64_t lastRows = tile.sequence.batch * (forward_->bias.batch / COMPRESSED_ROWS) +
                              tile.head * (forward_->bias.head / COMPRESSED_ROWS);
    uint32_t r = 0;
    while (r < rows) {
      const uint32_t query = tile.firstRow + row + r;
      if (query >= missing && query < last) {
        const uint32_t count = Min(rows - r, last - query);
        StoreMatrix(gradients[r * pitch], step, query - missing, count, pitch);
        r += count;
        continue;
      }
      const uint64_t column = step.scores.firstKey + last - query;
      const uint64_t end = Min<uint64_t>(column + step.Columns(), width);
      if (column < end) AddToSums(gradients[r * pitch], lastRows + column, static_cast<uint32_t>(end - column));
      ++r;
    }
  }

  // A generated bias -slope * f(distance): the sum of -f(distance) times score gradients.
  __aicore__ inline void AddToSlope(const AscendC::LocalTensor<float>& gradients, const BackwardStep& step,
                                    uint32_t row, uint32_t rows, uint32_t pitch) {
    const Tile& tile = step.scores.tile;
    const AscendC::LocalTensor<float> distances = distances_.Get<float>(), total = total_.Get<float>();
    const int32_t count = static_cast<int32_t>(pitch);
    AscendC::Duplicate(total, 0.0f, count);
    for (uint32_t r = 0; r < rows; ++r) {
      const int64_t first =
          static_cast<int64_t>(step.scores.firstKey) + forward_->biasDistance - tile.firstRow - row - r;
      AscendC::Adds(distances, columns_.Get<float>(), static_cast<float>(first), count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Abs(distances, distances, count);
      AscendC::PipeBarrier<PIPE_V>();
      if (forward_->biasKind == BIAS_SQUARE_ROOT) {
        AscendC::Sqrt(distances, distances, count);
        AscendC::PipeBarrier<PIPE_V>();
      }
      AscendC::Mul(distances, distances, gradients[r * pitch], count);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Sub(total, total, distances, count);
      AscendC::PipeBarrier<PIPE_V>();
    }
    ReduceRows<SumOf>(distances, total, partial_.Get<float>(), 1, pitch);
    AscendC::PipeBarrier<PIPE_V>();
    AddToSums(distances, HeadOffset(tile), 1);
  }

  __aicore__ inline void AddToSums(const AscendC::LocalTensor<float>& values, uint64_t offset, uint32_t count) {
    AscendC::LocalTensor<float> out = rowQueue_.AllocTensor<float>();
    AscendC::Muls(out, values, 1.0f, static_cast<int32_t>(count));
    rowQueue_.EnQue(out);
    out = rowQueue_.DeQue<float>();
    AscendC::SetAtomicAdd<float>();
    StoreRows(sums_[offset], out, 1, count, count, AlignUp(count, FLOATS_PER_BLOCK));
    AscendC::SetAtomicNone();
    rowQueue_.FreeTensor(out);
  }

  const BackwardTiling* tiling_;
  const ForwardTiling* forward_;
  AscendC::GlobalTensor<T> stored_;
  AscendC::GlobalTensor<float> sums_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> rowQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> columns_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> distances_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> total_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> partial_;
};

}  // namespace npufa
