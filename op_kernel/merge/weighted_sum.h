// Sums of partial outputs, each row times a weight of its own.
#pragma once

#include "../attention/tiles/tile_copy.h"
#include "../tiling/merge_tiling.h"

namespace npufa {

template <typename T>
class WeightedSum {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe) {
    pipe.InitBuffer(inQueue_, 2, MERGE_FLOATS * sizeof(T));
    pipe.InitBuffer(outQueue_, 1, MERGE_FLOATS * sizeof(T));
    pipe.InitBuffer(sums_, MERGE_FLOATS * sizeof(float));
    pipe.InitBuffer(terms_, MERGE_FLOATS * sizeof(float));
  }

  __aicore__ inline void Begin(uint32_t rows, uint32_t columns) {
    rows_ = rows;
    columns_ = columns;
    pitch_ = AlignUp(columns, FLOATS_PER_REPEAT);
    AscendC::Duplicate(sums_.Get<float>(), 0.0f, static_cast<int32_t>(rows * pitch_));
    AscendC::PipeBarrier<PIPE_V>();
  }

  // `weights`: blocks of eight equal floats per row.
  __aicore__ inline void Add(const AscendC::GlobalTensor<T>& part, uint64_t pitch,
                             const AscendC::LocalTensor<float>& weights) {
    AscendC::LocalTensor<T> raw = inQueue_.template AllocTensor<T>();
    LoadRows(raw, part, rows_, columns_, pitch, pitch_);
    inQueue_.EnQue(raw);
    raw = inQueue_.template DeQue<T>();
    const AscendC::LocalTensor<float> terms = terms_.Get<float>(), sums = sums_.Get<float>();
    WidenRows(terms, raw, rows_, columns_, pitch_);
    inQueue_.FreeTensor(raw);
    AscendC::PipeBarrier<PIPE_V>();
    MultiplyRows(terms, weights, rows_, columns_, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
    const uint8_t stride = static_cast<uint8_t>(pitch_ / FLOATS_PER_BLOCK);
    const AscendC::BinaryRepeatParams params(1, 1, 1, stride, stride, stride);
    for (uint32_t word = 0; word < columns_; word += FLOATS_PER_REPEAT) {
      AscendC::Add(sums[word], sums[word], terms[word], WordWidth(columns_, word), static_cast<uint8_t>(rows_), params);
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Store(const AscendC::GlobalTensor<T>& target, uint64_t pitch) {
    AscendC::LocalTensor<T> out = outQueue_.template AllocTensor<T>();
    NarrowRows(out, sums_.Get<float>(), rows_, columns_, pitch_);
    outQueue_.EnQue(out);
    out = outQueue_.template DeQue<T>();
    StoreRows(target, out, rows_, columns_, pitch, pitch_);
    outQueue_.FreeTensor(out);
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  AscendC::TQue<AscendC::TPosition::VECIN, 2> inQueue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> outQueue_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> sums_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> terms_;
  uint32_t rows_;
  uint32_t columns_;
  uint32_t pitch_;
};

}  // namespace npufa
