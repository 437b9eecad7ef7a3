// Soft capping of scores, cap * tanh(score / cap).
#pragma once

#include "elementwise.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// Relative error below 4e-7, small arguments included; NaN stays NaN. x * P(x^2) / Q(x^2), minimax on [-9, 9], behind
// which tanh rounds to 1; the same as in op_kernel/attention/softcap.h.
NPUFA_INLINE VecF Tanh(VecF x) {
  x = Max(Splat(-9.0f), Min(Splat(9.0f), x));
  const VecF y = x * x;
  VecF p = Splat(0x1.cd180ep-27f);
  p = Fma(p, y, Splat(0x1.5aa2bcp-16f));
  p = Fma(p, y, Splat(0x1.ca9e7cp-9f));
  p = Fma(p, y, Splat(0x1.121a8ep-3f));
  p = Fma(p, y, Splat(1.0f));
  VecF q = Splat(0x1.a3021ep-21f);
  q = Fma(q, y, Splat(0x1.5916b2p-12f));
  q = Fma(q, y, Splat(0x1.a82f3cp-6f));
  q = Fma(q, y, Splat(0x1.de6294p-2f));
  q = Fma(q, y, Splat(1.0f));
  return x * p / q;
}

inline void SoftcapRows(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, float scale, float cap,
                        float* slopes) {
  const float inverse = 1.0f / cap;
  const auto tanh_of = [=](VecF v) { return Tanh(v * scale * inverse); };
  for (std::int64_t i = 0; i < m; ++i) {
    float* row = scores + i * ld;
    if (slopes == nullptr) {
      UpdateRow(n, row, [=](std::int64_t, VecF v) { return tanh_of(v) * cap; });
      continue;
    }
    float* slope = slopes + i * ld;
    UpdateRow(
        n, row,
        [=](std::int64_t j, VecF v) {
          const VecF t = tanh_of(v);
          Store(slope + j, 1.0f - t * t);
          return t * cap;
        },
        [=](std::int64_t j, VecF v, std::int64_t count) {
          const VecF t = tanh_of(v);
          StoreFirst(slope + j, 1.0f - t * t, count);
          return t * cap;
        });
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
