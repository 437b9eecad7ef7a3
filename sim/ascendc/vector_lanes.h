// Eight elements at a time: loading and storing every element type as lanes to compute in, and functions of lanes.
// 16-bit floating types compute in float and round once on storing.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dtypes.h"

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>
#define NPUFA_SIM_AVX2 1
#endif

namespace npufa_sim {

inline constexpr int kLanes = 8;

template <class T>
struct LaneVector {
  typedef T Type __attribute__((vector_size(kLanes * sizeof(T))));
};
using LanesF = LaneVector<float>::Type;
using LanesI = LaneVector<std::int32_t>::Type;
using LanesU = LaneVector<std::uint32_t>::Type;
using LanesU16 = LaneVector<std::uint16_t>::Type;

template <class V, class T>
inline V LoadLanes(const T* p) {
  V v;
  static_assert(sizeof v == kLanes * sizeof(T));
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
inline void StoreLanes(T* p, V v) {
  static_assert(sizeof v == kLanes * sizeof(T));
  std::memcpy(p, &v, sizeof v);
}

inline LanesU BitsOf(LanesF v) { return reinterpret_cast<LanesU>(v); }
inline LanesF FloatOf(LanesU v) { return reinterpret_cast<LanesF>(v); }
inline LanesF SplatF(float value) { return LanesF{} + value; }
inline LanesU SplatU(std::uint32_t value) { return LanesU{} + value; }

inline LanesU WidenU16(LanesU16 v) {
#if defined(NPUFA_SIM_AVX2)
  return reinterpret_cast<LanesU>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(v)));
#else
  return __builtin_convertvector(v, LanesU);
#endif
}
inline LanesU16 NarrowU16(LanesU v) {
#if defined(NPUFA_SIM_AVX2)
  const __m256i packed = _mm256_packus_epi32(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(v));
  return reinterpret_cast<LanesU16>(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#else
  return __builtin_convertvector(v, LanesU16);
#endif
}

// How elements of T lie in memory (Raw) and in lanes (Vec).
template <class T>
struct Format {
  using Raw = T;
  using Vec = typename LaneVector<T>::Type;
  static Vec Load(const Raw* p) { return LoadLanes<Vec>(p); }
  static void Store(Raw* p, Vec v) { StoreLanes(p, v); }
};

template <>
struct Format<half> {
  using Raw = std::uint16_t;
  using Vec = LanesF;
  static Vec Load(const Raw* p) {
#if defined(NPUFA_SIM_AVX2)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    Vec v;
    for (int i = 0; i < kLanes; ++i) v[i] = HalfToFloat(p[i]);
    return v;
#endif
  }
  static void Store(Raw* p, Vec v) {
#if defined(NPUFA_SIM_AVX2)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
    for (int i = 0; i < kLanes; ++i) p[i] = FloatToHalf(v[i]);
#endif
  }
};

template <>
struct Format<bfloat16_t> {
  using Raw = std::uint16_t;
  using Vec = LanesF;
  static Vec Load(const Raw* p) { return FloatOf(WidenU16(LoadLanes<LanesU16>(p)) << 16); }
  static void Store(Raw* p, Vec v) {
    const LanesU u = BitsOf(v);
    const LanesU rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    StoreLanes(p, NarrowU16(v != v ? (u >> 16) | 0x40u : rounded));
  }
};

// Calls f with the lanes of `count` elements: whole groups in place, the rest through a copy. Operands may be the same
// memory.
template <class D, class F>
inline void MapLanes(typename Format<D>::Raw* dst, std::int64_t count, F&& lanes_at) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Format<D>::Store(dst + i, lanes_at(i, kLanes));
  if (i < count) {
    typename Format<D>::Raw rest[kLanes];
    Format<D>::Store(rest, lanes_at(i, static_cast<int>(count - i)));
    std::memcpy(dst + i, rest, static_cast<std::size_t>(count - i) * sizeof rest[0]);
  }
}

template <class T>
inline typename Format<T>::Vec LoadSome(const typename Format<T>::Raw* p, int count) {
  if (count == kLanes) return Format<T>::Load(p);
  typename Format<T>::Raw lanes[kLanes] = {};
  std::memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof lanes[0]);
  return Format<T>::Load(lanes);
}

// ---- functions of float lanes ----

inline LanesF FusedMultiplyAdd(LanesF a, LanesF b, LanesF c) {
#if defined(NPUFA_SIM_AVX2) && defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  for (int i = 0; i < kLanes; ++i) c[i] = std::fma(a[i], b[i], c[i]);
  return c;
#endif
}

inline LanesF SquareRoot(LanesF v) {
#if defined(NPUFA_SIM_AVX2)
  return _mm256_sqrt_ps(v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = std::sqrt(v[i]);
  return v;
#endif
}

inline LanesF Absolute(LanesF v) { return FloatOf(BitsOf(v) & 0x7fffffffu); }

// A NaN operand gives NaN.
inline LanesF Larger(LanesF a, LanesF b) {
  const LanesF larger = a > b ? a : b;
  return a != a ? a : larger;
}
inline LanesF Smaller(LanesF a, LanesF b) {
  const LanesF smaller = a < b ? a : b;
  return a != a ? a : smaller;
}

inline LanesF ToIntegerNearest(LanesF v) {
#if defined(NPUFA_SIM_AVX2)
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = std::nearbyint(v[i]);
  return v;
#endif
}

// Within one unit in the last place; results below the normal range are rounded once more.
inline LanesF Exponential(LanesF x) {
  // Far below the range a product would end among the subnormal numbers, which is slow, to be thrown away.
  const auto vanishes = x < -104.0f;
  const LanesF in_range = vanishes ? SplatF(0.0f) : Smaller(x, SplatF(89.0f));
  const LanesF n = ToIntegerNearest(in_range * 1.44269504088896341f);
  LanesF r = FusedMultiplyAdd(n, SplatF(-0.693359375f), in_range);
  r = FusedMultiplyAdd(n, SplatF(2.12194440054690583e-4f), r);
  // Taylor to the seventh power: the rest is below 2^-30 for |r| <= ln(2) / 2.
  LanesF p = SplatF(1.0f / 5040);
  p = FusedMultiplyAdd(p, r, SplatF(1.0f / 720));
  p = FusedMultiplyAdd(p, r, SplatF(1.0f / 120));
  p = FusedMultiplyAdd(p, r, SplatF(1.0f / 24));
  p = FusedMultiplyAdd(p, r, SplatF(1.0f / 6));
  p = FusedMultiplyAdd(p, r, SplatF(0.5f));
  p = FusedMultiplyAdd(p * r, r, r) + 1.0f;
  // 2^n in two factors, so that both ends of the range are reached.
  const LanesI whole = __builtin_convertvector(n == n ? n : SplatF(0.0f), LanesI);
  const LanesI first = whole >> 1;
  const auto power = [](LanesI e) { return FloatOf(reinterpret_cast<LanesU>((e + 127) << 23)); };
  const LanesF result = p * power(first) * power(whole - first);
  return vanishes ? SplatF(0.0f) : result;
}

inline LanesF Logarithm(LanesF v) {
  for (int i = 0; i < kLanes; ++i) v[i] = std::log(v[i]);
  return v;
}

}  // namespace npufa_sim
