// The exponential function on vectors.
#pragma once

#include "simd.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// e^x within 2 units in the last place for |x| <= 30 and 6 at the ends of the range; exactly 1 at 0, 0 from -104 down,
// inf from 88.73 up; NaN stays NaN. With kBoundedAbove the caller promises x <= 88 (or NaN).
// Results below 2^-125 are rounded correctly with AVX-512 and flushed to 0 elsewhere, where a multiplication that ends
// there can take hundreds of cycles - and masked scores all would.
template <bool kBoundedAbove = false>
NPUFA_INLINE VecF Exp(VecF x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
#if defined(__AVX512F__)
  constexpr float kLowest = -105.0f;
#else
  constexpr float kLowest = kBoundedAbove ? -88.0f : -87.5f;  // where n is -127, -126
#endif
  x = Max(Splat(kLowest), x);
  if constexpr (!kBoundedAbove) x = Min(Splat(89.0f), x);
  const VecF shifted = Fma(x, Splat(1.44269504088896341f), Splat(kShift));
  const VecF n = shifted - kShift;
  // x - n * ln 2. Fused, one constant is enough, since float(ln 2) is off by only 2^-29; otherwise n times the first of
  // two must be exact.
  const VecF r = kFused ? Fma(n, Splat(-0.693147180559945309f), x)
                        : Fma(n, Splat(2.12194440e-4f), Fma(n, Splat(-0.693359375f), x));
  // Minimax for the relative error on |r| <= ln(2) / 2, 2^-28.3.
  VecF p = Splat(0x1.6a244cp-10f);
  p = Fma(p, r, Splat(0x1.1239d4p-7f));
  p = Fma(p, r, Splat(0x1.5558f2p-5f));
  p = Fma(p, r, Splat(0x1.555492p-3f));
  p = Fma(p, r, Splat(0x1.fffffcp-2f));
  p = Fma(p, r, Splat(1.0f));
  p = Fma(p, r, Splat(1.0f));
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, n);
#else
  // n stands in the low bits of `shifted`, and n + 127 is the exponent field of 2^n: for the lowest n all bits are 0,
  // which is the number 0. 2^128 is out of range, so the form that has to reach it doubles the product by 2^(n - 1).
  constexpr std::uint32_t kBias = kBoundedAbove ? 127 : 126;
  const VecF scaled = p * FromBits((Bits(shifted) << 23) + (kBias << 23));
  return kBoundedAbove ? scaled : scaled + scaled;
#endif
}

// Coefficients c of 2^r = 1 + c[0] r^n + c[1] r^(n-1) + ... for |r| <= 1/2: minimax for the relative error among the
// polynomials that are 1 at 0.
template <int kDegree>
struct PowerOf2;
template <>
struct PowerOf2<4> {  // 2^-18.4
  static constexpr float kCoefficients[] = {0x1.3a02d2p-7f, 0x1.c9fc48p-5f, 0x1.ec0378p-3f, 0x1.62e12cp-1f};
};
template <>
struct PowerOf2<6> {  // 2^-25.9, of which rounding the coefficients is most
  static constexpr float kCoefficients[] = {0x1.41fbbep-13f, 0x1.5f3e54p-10f, 0x1.3b2d4cp-7f,
                                            0x1.c6aee8p-5f,  0x1.ebfbdcp-3f,  0x1.62e430p-1f};
};

// x = e^x for x <= 88 (or NaN), with a relative error of 2^-26 |x| beside that of PowerOf2; exactly 1 at 0, and 0 below
// -87.7. None of the slow instructions that the ends of the range would need; the vectors go through the steps side by
// side, because the chain of one is longer than a core looks ahead.
template <int kDegree, int kCount>
NPUFA_INLINE void ExpOfScores(VecF (&x)[kCount]) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  constexpr auto& kPower = PowerOf2<kDegree>::kCoefficients;
  constexpr float kLog2E = 1.44269504088896341f;
  VecF shifted[kCount], p[kCount];
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) x[u] = Max(Splat(-88.0f), x[u]);  // -127 in powers of 2
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) shifted[u] = Fma(x[u], Splat(kLog2E), Splat(kShift));
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) x[u] = Fma(x[u], Splat(kLog2E), kShift - shifted[u]);
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) p[u] = Fma(Splat(kPower[0]), x[u], Splat(kPower[1]));
#pragma GCC unroll 8
  for (int k = 2; k < kDegree; ++k) {
#pragma GCC unroll 8
    for (int u = 0; u < kCount; ++u) p[u] = Fma(p[u], x[u], Splat(kPower[k]));
  }
  // The integer stands in the low bits of `shifted`; at -127 the exponent field of the power becomes 0: the number 0.
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) {
    x[u] = Fma(p[u], x[u], Splat(1.0f)) * FromBits((Bits(shifted[u]) << 23) + (127u << 23));
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
