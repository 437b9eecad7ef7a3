// Output rows of one vector core: float accumulation over the steps of a tile, then the output, or a part of it.
#pragma once

#include "../call/workspace.h"
#include "../stored/digits.h"
#include "row_output.h"

namespace npufa {

template <typename T, typename Stored>
class Accumulator {
 public:
  using InQueue = AscendC::TQue<AscendC::TPosition::VECIN, 1>;
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  // `inQueue` and `outQueue` hold tiles of chunkFloats floats and elements of T.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, const Workspace<T, Stored>& workspace,
                              InQueue& inQueue, OutQueue& outQueue, RowOutput<T, Stored>& output) {
    tiling_ = &tiling;
    workspace_ = &workspace;
    inQueue_ = &inQueue;
    outQueue_ = &outQueue;
    rowOutput_ = &output;
    pitch_ = output.Pitch();
    chunkRows_ = Min(tiling.chunkFloats / pitch_ / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK, tiling.tileRows / 2);
    pipe.InitBuffer(sums_, tiling.tileRows / 2 * pitch_ * sizeof(float));
  }

  // Adds a step's products to rows [0, rows) of this core; they begin at row `firstRow` of the tile.
  __aicore__ inline void Add(const Step& step, uint32_t firstRow, uint32_t rows, OnlineSoftmax& softmax) {
    for (uint32_t row = 0; row < rows; row += chunkRows_) {
      const uint32_t chunk = Min(chunkRows_, rows - row);
      AddChunk(step, firstRow, row, chunk, softmax);
      if (!step.IsLast()) continue;
      const AscendC::LocalTensor<float> sums = sums_.Get<float>()[row * pitch_];
      const AscendC::LocalTensor<float> maximum = softmax.Maximum(step.tileNumber, row);
      const AscendC::LocalTensor<float> sum = softmax.Sum(step.tileNumber, row);
      if (step.tile.part == WHOLE_TILE) {
        rowOutput_->Store(step.tile, firstRow + row, chunk, sums, maximum, sum);
      } else {
        StorePart(step.tile.part, firstRow + row, chunk, sums, maximum, sum);
      }
    }
    // What comes next in the place of a part waits for its copies.
    if (step.IsLast() && step.tile.part != WHOLE_TILE) OrderPipes<AscendC::HardEvent::MTE3_V>();
  }

  // Rows [firstRow, firstRow + rows) of a part without keys.
  __aicore__ inline void StoreEmptyPart(const Tile& tile, uint32_t firstRow, uint32_t rows) {
    if (rows == 0) return;
    const PartialRows target = workspace_->Part(tile.part, firstRow);
    for (uint32_t row = 0; row < rows; row += FloatRows()) {
      const uint32_t count = Min(FloatRows(), rows - row);
      AscendC::LocalTensor<float> out = outQueue_->template AllocTensor<float>();
      AscendC::Duplicate(out, 0.0f, static_cast<int32_t>(count * pitch_));
      FinishFloats(target.sums[static_cast<uint64_t>(row) * tiling_->productPitch], out, count);
    }
    StoreVector(target.maximum, LOWEST, rows);
    StoreVector(target.sum, 0.0f, rows);
  }

 private:
  __aicore__ inline void AddChunk(const Step& step, uint32_t firstRow, uint32_t row, uint32_t rows,
                                  OnlineSoftmax& softmax) {
    AscendC::LocalTensor<float> products = LoadProducts(step, firstRow + row, rows);
    if constexpr (SameType<Stored, Int8Digits>::value) {
      AddDigitProducts(products, products, 0, tiling_->valueDim, rows, pitch_);
      for (uint32_t digit = 1; digit < DIGITS; ++digit) {
        AscendC::LocalTensor<float> next = LoadProducts(step, digit * step.tile.rows + firstRow + row, rows);
        AddDigitProducts(products, next, digit, tiling_->valueDim, rows, pitch_);
        inQueue_->FreeTensor(next);
      }
    }
    const AscendC::LocalTensor<float> sums = sums_.Get<float>()[row * pitch_];
    const uint8_t stride = static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK);
    const uint8_t repeats = static_cast<uint8_t>(rows);
    if (step.IsFirst()) {
      for (uint32_t word = 0; word < tiling_->valueDim; word += FLOATS_PER_REPEAT) {
        AscendC::Muls(sums[word], products[word], 1.0f, WordWidth(tiling_->valueDim, word), repeats, RowParams(pitch_));
      }
    } else {
      MultiplyRows(sums, softmax.RescaleBlocks(row, rows, step.Slot()), rows, tiling_->valueDim, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
      const AscendC::BinaryRepeatParams params(1, 1, 1, stride, stride, stride);
      for (uint32_t word = 0; word < tiling_->valueDim; word += FLOATS_PER_REPEAT) {
        AscendC::Add(sums[word], sums[word], products[word], WordWidth(tiling_->valueDim, word), repeats, params);
      }
    }
    AscendC::PipeBarrier<PIPE_V>();
    inQueue_->FreeTensor(products);
  }

  __aicore__ inline AscendC::LocalTensor<float> LoadProducts(const Step& step, uint32_t row, uint32_t rows) {
    AscendC::LocalTensor<float> products = inQueue_->template AllocTensor<float>();
    LoadRows(products, workspace_->Products(step.Slot(), row), rows, tiling_->valueDim, workspace_->ProductPitch(),
             pitch_);
    inQueue_->EnQue(products);
    return inQueue_->template DeQue<float>();
  }

  __aicore__ inline void StorePart(uint32_t part, uint32_t row, uint32_t rows, const AscendC::LocalTensor<float>& sums,
                                   const AscendC::LocalTensor<float>& maximum, const AscendC::LocalTensor<float>& sum) {
    const PartialRows target = workspace_->Part(part, row);
    const uint32_t whole = AlignUp(rows, FLOATS_PER_BLOCK);
    OrderPipes<AscendC::HardEvent::V_MTE3>();
    StoreRows(target.sums, sums, rows, tiling_->valueDim, tiling_->productPitch, pitch_);
    StoreRows(target.maximum, maximum, 1, rows, rows, whole);
    StoreRows(target.sum, sum, 1, rows, rows, whole);
  }

  // The output queue holds elements of T: fewer floats.
  __aicore__ inline uint32_t FloatRows() const { return tiling_->chunkFloats * sizeof(T) / sizeof(float) / pitch_; }

  __aicore__ inline void FinishFloats(const AscendC::GlobalTensor<float>& target, AscendC::LocalTensor<float>& out,
                                      uint32_t rows) {
    outQueue_->EnQue(out);
    out = outQueue_->template DeQue<float>();
    StoreRows(target, out, rows, tiling_->valueDim, tiling_->productPitch, pitch_);
    outQueue_->FreeTensor(out);
  }

  __aicore__ inline void StoreVector(const AscendC::GlobalTensor<float>& target, float value, uint32_t count) {
    AscendC::LocalTensor<float> out = outQueue_->template AllocTensor<float>();
    AscendC::Duplicate(out, value, static_cast<int32_t>(AlignUp(count, FLOATS_PER_BLOCK)));
    FinishVector(target, out, count);
  }
  __aicore__ inline void FinishVector(const AscendC::GlobalTensor<float>& target, AscendC::LocalTensor<float>& out,
                                      uint32_t count) {
    outQueue_->EnQue(out);
    out = outQueue_->template DeQue<float>();
    StoreRows(target, out, 1, count, count, AlignUp(count, FLOATS_PER_BLOCK));
    outQueue_->FreeTensor(out);
  }

  const ForwardTiling* tiling_;
  const Workspace<T, Stored>* workspace_;
  InQueue* inQueue_;
  OutQueue* outQueue_;
  RowOutput<T, Stored>* rowOutput_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;
  uint32_t pitch_;
  uint32_t chunkRows_;
};

}  // namespace npufa
