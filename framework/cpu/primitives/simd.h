// Vectors of kWidth 32-bit lanes on the GCC/Clang vector extensions, as wide as the instruction set this translation
// unit is compiled for. Intrinsics appear only where the extensions have no word for the instruction.
//
// This header and those built on it are compiled several times into one library. Everything lives in an unnamed
// namespace: with external linkage the linker would keep one copy, and it could be the one a given CPU cannot execute.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "primitives.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define NPUFA_INLINE inline __attribute__((always_inline))

namespace npufa::cpu::NPUFA_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kWidth = 4;
constexpr int kRegisters = 32;
#else
constexpr int kWidth = 4;
constexpr int kRegisters = 16;
#endif

using VecF __attribute__((vector_size(kWidth * 4))) = float;
using VecI __attribute__((vector_size(kWidth * 4))) = std::int32_t;
using VecU __attribute__((vector_size(kWidth * 4))) = std::uint32_t;
using VecU64 __attribute__((vector_size(kWidth * 4))) = std::uint64_t;
// As many narrow elements as there are 32-bit lanes.
using VecU8 __attribute__((vector_size(kWidth))) = std::uint8_t;
using VecU16 __attribute__((vector_size(kWidth * 2))) = std::uint16_t;

constexpr float kInf = __builtin_inff();

using VecFAnywhere __attribute__((vector_size(kWidth * 4), aligned(1), may_alias)) = float;
using VecUAnywhere __attribute__((vector_size(kWidth * 4), aligned(1), may_alias)) = std::uint32_t;
using VecU8Anywhere __attribute__((vector_size(kWidth), aligned(1), may_alias)) = std::uint8_t;
using VecU16Anywhere __attribute__((vector_size(kWidth * 2), aligned(1), may_alias)) = std::uint16_t;

NPUFA_INLINE VecF Load(const void* p) { return *static_cast<const VecFAnywhere*>(p); }
NPUFA_INLINE VecU LoadU(const void* p) { return *static_cast<const VecUAnywhere*>(p); }
NPUFA_INLINE VecU8 LoadU8(const void* p) { return *static_cast<const VecU8Anywhere*>(p); }
NPUFA_INLINE VecU16 LoadU16(const void* p) { return *static_cast<const VecU16Anywhere*>(p); }

NPUFA_INLINE void Store(void* p, VecF v) { *static_cast<VecFAnywhere*>(p) = v; }
NPUFA_INLINE void StoreU(void* p, VecU v) { *static_cast<VecUAnywhere*>(p) = v; }
NPUFA_INLINE void StoreU16(void* p, VecU16 v) { *static_cast<VecU16Anywhere*>(p) = v; }

// The first `count` < kWidth elements; the rest of the vector is zero and the memory behind it is not touched.
NPUFA_INLINE VecF LoadFirst(const float* p, std::int64_t count) {
  float lanes[kWidth] = {};
  __builtin_memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(float));
  return Load(lanes);
}
NPUFA_INLINE void StoreFirst(float* p, VecF v, std::int64_t count) {
  float lanes[kWidth];
  Store(lanes, v);
  __builtin_memcpy(p, lanes, static_cast<std::size_t>(count) * sizeof(float));
}

NPUFA_INLINE VecF Splat(float x) { return x - VecF{}; }
NPUFA_INLINE VecU SplatU(std::uint32_t x) { return x - VecU{}; }

NPUFA_INLINE VecU Bits(VecF v) { return reinterpret_cast<VecU>(v); }
NPUFA_INLINE VecF FromBits(VecU v) { return reinterpret_cast<VecF>(v); }

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

// Rounded once where kFused, thanks to -ffp-contract=fast.
NPUFA_INLINE VecF Fma(VecF a, VecF b, VecF c) { return a * b + c; }

// Max and Min return `b` when either operand is NaN.
NPUFA_INLINE VecF Max(VecF a, VecF b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
  return _mm_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
NPUFA_INLINE VecF Min(VecF a, VecF b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

NPUFA_INLINE VecF Abs(VecF v) { return FromBits(Bits(v) & 0x7fffffffu); }

NPUFA_INLINE VecF Sqrt(VecF v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(v);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(v);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(v);
#elif defined(__aarch64__)
  return vsqrtq_f32(v);
#else
  VecF r;
  for (int i = 0; i < kWidth; ++i) r[i] = __builtin_sqrtf(v[i]);
  return r;
#endif
}

// Lane i is i.
NPUFA_INLINE VecI Iota() {
  VecI v;
  for (int i = 0; i < kWidth; ++i) v[i] = i;
  return v;
}

// In 64-bit lanes: the product of the low 32 bits of both.
NPUFA_INLINE VecU64 MultiplyLow32(VecU64 a, VecU64 b) {
#if defined(__AVX512F__)
  return reinterpret_cast<VecU64>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<VecU64>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<VecU64>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#elif defined(__aarch64__)
  return reinterpret_cast<VecU64>(
      vmull_u32(vmovn_u64(reinterpret_cast<uint64x2_t>(a)), vmovn_u64(reinterpret_cast<uint64x2_t>(b))));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define NPUFA_BF16_PRODUCTS 1
// sum + the products of both bfloat16 of a lane.
NPUFA_INLINE VecF AddPairs(VecF sum, VecU a, VecU b) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  return vbfdotq_f32(sum, reinterpret_cast<bfloat16x8_t>(a), reinterpret_cast<bfloat16x8_t>(b));
#endif
}
#endif

using LaneIndices = std::make_integer_sequence<int, kWidth>;

// Butterfly(a, b) exchanges, of lanes whose indices differ in bit kBit, the upper one of `a` with the lower one of `b`.
template <int kBit, int... kLanes>
NPUFA_INLINE VecF ButterflyLow(VecF a, VecF b, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(a, b, ((kLanes & kBit) ? kLanes - kBit + kWidth : kLanes)...);
}
template <int kBit, int... kLanes>
NPUFA_INLINE VecF ButterflyHigh(VecF a, VecF b, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(a, b, ((kLanes & kBit) ? kLanes + kWidth : kLanes + kBit)...);
}

template <int kBit = 1>
NPUFA_INLINE void Transpose(VecF (&v)[kWidth]) {
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) {
    if (i & kBit) continue;
    const VecF a = v[i];
    const VecF b = v[i + kBit];
    v[i] = ButterflyLow<kBit>(a, b, LaneIndices{});
    v[i + kBit] = ButterflyHigh<kBit>(a, b, LaneIndices{});
  }
  if constexpr (kBit * 2 < kWidth) Transpose<kBit * 2>(v);
}

template <int kBit, class Vec, int... kLanes>
NPUFA_INLINE Vec SwapLanes(Vec v, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(v, v, (kLanes ^ kBit)...);
}

// v[0 .. kCount) become one vector while lanes are combined over the bits [kFrom, kFrom * kCount) of their index:
// reducing kWidth vectors from 1 on leaves in lane i what the lanes of v[i] come to. A caller short of registers
// reduces groups of vectors first and what they leave, from kFrom = the size of a group on, later.
template <int kFrom, int kCount, class Vec, int kSize, class Combine>
NPUFA_INLINE Vec ReduceLanes(Vec (&v)[kSize], Combine combine) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    const VecI upper = (Iota() & kFrom) != 0;
#pragma GCC unroll 8
    for (int i = 0; i < kCount / 2; ++i) {
      const Vec a = v[2 * i];
      const Vec b = v[2 * i + 1];
      v[i] = combine(upper ? b : a, SwapLanes<kFrom>(upper ? a : b, LaneIndices{}));
    }
    return ReduceLanes<kFrom * 2, kCount / 2>(v, combine);
  }
}
template <int kFrom, int kCount, class Vec, int kSize>
NPUFA_INLINE Vec SumLanes(Vec (&v)[kSize]) {
  return ReduceLanes<kFrom, kCount>(v, [](Vec a, Vec b) { return a + b; });
}
template <int kFrom, int kCount, int kSize>
NPUFA_INLINE VecF MaxLanes(VecF (&v)[kSize]) {
  return ReduceLanes<kFrom, kCount>(v, [](VecF a, VecF b) { return Max(a, b); });
}

template <int kBit = kWidth / 2>
NPUFA_INLINE float HorizontalMax(VecF v) {
  v = Max(v, SwapLanes<kBit>(v, LaneIndices{}));
  if constexpr (kBit > 1) return HorizontalMax<kBit / 2>(v);
  return v[0];
}

template <int kBit = kWidth / 2, class Vec>
NPUFA_INLINE auto HorizontalSum(Vec v) {
  v = v + SwapLanes<kBit>(v, LaneIndices{});
  if constexpr (kBit > 1) {
    return HorizontalSum<kBit / 2>(v);
  } else {
    return std::decay_t<decltype(v[0])>(v[0]);
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
