// Floats as three digits of int8, exact to 22 bits, so that int8 keys and values are multiplied as they are stored: the
// digits of few rows cost nothing, since the cube takes sixteen rows at once.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "../call/stored_types.h"
#include "../tiles/row_ops.h"

namespace npufa {

// A number of magnitude at most 1 is (d0 + d1 / DIGIT_BASE + d2 / DIGIT_BASE^2) / DIGIT_MOST.
constexpr float DIGIT_MOST = 127.0f;
constexpr float DIGIT_BASE = 254.0f;

// The next digit of `values` (of magnitude at most DIGIT_MOST), as int8; leaves what the remaining digits stand for.
__aicore__ inline void TakeDigit(const AscendC::LocalTensor<int8_t>& digit, const AscendC::LocalTensor<float>& values,
                                 const AscendC::LocalTensor<float>& rounded, const AscendC::LocalTensor<half>& halves,
                                 uint32_t count) {
  AscendC::Cast(rounded, values, AscendC::RoundMode::CAST_RINT, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Sub(values, values, rounded, static_cast<int32_t>(count));
  AscendC::Cast(halves, rounded, AscendC::RoundMode::CAST_NONE, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Muls(values, values, DIGIT_BASE, static_cast<int32_t>(count));
  AscendC::Cast(digit, halves, AscendC::RoundMode::CAST_NONE, count);
  AscendC::PipeBarrier<PIPE_V>();
}

// result (+)= factor * products, which are int32; `products` is overwritten.
__aicore__ inline void AddDigitProducts(const AscendC::LocalTensor<float>& result,
                                        const AscendC::LocalTensor<float>& products, uint32_t digit, uint32_t columns,
                                        uint32_t rows, uint32_t pitch) {
  const float factor = digit == 1 ? 1.0f / DIGIT_BASE : 1.0f / (DIGIT_BASE * DIGIT_BASE);
  // Rows without a gap count as one.
  const uint32_t width = columns == pitch ? rows * pitch : columns;
  const uint32_t lines = columns == pitch ? 1 : rows;
  for (uint32_t line = 0; line < lines; ++line) {
    const AscendC::LocalTensor<float> floats = products[line * pitch];
    AscendC::Cast(floats, floats.ReinterpretCast<int32_t>(), AscendC::RoundMode::CAST_RINT, width);
  }
  AscendC::PipeBarrier<PIPE_V>();
  if (digit == 0) return;
  for (uint32_t line = 0; line < lines; ++line) {
    AscendC::Axpy(result[line * pitch], products[line * pitch], factor, static_cast<int32_t>(width));
  }
  AscendC::PipeBarrier<PIPE_V>();
}

}  // namespace npufa
