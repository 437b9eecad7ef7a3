// Softmax over the rows of a score tile: the running form of the forward pass and the recomputed one of the backward.
#pragma once

#include "exp.h"
#include "planes.h"

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

// Where probabilities go, and the degree of the exponential whose error disappears in their rounding.
struct ProbabilitiesF32 {
  static constexpr int kDegree = 6;
  float* p;
  template <int kCount>
  NPUFA_INLINE void Write(std::int64_t j, const VecF (&v)[kCount]) const {
#pragma GCC unroll 8
    for (int u = 0; u < kCount; ++u) Store(p + j + u * kWidth, v[u]);
  }
  NPUFA_INLINE void Clear(std::int64_t j) const { p[j] = 0.0f; }
};
template <int kPlanes>
struct ProbabilitiesBf16 {
  static constexpr int kDegree = kPlanes < 3 ? 4 : 6;
  std::uint16_t* p;
  std::int64_t stride;
  template <int kCount>
  NPUFA_INLINE void Write(std::int64_t j, const VecF (&v)[kCount]) const {
    if constexpr (kPlanes == 1) {
      StoreBFloat16Fast(p + j, v);
    } else {
#pragma GCC unroll 8
      for (int u = 0; u < kCount; ++u) StoreSplit<kPlanes>(p + j + u * kWidth, stride, v[u]);
    }
  }
  NPUFA_INLINE void Clear(std::int64_t j) const {
    for (int i = 0; i < kPlanes; ++i) p[j + i * stride] = 0;
  }
};

// Zeros around [first, last). Those within its lanes are there already, unless the shift of the row is NaN or infinite.
template <class Output>
NPUFA_INLINE void ClearOutside(Output out, Span span, std::int64_t n) {
  for (std::int64_t j = span.begin; j < span.first; ++j) out.Clear(j);
  for (std::int64_t j = span.last; j < span.end; ++j) out.Clear(j);
  const VecF zero[1] = {};
  for (std::int64_t j = 0; j < span.begin; j += kWidth) out.Write(j, zero);
  for (std::int64_t j = span.end; j < PadLane(n); j += kWidth) out.Write(j, zero);
}

// In some lane the largest score of a span, NaN apart.
NPUFA_INLINE VecF MaxOfRow(const float* row, Span span) {
  constexpr int kParts = 4;
  VecF best[kParts];
  for (int u = 0; u < kParts; ++u) best[u] = Splat(-kInf);
  std::int64_t j = span.begin;
  for (; j + kParts * kWidth <= span.end; j += kParts * kWidth) {
#pragma GCC unroll 4
    for (int u = 0; u < kParts; ++u) best[u] = Max(Load(row + j + u * kWidth), best[u]);
  }
  for (; j < span.end; j += kWidth) best[0] = Max(Load(row + j), best[0]);
  return Max(Max(best[0], best[1]), Max(best[2], best[3]));
}

// p = exp(scores * scale - shift) for kCount vectors from column j on, added to sum.
template <int kCount, class Output>
NPUFA_INLINE void ExponentiateColumns(const float* row, std::int64_t j, float scale, float shift, Output out,
                                      VecF* sum) {
  VecF p[kCount];
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) p[u] = Load(row + j + u * kWidth) * scale - shift;
  ExpOfScores<Output::kDegree>(p);
  out.Write(j, p);
#pragma GCC unroll 8
  for (int u = 0; u < kCount; ++u) sum[u] += p[u];
}

// p = exp(scores * scale - shift), returns lanes to be summed up.
template <class Output>
NPUFA_INLINE VecF ExponentiateRow(const float* row, Span span, float scale, float shift, Output out) {
  constexpr int kParts = kRegisters == 32 ? 4 : 2;
  VecF sum[kParts] = {};
  std::int64_t j = span.begin;
  for (; j + kParts * kWidth <= span.end; j += kParts * kWidth) {
    ExponentiateColumns<kParts>(row, j, scale, shift, out, sum);
  }
  for (; j < span.end; j += kWidth) ExponentiateColumns<1>(row, j, scale, shift, out, sum);
  for (int u = 1; u < kParts; ++u) sum[0] += sum[u];
  return sum[0];
}

// Up to kLane rows at a time: all maxima first, so that no exponential waits for the maximum of its own row, and what
// the lanes of the rows come to is found for kWidth rows at once.
template <class OutputOfRow>
inline void SoftmaxGroup(int count, std::int64_t n, float* scores, std::int64_t ld, RowWindow window,
                         std::int64_t first_row, float scale, float* row_max, float* row_sum, float* correction,
                         OutputOfRow output) {
  Span span[kLane] = {};
  VecF lanes[kLane];
  float tile_max[kLane], tile_sum[kLane], delta[kLane] = {};
  // A scale that is not above 0 has been applied to the scores, and 1 is left to apply.
  const float left_scale = scale > 0.0f ? scale : 1.0f;
  for (int r = 0; r < count; ++r) {
    float* row = scores + r * ld;
    span[r] = OpenRow(row, n, window, first_row + r);
    ApplyUnusualScale(row, span[r], scale);
    lanes[r] = MaxOfRow(row, span[r]);
  }
  for (int r = count; r < kLane; ++r) lanes[r] = VecF{};
  for (int r = 0; r < kLane; r += kWidth) {
    Store(tile_max + r, MaxLanes<1, kWidth>(reinterpret_cast<VecF(&)[kWidth]>(lanes[r])) * left_scale);
  }
  for (int r = 0; r < count; ++r) {
    float* row = scores + r * ld;
    const auto out = output(r);
    lanes[r] = VecF{};
    if (span[r].begin < span[r].end) {
      const float before = row_max[r];
      row_max[r] = tile_max[r] > before ? tile_max[r] : before;
      // Without a key so far the shift is 0, because -inf - -inf would be NaN.
      lanes[r] = ExponentiateRow(row, span[r], left_scale, row_max[r] == -kInf ? 0.0f : row_max[r], out);
      delta[r] = before == row_max[r] ? 0.0f : before - row_max[r];
    }
    ClearOutside(out, span[r], n);
  }
  for (int r = 0; r < kLane; r += kWidth) {
    Store(tile_sum + r, SumLanes<1, kWidth>(reinterpret_cast<VecF(&)[kWidth]>(lanes[r])));
    Store(delta + r, Exp(Load(delta + r)));
  }
  for (int r = 0; r < count; ++r) {
    correction[r] = delta[r];
    row_sum[r] = row_sum[r] * delta[r] + tile_sum[r];
    // Only NaN scores: a maximum of -inf would let them pass for a row without keys.
    if (row_max[r] == -kInf && tile_sum[r] != tile_sum[r]) row_max[r] = tile_sum[r];
  }
}

inline void SoftmaxRows(std::int64_t m, std::int64_t n, float* scores, std::int64_t ld, RowWindow window, float scale,
                        float* row_max, float* row_sum, float* correction, const Bf16Planes& planes) {
  for (std::int64_t i = 0; i < m; i += kLane) {
    const int count = static_cast<int>(m - i < kLane ? m - i : kLane);
    float* group = scores + i * ld;
    const auto run = [=](auto output) {
      SoftmaxGroup(count, n, group, ld, window, i, scale, row_max + i, row_sum + i, correction + i, output);
    };
    if (planes.data == nullptr) {
      run([=](int r) { return ProbabilitiesF32{group + r * ld}; });
      continue;
    }
    WithPlanes(planes.count, [&](auto count_of_planes) {
      run([=](int r) {
        return ProbabilitiesBf16<decltype(count_of_planes)::value>{planes.data + (i + r) * planes.ld, planes.stride};
      });
    });
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
