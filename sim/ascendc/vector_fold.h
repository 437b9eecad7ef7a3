// Folding the elements of one repeat: sums in the chip's order, extremes with the index of the first.
#pragma once

#include <algorithm>
#include <limits>

#include "vector_lanes.h"
#include "vector_ops.h"

namespace npufa_sim {

inline constexpr int kMaxLanes = 128;

// Values of a repeat as float; lanes that take no part hold the neutral element.
struct RepeatValues {
  alignas(32) float value[kMaxLanes];
};

inline float Neutral(ReduceOp op) {
  if (op == ReduceOp::kSum) return 0.0f;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  return op == ReduceOp::kMax ? -infinity : infinity;
}

// Sums of neighbours: 2 x 8 to 8.
inline LanesF PairSums(LanesF a, LanesF b) {
#if defined(NPUFA_SIM_AVX2)
  const __m256d mixed = _mm256_castps_pd(_mm256_hadd_ps(a, b));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xd8));
#else
  return LanesF{a[0] + a[1], a[2] + a[3], a[4] + a[5], a[6] + a[7], b[0] + b[1], b[2] + b[3], b[4] + b[5], b[6] + b[7]};
#endif
}

inline LanesF RoundedTo(Dtype dtype, LanesF v) {
  if (dtype != Dtype::kHalf) return v;
  std::uint16_t bits[kLanes];
  Format<half>::Store(bits, v);
  return Format<half>::Load(bits);
}

// Adds neighbours until groups of `group` elements (a power of two) have become one; leaves the sums in front.
inline void FoldSums(Dtype dtype, float* value, int lanes, int group) {
  for (; group > 1; group /= 2, lanes /= 2) {
    for (int i = 0; i < lanes; i += 2 * kLanes) {
      const LanesF first = LoadLanes<LanesF>(value + i);
      const LanesF second = i + kLanes < lanes ? LoadLanes<LanesF>(value + i + kLanes) : LanesF{};
      StoreLanes(value + i / 2, RoundedTo(dtype, PairSums(first, second)));
    }
  }
}

inline LanesF Extreme(ReduceOp op, LanesF a, LanesF b) { return op == ReduceOp::kMax ? Larger(a, b) : Smaller(a, b); }

// `lanes` is a multiple of 8. A NaN among the values is the result.
inline float FoldExtreme(ReduceOp op, const float* value, int lanes) {
  LanesF folded = LoadLanes<LanesF>(value);
  for (int i = kLanes; i < lanes; i += kLanes) folded = Extreme(op, folded, LoadLanes<LanesF>(value + i));
  folded = Extreme(op, folded, __builtin_shuffle(folded, LanesI{4, 5, 6, 7, 0, 1, 2, 3}));
  folded = Extreme(op, folded, __builtin_shuffle(folded, LanesI{2, 3, 0, 1, 6, 7, 4, 5}));
  return Extreme(op, folded, __builtin_shuffle(folded, LanesI{1, 0, 3, 2, 5, 4, 7, 6}))[0];
}

// Eight blocks of eight floats: element i of every block in lanes i.
inline void Transpose(const float* blocks, LanesF (&lanes)[kLanes]) {
  LanesF next[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = LoadLanes<LanesF>(blocks + i * kLanes);
  // Interleaving row i with row i + 4 three times over exchanges rows and columns.
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 4; ++i) {
      next[2 * i] = __builtin_shuffle(lanes[i], lanes[i + 4], LanesI{0, 8, 1, 9, 2, 10, 3, 11});
      next[2 * i + 1] = __builtin_shuffle(lanes[i], lanes[i + 4], LanesI{4, 12, 5, 13, 6, 14, 7, 15});
    }
    std::memcpy(lanes, next, sizeof next);
  }
}

// FoldExtreme of each of eight blocks of `per_block` values, left in front.
inline void FoldExtremes(ReduceOp op, float* value, int per_block) {
  if (per_block != kLanes) {
    for (int block = 0; block < kLanes; ++block) value[block] = FoldExtreme(op, value + block * per_block, per_block);
    return;
  }
  LanesF lanes[kLanes];
  Transpose(value, lanes);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = Extreme(op, lanes[i], lanes[i + half]);
  }
  StoreLanes(value, lanes[0]);
}

}  // namespace npufa_sim
