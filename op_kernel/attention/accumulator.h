// Output rows of one vector core: float accumulation over the steps of a tile, then normalisation and store.
#pragma once

#include "additions.h"
#include "softmax.h"
#include "workspace.h"

namespace npufa {

template <typename T>
class Accumulator {
 public:
  using InQueue = AscendC::TQue<AscendC::TPosition::VECIN, 1>;
  using OutQueue = AscendC::TQue<AscendC::TPosition::VECOUT, 1>;

  // `inQueue` and `outQueue` hold tiles of `chunkFloats` floats and elements of T.
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling, GM_ADDR output, InQueue& inQueue,
                              OutQueue& outQueue, uint32_t chunkFloats) {
    tiling_ = &tiling;
    inQueue_ = &inQueue;
    outQueue_ = &outQueue;
    output_.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(output));
    pitch_ = AlignUp(tiling.valueDim, FLOATS_PER_REPEAT);
    chunkRows_ = Min(chunkFloats / pitch_ / FLOATS_PER_BLOCK * FLOATS_PER_BLOCK, tiling.tileRows / 2);
    pipe.InitBuffer(sums_, tiling.tileRows / 2 * pitch_ * sizeof(float));
  }

  // Adds a step's products to rows [0, rows) of this core; they begin at row `firstRow` of the tile.
  __aicore__ inline void Add(const Step& step, uint32_t slot, uint32_t firstRow, uint32_t rows,
                             const GroupWorkspace<T>& workspace, OnlineSoftmax& softmax) {
    for (uint32_t row = 0; row < rows; row += chunkRows_) {
      const uint32_t chunk = Min(chunkRows_, rows - row);
      AddChunk(step, slot, firstRow, row, chunk, workspace, softmax);
      if (step.IsLast()) StoreChunk(step, firstRow, row, chunk, softmax);
    }
  }

  // Zeros in rows [begin, end) of the tile, which have no keys.
  __aicore__ inline void StoreZeros(const Tile& tile, uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; row += chunkRows_) {
      const uint32_t rows = Min(chunkRows_, end - row);
      AscendC::LocalTensor<T> out = outQueue_->template AllocTensor<T>();
      AscendC::Duplicate(out.template ReinterpretCast<int16_t>(), static_cast<int16_t>(0),
                         static_cast<int32_t>(rows * pitch_));
      Store(out, tile, row, rows);
    }
  }

 private:
  __aicore__ inline void AddChunk(const Step& step, uint32_t slot, uint32_t firstRow, uint32_t row, uint32_t rows,
                                  const GroupWorkspace<T>& workspace, OnlineSoftmax& softmax) {
    AscendC::LocalTensor<float> products = inQueue_->template AllocTensor<float>();
    LoadRows(products, workspace.Products(slot, firstRow + row), rows, tiling_->valueDim, workspace.ProductPitch(),
             pitch_);
    inQueue_->EnQue(products);
    products = inQueue_->template DeQue<float>();
    const AscendC::LocalTensor<float> sums = sums_.Get<float>()[row * pitch_];
    const uint8_t stride = static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK);
    const uint8_t repeats = static_cast<uint8_t>(rows);
    if (step.IsFirst()) {
      const AscendC::UnaryRepeatParams params(1, 1, stride, stride);
      for (uint32_t word = 0; word < tiling_->valueDim; word += FLOATS_PER_REPEAT) {
        AscendC::Muls(sums[word], products[word], 1.0f, WordWidth(tiling_->valueDim, word), repeats, params);
      }
    } else {
      MultiplyRows(sums, softmax.RescaleBlocks(row, rows, slot), rows, tiling_->valueDim, pitch_);
      AscendC::PipeBarrier<PIPE_V>();
      const AscendC::BinaryRepeatParams params(1, 1, 1, stride, stride, stride);
      for (uint32_t word = 0; word < tiling_->valueDim; word += FLOATS_PER_REPEAT) {
        AscendC::Add(sums[word], sums[word], products[word], WordWidth(tiling_->valueDim, word), repeats, params);
      }
    }
    AscendC::PipeBarrier<PIPE_V>();
    inQueue_->FreeTensor(products);
  }

  __aicore__ inline void StoreChunk(const Step& step, uint32_t firstRow, uint32_t row, uint32_t rows,
                                    OnlineSoftmax& softmax) {
    const AscendC::LocalTensor<float> sums = sums_.Get<float>()[row * pitch_];
    DivideRows(sums, softmax.SumBlocks(row, rows, step.tileNumber), rows, tiling_->valueDim, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::LocalTensor<T> out = outQueue_->template AllocTensor<T>();
    const AscendC::UnaryRepeatParams params(1, 1, static_cast<uint8_t>(pitch_ / FRACTAL),
                                            static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK));
    for (uint32_t word = 0; word < tiling_->valueDim; word += FLOATS_PER_REPEAT) {
      AscendC::Cast(out[word], sums[word], AscendC::RoundMode::CAST_RINT, WordWidth(tiling_->valueDim, word),
                    static_cast<uint8_t>(rows), params);
    }
    Store(out, step.tile, firstRow + row, rows);
  }

  __aicore__ inline void Store(AscendC::LocalTensor<T>& out, const Tile& tile, uint32_t row, uint32_t rows) {
    outQueue_->EnQue(out);
    out = outQueue_->template DeQue<T>();
    const TensorStrides& strides = tiling_->output;
    const uint64_t offset =
        tile.batch * strides.batch + tile.head * strides.head + (tile.firstRow + row) * strides.token;
    const uint32_t used = AlignUp(tiling_->valueDim, FRACTAL);
    const AscendC::DataCopyExtParams params(static_cast<uint16_t>(rows), tiling_->valueDim * sizeof(T),
                                            (pitch_ - used) / FRACTAL,
                                            static_cast<uint32_t>((strides.token - tiling_->valueDim) * sizeof(T)), 0);
    AscendC::DataCopyPad(output_[offset], out, params);
    outQueue_->FreeTensor(out);
  }

  const ForwardTiling* tiling_;
  InQueue* inQueue_;
  OutQueue* outQueue_;
  AscendC::GlobalTensor<T> output_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;
  uint32_t pitch_;
  uint32_t chunkRows_;
};

}  // namespace npufa
