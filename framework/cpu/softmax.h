// Softmax over the rows of a score tile: the running form of the forward pass and the recomputed one of the backward.
#pragma once

#include "convert.h"
#include "exp.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// The columns [first, last) that take part, and the whole lanes [begin, end) that hold them.
struct Span {
  std::int64_t begin, first, last, end;
};

// The columns of row i that take part. The other scores in their lanes are set to -inf, as if masked, so that the loops
// over the row need no condition.
NPUFA_INLINE Span OpenRow(float* row, std::int64_t n, RowWindow window, std::int64_t i) {
  std::int64_t first = window.begin != nullptr ? window.begin[i] : 0;
  std::int64_t last = window.end != nullptr ? window.end[i] : n;
  if (first < 0) first = 0;
  if (last > n) last = n;
  if (first >= last) return {0, 0, 0, 0};
  const Span span{first / kLane * kLane, first, last, PadLane(last)};
  for (std::int64_t j = span.begin; j < first; ++j) row[j] = -kInf;
  for (std::int64_t j = last; j < span.end; ++j) row[j] = -kInf;
  return span;
}

// A score of -inf is masked whatever the scale. The product with a scale above 0 keeps it; any other scale is applied
// here, and 1 is left to apply.
NPUFA_INLINE float ApplyUnusualScale(float* row, Span span, float scale) {
  if (__builtin_expect(scale > 0.0f, 1)) return scale;
  for (std::int64_t j = span.begin; j < span.end; j += kWidth) {
    const VecF s = Load(row + j);
    Store(row + j, s == -kInf ? s : s * scale);
  }
  return 1.0f;
}

struct ProbabilitiesF32 {
  float* p;
  NPUFA_INLINE void Write(std::int64_t j, VecF v) const { Store(p + j, v); }
  NPUFA_INLINE void Clear(std::int64_t j) const { p[j] = 0.0f; }
};
struct ProbabilitiesBf16 {
  std::uint16_t* p;
  NPUFA_INLINE void Write(std::int64_t j, VecF v) const { StoreU16(p + j, RoundToBFloat16Fast(v)); }
  NPUFA_INLINE void Clear(std::int64_t j) const { p[j] = 0; }
};

// Zeros around [first, last). Those within its lanes are there already, unless the shift of the row is NaN or infinite.
template <class Output>
NPUFA_INLINE void ClearOutside(Output out, Span span, std::int64_t n) {
  for (std::int64_t j = span.begin; j < span.first; ++j) out.Clear(j);
  for (std::int64_t j = span.last; j < span.end; ++j) out.Clear(j);
  for (std::int64_t j = 0; j < span.begin; j += kWidth) out.Write(j, VecF{});
  for (std::int64_t j = span.end; j < PadLane(n); j += kWidth) out.Write(j, VecF{});
}

// max(row_max, scores * scale); NaN scores do not count, a row_max of NaN stays.
NPUFA_INLINE float MaxOfRow(const float* row, Span span, float scale, float row_max) {
  constexpr int kParts = 4;
  VecF best[kParts];
  for (int u = 0; u < kParts; ++u) best[u] = Splat(-kInf);
  std::int64_t j = span.begin;
  for (; j + kParts * kWidth <= span.end; j += kParts * kWidth) {
#pragma GCC unroll 4
    for (int u = 0; u < kParts; ++u) best[u] = Max(Load(row + j + u * kWidth) * scale, best[u]);
  }
  for (; j < span.end; j += kWidth) best[0] = Max(Load(row + j) * scale, best[0]);
  const float tile = HorizontalMax(Max(Max(best[0], best[1]), Max(best[2], best[3])));
  return tile > row_max ? tile : row_max;
}

// p = exp(scores * scale - shift), returns their sum.
template <class Output>
NPUFA_INLINE float ExponentiateRow(const float* row, Span span, float scale, float shift, Output out) {
  VecF even{};
  VecF odd{};
  std::int64_t j = span.begin;
  for (; j + 2 * kWidth <= span.end; j += 2 * kWidth) {
    const VecF p0 = Exp<true>(Load(row + j) * scale - shift);
    const VecF p1 = Exp<true>(Load(row + j + kWidth) * scale - shift);
    even += p0;
    odd += p1;
    out.Write(j, p0);
    out.Write(j + kWidth, p1);
  }
  if (j < span.end) {
    const VecF p = Exp<true>(Load(row + j) * scale - shift);
    even += p;
    out.Write(j, p);
  }
  return HorizontalSum(even + odd);
}

template <class Output>
NPUFA_INLINE float SoftmaxRow(float* row, Span span, float scale, float* row_max, float* delta, Output out) {
  scale = ApplyUnusualScale(row, span, scale);
  const float before = *row_max;
  const float after = MaxOfRow(row, span, scale, before);
  // Without a key so far the shift is 0, because -inf - -inf would be NaN.
  const float sum = ExponentiateRow(row, span, scale, after == -kInf ? 0.0f : after, out);
  *delta = before == after ? 0.0f : before - after;
  // Only NaN scores: a maximum of -inf would let them pass for a row without keys.
  *row_max = after == -kInf && sum != sum ? sum : after;
  return sum;
}

inline void SoftmaxRows(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, RowWindow window, float scale,
                        float* row_max, float* row_sum, float* correction, std::uint16_t* p_bf16, std::int64_t ldp) {
  // The corrections of a group of rows are one vector (or a few) to exponentiate.
  for (std::int64_t first = 0; first < m; first += kLane) {
    const int count = static_cast<int>(m - first < kLane ? m - first : kLane);
    float delta[kLane] = {};
    float sum[kLane] = {};
    for (int r = 0; r < count; ++r) {
      const std::int64_t i = first + r;
      float* row = scores + i * ld;
      const Span span = OpenRow(row, n, window, i);
      if (p_bf16 != nullptr) {
        const ProbabilitiesBf16 out{p_bf16 + i * ldp};
        if (span.begin < span.end) sum[r] = SoftmaxRow(row, span, scale, row_max + i, delta + r, out);
        ClearOutside(out, span, n);
      } else {
        const ProbabilitiesF32 out{row};
        if (span.begin < span.end) sum[r] = SoftmaxRow(row, span, scale, row_max + i, delta + r, out);
        ClearOutside(out, span, n);
      }
    }
    for (int r = 0; r < kLane; r += kWidth) Store(delta + r, Exp(Load(delta + r)));
    for (int r = 0; r < count; ++r) {
      correction[first + r] = delta[r];
      row_sum[first + r] = row_sum[first + r] * delta[r] + sum[r];
    }
  }
}

inline void ExpRows(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, RowWindow window, float scale,
                    const float* shift, const float* factor) {
  for (std::int64_t i = 0; i < m; ++i) {
    float* row = scores + i * ld;
    const Span span = OpenRow(row, n, window, i);
    const float row_scale = ApplyUnusualScale(row, span, scale);
    for (std::int64_t j = span.begin; j < span.end; j += kWidth) {
      Store(row + j, Exp(Load(row + j) * row_scale - shift[i]) * factor[i]);
    }
    ClearOutside(ProbabilitiesF32{row}, span, n);
  }
}

inline void SoftmaxGradRows(std::int64_t m, std::int64_t n, const float* p, std::int64_t ldp, float* dp,
                            std::int64_t ldd, const float* delta, float scale) {
  for (std::int64_t i = 0; i < m; ++i) {
    const float* in = p + i * ldp;
    float* out = dp + i * ldd;
    std::int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) Store(out + j, Load(in + j) * (Load(out + j) - delta[i]) * scale);
    if (j < n) {
      const VecF grad = LoadFirst(in + j, n - j) * (LoadFirst(out + j, n - j) - delta[i]) * scale;
      Store(out + j, VecF{});
      StoreFirst(out + j, grad, n - j);
      j += kWidth;
    }
    for (; j < PadLane(n); j += kWidth) Store(out + j, VecF{});
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
