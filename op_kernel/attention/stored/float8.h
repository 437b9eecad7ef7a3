// float8 bytes as halves, by moving their bits. An e5m2 byte is the high byte of a half. The fields of an e4m3 byte stand
// for a half that is 256 times as small, and for 480 where the byte is NaN.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "../tiles/row_ops.h"

namespace npufa {

// What a half of 1 stands for.
__aicore__ inline float Float8Unit(const ForwardTiling& tiling) { return tiling.float8 == FLOAT8_E4M3 ? 256.0f : 1.0f; }

class Float8Fields {
 public:
  __aicore__ inline void Init(AscendC::TPipe& pipe, const ForwardTiling& tiling) {
    e4m3_ = tiling.float8 == FLOAT8_E4M3;
    if (!e4m3_) return;
    pipe.InitBuffer(fields_, HALVES_PER_REPEAT * sizeof(int16_t));
    AscendC::Duplicate(fields_.Get<int16_t>(), E4M3_FIELDS, static_cast<int32_t>(HALVES_PER_REPEAT));
    AscendC::PipeBarrier<PIPE_V>();
  }

  // Between rows of halves and their scratch, which then lie in other banks.
  static constexpr uint32_t SCRATCH_GAP = 128;

  // `halves`: the bytes as signed numbers, `pitch` apart from row to row. `scratch` is larger by SCRATCH_GAP.
  __aicore__ inline void Widen(const AscendC::LocalTensor<half>& halves, const AscendC::LocalTensor<half>& scratch,
                               uint32_t rows, uint32_t channels, uint32_t pitch) {
    const AscendC::LocalTensor<int16_t> bits = halves.ReinterpretCast<int16_t>();
    const uint8_t repeats = static_cast<uint8_t>(rows), stride = static_cast<uint8_t>(pitch / FRACTAL);
    const AscendC::UnaryRepeatParams unary(1, 1, stride, stride);
    const AscendC::LocalTensor<half> apart = scratch[SCRATCH_GAP];
    const int16_t shift = e4m3_ ? E4M3_SHIFT : E5M2_SHIFT;
    for (uint32_t word = 0; word < channels; word += HALVES_PER_REPEAT) {
      const uint64_t width = Min(HALVES_PER_REPEAT, channels - word);
      AscendC::Cast(bits[word], halves[word], AscendC::RoundMode::CAST_RINT, width, repeats, unary);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::ShiftLeft(bits[word], bits[word], shift, width, repeats, unary);
      AscendC::PipeBarrier<PIPE_V>();
      if (!e4m3_) continue;
      AscendC::And(bits[word], bits[word], fields_.Get<int16_t>(), width, repeats,
                   AscendC::BinaryRepeatParams(1, 1, 1, stride, stride, 0));
      AscendC::PipeBarrier<PIPE_V>();
      // 480 alone overflows; 0 * inf makes it NaN.
      AscendC::Muls(apart[word], halves[word], static_cast<half>(E4M3_OVERFLOW), width, repeats, unary);
      AscendC::PipeBarrier<PIPE_V>();
      AscendC::Axpy(halves[word], apart[word], static_cast<half>(0.0f), width, repeats, unary);
      AscendC::PipeBarrier<PIPE_V>();
    }
  }

 private:
  static constexpr uint32_t HALVES_PER_REPEAT = 128;
  static constexpr int16_t E5M2_SHIFT = 8;
  static constexpr int16_t E4M3_SHIFT = 7;
  static constexpr int16_t E4M3_FIELDS = static_cast<int16_t>(0xBFFF);  // the sign was shifted into bit 14, too
  static constexpr float E4M3_OVERFLOW = 36000.0f;                      // 448 / 256 of it are finite, 480 / 256 are not

  AscendC::TBuf<AscendC::TPosition::VECCALC> fields_;
  bool e4m3_;
};

}  // namespace npufa
