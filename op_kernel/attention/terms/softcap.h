// Soft capping of scores, cap * tanh(score / cap) (Gemma 2, arXiv 2408.00118), and its derivative.
#pragma once

#include "../../tiling/forward_tiling.h"
#include "../tiles/utils.h"

namespace npufa {

// p = p * y + a, q = q * y + b
__aicore__ inline void HornerStep(const AscendC::LocalTensor<float>& p, const AscendC::LocalTensor<float>& q,
                                  const AscendC::LocalTensor<float>& y, float a, float b, int32_t count) {
  AscendC::Mul(p, p, y, count);
  AscendC::Mul(q, q, y, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Adds(p, p, a, count);
  AscendC::Adds(q, q, b, count);
  AscendC::PipeBarrier<PIPE_V>();
}

// x = tanh(x), `count` floats, of which `y`, `p` and `q` have as many. Relative error below 4e-7, small arguments
// included: x * P(x^2) / Q(x^2), minimax on [-9, 9], behind which tanh rounds to 1.
__aicore__ inline void Tanh(const AscendC::LocalTensor<float>& x, const AscendC::LocalTensor<float>& y,
                            const AscendC::LocalTensor<float>& p, const AscendC::LocalTensor<float>& q, int32_t count) {
  constexpr float end = 9.0f;
  AscendC::Mins(x, x, end, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Maxs(x, x, -end, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Mul(y, x, x, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Muls(p, y, 0x1.cd180ep-27f, count);
  AscendC::Muls(q, y, 0x1.a3021ep-21f, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Adds(p, p, 0x1.5aa2bcp-16f, count);
  AscendC::Adds(q, q, 0x1.5916b2p-12f, count);
  AscendC::PipeBarrier<PIPE_V>();
  HornerStep(p, q, y, 0x1.ca9e7cp-9f, 0x1.a82f3cp-6f, count);
  HornerStep(p, q, y, 0x1.121a8ep-3f, 0x1.de6294p-2f, count);
  HornerStep(p, q, y, 1.0f, 1.0f, count);
  AscendC::Mul(x, x, p, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Div(x, x, q, count);
  AscendC::PipeBarrier<PIPE_V>();
}

// slopes = 1 - x^2
__aicore__ inline void SlopesOfTanh(const AscendC::LocalTensor<float>& slopes, const AscendC::LocalTensor<float>& x,
                                    int32_t count) {
  AscendC::Mul(slopes, x, x, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Muls(slopes, slopes, -1.0f, count);
  AscendC::PipeBarrier<PIPE_V>();
  AscendC::Adds(slopes, slopes, 1.0f, count);
}

// Floats of scratch memory.
__aicore__ inline uint32_t SoftcapScratch(const ForwardTiling& tiling) {
  return tiling.chunkFloats / SOFTCAP_PARTS * SOFTCAP_SCRATCH_PARTS;
}

// Caps `floats` scores, a part at a time; their derivative goes to `slopes` where `withSlopes`.
template <bool withSlopes>
__aicore__ inline void Softcap(const AscendC::LocalTensor<float>& scores, const AscendC::LocalTensor<float>& slopes,
                               const AscendC::LocalTensor<float>& scratch, const ForwardTiling& tiling,
                               uint32_t floats) {
  const uint32_t part = tiling.chunkFloats / SOFTCAP_PARTS;
  for (uint32_t first = 0; first < floats; first += part) {
    const int32_t count = static_cast<int32_t>(Min(part, floats - first));
    const AscendC::LocalTensor<float> x = scores[first];
    AscendC::Muls(x, x, tiling.inverseSoftcap, count);
    AscendC::PipeBarrier<PIPE_V>();
    Tanh(x, scratch, scratch[part], scratch[2 * part], count);
    if constexpr (withSlopes) SlopesOfTanh(slopes[first], x, count);
    AscendC::Muls(x, x, tiling.softcap, count);
    AscendC::PipeBarrier<PIPE_V>();
  }
}

}  // namespace npufa
