// Element formats: loading any of them as float32 and rounding float32 to the 16-bit ones.
#pragma once

#include "simd.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// Between 32-bit lanes and narrower unsigned elements. GCC 12 compiles __builtin_convertvector into halves, or for
// 8-bit elements into single lanes.
NPUFA_INLINE VecU Widen(VecU16 v) {
#if defined(__AVX512F__)
  return reinterpret_cast<VecU>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<VecU>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(v)));
#else
  return __builtin_convertvector(v, VecU);
#endif
}
NPUFA_INLINE VecU16 Narrow(VecU v) {
#if defined(__AVX512F__)
  return reinterpret_cast<VecU16>(_mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(v)));
#elif defined(__AVX2__)
  const __m256i within_halves = _mm256_packus_epi32(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(v));
  return reinterpret_cast<VecU16>(_mm256_castsi256_si128(_mm256_permute4x64_epi64(within_halves, 0x08)));
#else
  return __builtin_convertvector(v, VecU16);
#endif
}
NPUFA_INLINE VecU LoadWidened(const std::uint8_t* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<VecU>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<VecU>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#elif defined(__SSE2__)
  int bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  const __m128i zero = _mm_setzero_si128();
  return reinterpret_cast<VecU>(_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero));
#elif defined(__aarch64__)
  std::uint32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return reinterpret_cast<VecU>(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes)))));
#else
  return __builtin_convertvector(LoadU8(p), VecU);
#endif
}

// Bit patterns of float16 in 32-bit lanes.
NPUFA_INLINE VecF FloatFromHalfBits(VecU h) {
  const VecU sign = (h & 0x8000u) << 16;
  const VecU magnitude = (h & 0x7fffu) << 13;
  constexpr std::uint32_t kMaxExponent = 0x7c00u << 13;
  const VecU normal = magnitude + (112u << 23);
  const VecU special = magnitude | 0x7f800000u;
  // Subnormal: give it the exponent of the smallest normal number and subtract that number.
  const VecU subnormal = Bits(FromBits(magnitude + (113u << 23)) - FromBits(SplatU(113u << 23)));
  VecU bits = magnitude >= kMaxExponent ? special : normal;
  bits = magnitude < (0x0400u << 13) ? subnormal : bits;
  return FromBits(bits | sign);
}

struct Float32 {
  using Raw = float;
  static NPUFA_INLINE VecF Load(const Raw* p) { return NPUFA_ISA::Load(p); }
};

struct BFloat16 {
  using Raw = std::uint16_t;
  static NPUFA_INLINE VecF Load(const Raw* p) { return FromBits(Widen(LoadU16(p)) << 16); }
};

struct Float16 {
  using Raw = std::uint16_t;
  static NPUFA_INLINE VecF Load(const Raw* p) {
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__aarch64__)
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    return FloatFromHalfBits(Widen(LoadU16(p)));
#endif
  }
};

struct Int8 {
  using Raw = std::int8_t;
  static NPUFA_INLINE VecF Load(const Raw* p) {
    // The sign bit moves to the top of the lane and is spread from there.
    const VecI wide = reinterpret_cast<VecI>(LoadWidened(reinterpret_cast<const std::uint8_t*>(p)) << 24) >> 24;
    return __builtin_convertvector(wide, VecF);
  }
};

// Four exponent bits, bias 7, no infinity, NaN at 0x7f and 0xff.
struct Float8E4M3 {
  using Raw = std::uint8_t;
  static NPUFA_INLINE VecF Load(const Raw* p) {
    const VecU b = LoadWidened(p);
    const VecU magnitude = (b & 0x7fu) << 20;
    // The same fields in a float32, whose exponent bias is larger by 120. Subnormals as in FloatFromHalfBits.
    const VecU normal = magnitude + (120u << 23);
    const VecU subnormal = Bits(FromBits(magnitude + (121u << 23)) - FromBits(SplatU(121u << 23)));
    VecU bits = magnitude < (8u << 20) ? subnormal : normal;
    bits = magnitude == (0x7fu << 20) ? SplatU(0x7fc00000u) : bits;
    return FromBits(bits | ((b & 0x80u) << 24));
  }
};

// The upper byte of a float16.
struct Float8E5M2 {
  using Raw = std::uint8_t;
  static NPUFA_INLINE VecF Load(const Raw* p) {
    const VecU16 h = Narrow(LoadWidened(p) << 8);
    return Float16::Load(reinterpret_cast<const std::uint16_t*>(&h));
  }
};

// The first `count` < kWidth elements as float32, zeros behind; nothing behind them is read.
template <class Format>
NPUFA_INLINE VecF LoadFirst(const typename Format::Raw* p, std::int64_t count) {
  typename Format::Raw lanes[kWidth] = {};
  __builtin_memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(lanes[0]));
  return Format::Load(lanes);
}

// Calls f(Format{}) for the format of `dtype`.
template <class F>
NPUFA_INLINE void WithFormat(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat32: return f(Float32{});
    case DType::kFloat16: return f(Float16{});
    case DType::kBFloat16: return f(BFloat16{});
    case DType::kInt8: return f(Int8{});
    case DType::kFloat8E4M3: return f(Float8E4M3{});
    case DType::kFloat8E5M2: return f(Float8E5M2{});
    default: return;
  }
}

// To bfloat16, nearest even, subnormals kept, NaN made quiet.
NPUFA_INLINE VecU16 RoundToBFloat16(VecF v) {
  const VecU u = Bits(v);
  const VecU rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return Narrow(v != v ? (u >> 16) | 0x40u : rounded);
}

// The same by the instruction where there is one; that of AVX-512 takes float32 subnormals for zero.
NPUFA_INLINE VecU16 RoundToBFloat16Fast(VecF v) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<VecU16>(_mm512_cvtneps_pbh(v));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  return reinterpret_cast<VecU16>(vcvt_bf16_f32(v));
#else
  return RoundToBFloat16(v);
#endif
}

// Stores vectors next to each other, rounded by RoundToBFloat16Fast; two at a time where an instruction takes two.
template <int kCount>
NPUFA_INLINE void StoreBFloat16Fast(std::uint16_t* p, const VecF (&v)[kCount]) {
  int u = 0;
#if defined(__AVX512BF16__)
#pragma GCC unroll 8
  for (; u + 2 <= kCount; u += 2) {
    StoreU(p + u * kWidth, reinterpret_cast<VecU>(_mm512_cvtne2ps_pbh(v[u + 1], v[u])));
  }
#endif
#pragma GCC unroll 8
  for (; u < kCount; ++u) StoreU16(p + u * kWidth, RoundToBFloat16Fast(v[u]));
}

NPUFA_INLINE VecU16 RoundToFloat16(VecF v) {
#if defined(__AVX512F__)
  return reinterpret_cast<VecU16>(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__F16C__)
  return reinterpret_cast<VecU16>(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__aarch64__)
  return reinterpret_cast<VecU16>(vcvt_f16_f32(v));
#else
  const VecU sign = Bits(v) & 0x80000000u;
  const VecU u = Bits(v) ^ sign;
  const VecU rounded = (u - (112u << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;
  // Adding 0.5 leaves the 10 bits of a subnormal half at the end of the sum, rounded.
  const VecU subnormal = Bits(FromBits(u) + 0.5f) - (126u << 23);
  VecU half = u < (113u << 23) ? subnormal : rounded;
  half = u >= (143u << 23) ? SplatU(0x7c00u) : half;
  half = u > 0x7f800000u ? ((u >> 13) & 0x3ffu) | 0x7e00u : half;
  return Narrow(half | (sign >> 16));
#endif
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
