// Rotation of rows in UB: result = own * cos + other * sin, where `other` are the elements each one turns with.
#pragma once

#include "../attention/tiles/tile_copy.h"
#include "../tiling/rotary_tiling.h"

namespace npufa {

class Rotation {
 public:
  // Rows are `pitch` floats apart, a multiple of 64; at most `capacity` floats at once.
  __aicore__ inline void Init(AscendC::TPipe& pipe, uint32_t mode, uint32_t columns, uint32_t pitch, uint32_t capacity,
                              bool transposed) {
    mode_ = mode;
    columns_ = columns;
    pitch_ = pitch;
    pipe.InitBuffer(own_, capacity * sizeof(uint32_t));
    pipe.InitBuffer(other_, capacity * sizeof(uint32_t));
    pipe.InitBuffer(signs_, pitch * sizeof(float));
    pipe.InitBuffer(gathered_, capacity * sizeof(float));
    pipe.InitBuffer(gatheredOther_, capacity * sizeof(float));
    transposed_ = transposed;
    const AscendC::LocalTensor<int32_t> own = own_.Get<int32_t>(), other = other_.Get<int32_t>();
    const AscendC::LocalTensor<float> signs = signs_.Get<float>();
    for (uint32_t column = 0; column < pitch; ++column) {
      const bool used = column < columns;
      own.SetValue(column, static_cast<int32_t>((used ? Own(column) : column) * sizeof(float)));
      other.SetValue(column, static_cast<int32_t>((used ? Other(column) : column) * sizeof(float)));
      signs.SetValue(column, IsFirst(column) != transposed ? -1.0f : 1.0f);
    }
    const auto event = GetTPipePtr()->FetchEventID(AscendC::HardEvent::S_V);
    AscendC::SetFlag<AscendC::HardEvent::S_V>(event);
    AscendC::WaitFlag<AscendC::HardEvent::S_V>(event);
    for (uint32_t row = 1; row < capacity / pitch; ++row) {
      const int32_t step = static_cast<int32_t>(row * pitch * sizeof(float));
      AscendC::Adds(own[row * pitch], own, step, static_cast<int32_t>(pitch));
      AscendC::Adds(other[row * pitch], other, step, static_cast<int32_t>(pitch));
    }
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Gives sines the signs that Apply wants, once.
  __aicore__ inline void PrepareSines(const AscendC::LocalTensor<float>& sines, uint32_t rows) {
    if (transposed_) {
      const AscendC::LocalTensor<float> turned = gathered_.Get<float>();
      AscendC::Gather(turned, sines, other_.Get<uint32_t>(), 0, rows * pitch_);
      AscendC::PipeBarrier<PIPE_V>();
      Widen(sines, turned, rows * pitch_);
      AscendC::PipeBarrier<PIPE_V>();
    }
    MultiplyColumns(sines, signs_.Get<float>(), rows, pitch_, pitch_);
    AscendC::PipeBarrier<PIPE_V>();
  }

  // In place. Cosines and sines have as many rows, or one for all.
  __aicore__ inline void Apply(const AscendC::LocalTensor<float>& values, const AscendC::LocalTensor<float>& cosines,
                               const AscendC::LocalTensor<float>& sines, uint32_t rows, bool oneForAll) {
    const uint32_t count = rows * pitch_;
    const AscendC::LocalTensor<float> other = gatheredOther_.Get<float>();
    AscendC::Gather(other, values, other_.Get<uint32_t>(), 0, count);
    if (mode_ == ROTARY_DEINTERLEAVE) {
      const AscendC::LocalTensor<float> own = gathered_.Get<float>();
      AscendC::Gather(own, values, own_.Get<uint32_t>(), 0, count);
      AscendC::PipeBarrier<PIPE_V>();
      Widen(values, own, count);
    }
    AscendC::PipeBarrier<PIPE_V>();
    if (oneForAll) {
      MultiplyColumns(values, cosines, rows, pitch_, pitch_);
      MultiplyColumns(other, sines, rows, pitch_, pitch_);
    } else {
      AscendC::Mul(values, values, cosines, static_cast<int32_t>(count));
      AscendC::Mul(other, other, sines, static_cast<int32_t>(count));
    }
    AscendC::PipeBarrier<PIPE_V>();
    AscendC::Add(values, values, other, static_cast<int32_t>(count));
    AscendC::PipeBarrier<PIPE_V>();
  }

 private:
  __aicore__ inline bool IsFirst(uint32_t column) const {
    return mode_ == ROTARY_INTERLEAVE ? column % 2 == 0 : column < columns_ / 2;
  }
  // Where the element of a column comes from.
  __aicore__ inline uint32_t Own(uint32_t column) const {
    if (mode_ != ROTARY_DEINTERLEAVE) return column;
    return IsFirst(column) ? 2 * column : 2 * (column - columns_ / 2) + 1;
  }
  // Where the element that it turns with comes from.
  __aicore__ inline uint32_t Other(uint32_t column) const {
    if (mode_ == ROTARY_INTERLEAVE) return IsFirst(column) ? column + 1 : column - 1;
    return Own(IsFirst(column) ? column + columns_ / 2 : column - columns_ / 2);
  }

  AscendC::TBuf<AscendC::TPosition::VECCALC> own_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> other_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> signs_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> gathered_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> gatheredOther_;
  uint32_t mode_;
  uint32_t columns_;
  uint32_t pitch_;
  bool transposed_;
};

}  // namespace npufa
