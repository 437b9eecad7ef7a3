// Rounding modes on lanes: to integers, to the 16-bit floating formats, and integers to float.
#pragma once

#include <bit>

#include "vector_lanes.h"
#include "vector_ops.h"

namespace npufa_sim {

// Whether to take the neighbour farther from zero. Comparisons give lanes of all ones or zeros.
template <Rounding rounding, class Mask>
inline Mask RoundsAway(Mask inexact, Mask above_half, Mask tie, Mask odd, Mask negative) {
  if constexpr (rounding == Rounding::kNone || rounding == Rounding::kNearestEven) return above_half | (tie & odd);
  if constexpr (rounding == Rounding::kNearestAway) return above_half | tie;
  if constexpr (rounding == Rounding::kFloor) return inexact & negative;
  if constexpr (rounding == Rounding::kCeil) return inexact & ~negative;
  if constexpr (rounding == Rounding::kOdd) return inexact & ~odd;
  return Mask{};
}

inline LanesF TowardsZero(LanesF v) {
#if defined(NPUFA_SIM_AVX2)
  return _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = std::trunc(v[i]);
  return v;
#endif
}

inline LanesF WithSignOf(LanesF magnitude, LanesF sign) {
  return FloatOf((BitsOf(magnitude) & 0x7fffffffu) | (BitsOf(sign) & 0x80000000u));
}

// To an integer, still as float.
template <Rounding rounding>
inline LanesF RoundToInteger(LanesF v) {
  if constexpr (rounding == Rounding::kNone || rounding == Rounding::kNearestEven) return ToIntegerNearest(v);
  const LanesF whole = Absolute(TowardsZero(v));
  const LanesF rest = Absolute(v) - whole;
  const LanesI odd = whole - 2.0f * TowardsZero(whole * 0.5f) == 1.0f;
  const LanesI away = RoundsAway<rounding, LanesI>(rest > 0.0f, rest > 0.5f, rest == 0.5f, odd, v < 0.0f);
  return WithSignOf(away ? whole + 1.0f : whole, v);
}

// To float values that bfloat16_t or half can hold, as far as they are in range.
template <Rounding rounding>
inline LanesU RoundMagnitude(LanesU magnitude, int dropped, LanesI negative) {
  const LanesU unit = SplatU(1u << dropped);
  const LanesU low = magnitude & (unit - 1);
  const LanesU kept = magnitude - low, middle = unit >> 1;
  const LanesI away = RoundsAway<rounding, LanesI>(low != 0, low > middle, low == middle, (kept & unit) != 0, negative);
  return away ? kept + unit : kept;
}

template <Rounding rounding>
inline LanesU16 RoundToBfloat16(LanesF v) {
  const LanesU bits = BitsOf(v), magnitude = bits & 0x7fffffffu;
  const LanesI negative = reinterpret_cast<LanesI>(bits) < 0;
  const LanesU rounded = RoundMagnitude<rounding>(magnitude, 16, negative) | (bits & 0x80000000u);
  return NarrowU16(v != v ? (bits >> 16) | 0x40u : rounded >> 16);
}

template <Rounding rounding>
inline LanesF RoundToHalfValues(LanesF v) {
  if constexpr (rounding == Rounding::kNone || rounding == Rounding::kNearestEven) return v;  // storing rounds so
  constexpr std::uint32_t kLargest = 0x477fe000u, kInfinity = 0x7f800000u, kSmallestNormal = 113u << 23;
  const LanesU bits = BitsOf(v), magnitude = bits & 0x7fffffffu;
  const LanesI negative = reinterpret_cast<LanesI>(bits) < 0;
  LanesU normal = RoundMagnitude<rounding>(magnitude, 13, negative);
  const bool keeps_finite = rounding == Rounding::kTruncate || rounding == Rounding::kOdd;
  LanesI stays = keeps_finite ? LanesI{} - 1 : LanesI{};
  if constexpr (rounding == Rounding::kFloor) stays = ~negative;
  if constexpr (rounding == Rounding::kCeil) stays = negative;
  normal = ((normal > kLargest) & (magnitude < kInfinity) & stays) ? SplatU(kLargest) : normal;
  // Below the normal range the unit is 2^-24.
  const LanesF scaled = FloatOf(magnitude) * 0x1p24f;
  const LanesF units = Absolute(RoundToInteger<rounding>(WithSignOf(scaled, v)));
  const LanesF result = magnitude < kSmallestNormal ? units * 0x1p-24f : FloatOf(normal);
  return v != v ? v : WithSignOf(result, v);
}

// Saturating; a NaN gives 0. Takes integers in float lanes.
template <class Integer>
inline LanesI SaturateTo(LanesF v) {
  constexpr float kLow = static_cast<float>(std::numeric_limits<Integer>::min());
  constexpr float kHigh = static_cast<float>(std::numeric_limits<Integer>::max());  // 2^31 for 32 bits
  const LanesI too_large = v >= kHigh;
  LanesF in_range = v == v ? v : LanesF{};
  in_range = in_range < kLow ? SplatF(kLow) : in_range;
  in_range = too_large ? LanesF{} : in_range;
  const LanesI converted = __builtin_convertvector(in_range, LanesI);
  return too_large ? LanesI{} + static_cast<std::int32_t>(std::numeric_limits<Integer>::max()) : converted;
}

template <Rounding rounding>
inline float IntegerToFloat(std::int64_t value) {
  const bool negative = value < 0;
  std::uint64_t magnitude = negative ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const int dropped = 64 - std::countl_zero(magnitude) - 24;
  if (dropped > 0) {
    const std::uint64_t unit = std::uint64_t{1} << dropped, low = magnitude & (unit - 1), middle = unit >> 1;
    magnitude -= low;
    if (RoundsAway<rounding, int>(low != 0, low > middle, low == middle, (magnitude & unit) != 0, negative) & 1) {
      magnitude += unit;
    }
  }
  const float result = static_cast<float>(magnitude);
  return negative ? -result : result;
}

}  // namespace npufa_sim
