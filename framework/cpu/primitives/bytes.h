// Vectors of bytes for products in integers: what decode_int8.h needs of an instruction set (VNNI, NEON's dot product).
// Four bytes lie in each 32-bit lane, four lanes in each of the `quarters` of 128 bits within which they are moved.
#pragma once

#include "decode.h"

#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
#define NPUFA_BYTE_PRODUCTS 1

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr int kByteChannels = 4 * kWidth;
constexpr int kQuarters = kWidth / 4;

NPUFA_INLINE VecU LoadBytes(const void* p) { return LoadU(p); }

#if defined(__AVX512VNNI__)

NPUFA_INLINE __m512i Raw(VecU v) { return reinterpret_cast<__m512i>(v); }
NPUFA_INLINE VecU Lanes(__m512i v) { return reinterpret_cast<VecU>(v); }

// The first `count` < kByteChannels bytes, zeros behind.
NPUFA_INLINE VecU LoadBytesFirst(const void* p, std::int64_t count) {
  return Lanes(_mm512_maskz_loadu_epi8((std::uint64_t{1} << count) - 1, p));
}

// The instruction multiplies unsigned by signed bytes. Bytes are made unsigned by flipping their sign bits, which adds
// 128; the caller subtracts 128 times the sum of the other factor in the end.
constexpr bool kFlips = true;
NPUFA_INLINE VecU FlipSigns(VecU v) { return v ^ 0x80808080u; }
// sum + the products of four bytes each, the left ones flipped; sums in 32-bit lanes: GCC 12 copies a __m512i that
// stays an operand of it.
NPUFA_INLINE VecU AddProducts(VecU sum, VecU flipped, VecU bytes) {
  return Lanes(_mm512_dpbusd_epi32(Raw(sum), Raw(flipped), Raw(bytes)));
}

NPUFA_INLINE VecI RoundToInteger(VecF v) { return reinterpret_cast<VecI>(_mm512_cvtps_epi32(v)); }
// The lowest byte of each lane, next to each other.
NPUFA_INLINE void StoreLowBytes(std::int8_t* p, VecI v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}

// Elements of kBits of the lower (upper) halves of the quarters of a and b, alternating.
template <int kBits>
NPUFA_INLINE VecU InterleaveLow(VecU a, VecU b) {
  if constexpr (kBits == 8) return Lanes(_mm512_unpacklo_epi8(Raw(a), Raw(b)));
  if constexpr (kBits == 16) return Lanes(_mm512_unpacklo_epi16(Raw(a), Raw(b)));
  if constexpr (kBits == 32) return Lanes(_mm512_unpacklo_epi32(Raw(a), Raw(b)));
  if constexpr (kBits == 64) return Lanes(_mm512_unpacklo_epi64(Raw(a), Raw(b)));
}
template <int kBits>
NPUFA_INLINE VecU InterleaveHigh(VecU a, VecU b) {
  if constexpr (kBits == 8) return Lanes(_mm512_unpackhi_epi8(Raw(a), Raw(b)));
  if constexpr (kBits == 16) return Lanes(_mm512_unpackhi_epi16(Raw(a), Raw(b)));
  if constexpr (kBits == 32) return Lanes(_mm512_unpackhi_epi32(Raw(a), Raw(b)));
  if constexpr (kBits == 64) return Lanes(_mm512_unpackhi_epi64(Raw(a), Raw(b)));
}
// Lane kLane of each quarter in all of its lanes.
template <int kLane>
NPUFA_INLINE VecU SpreadLane(VecU v) {
  return Lanes(_mm512_shuffle_epi32(Raw(v), static_cast<_MM_PERM_ENUM>(kLane * 0x55)));
}

// Two quarters of each register, chosen by number (_MM_PERM).
template <int kOrder>
NPUFA_INLINE VecU PickQuarters(VecU a, VecU b) {
  return Lanes(_mm512_shuffle_i32x4(Raw(a), Raw(b), kOrder));
}
// A 4 x 4 matrix of quarters is transposed.
NPUFA_INLINE void TransposeQuarters(VecU (&v)[4]) {
  const VecU a = PickQuarters<_MM_PERM_BABA>(v[0], v[1]);
  const VecU b = PickQuarters<_MM_PERM_BABA>(v[2], v[3]);
  const VecU c = PickQuarters<_MM_PERM_DCDC>(v[0], v[1]);
  const VecU d = PickQuarters<_MM_PERM_DCDC>(v[2], v[3]);
  v[0] = PickQuarters<_MM_PERM_CACA>(a, b);
  v[1] = PickQuarters<_MM_PERM_DBDB>(a, b);
  v[2] = PickQuarters<_MM_PERM_CACA>(c, d);
  v[3] = PickQuarters<_MM_PERM_DBDB>(c, d);
}

#else  // NEON: one quarter

template <class To>
NPUFA_INLINE To As(VecU v) {
  return reinterpret_cast<To>(v);
}

NPUFA_INLINE VecU LoadBytesFirst(const void* p, std::int64_t count) {
  std::uint8_t bytes[kByteChannels] = {};
  __builtin_memcpy(bytes, p, static_cast<std::size_t>(count));
  return LoadU(bytes);
}

constexpr bool kFlips = false;  // signed by signed
NPUFA_INLINE VecU FlipSigns(VecU v) { return v; }
NPUFA_INLINE VecU AddProducts(VecU sum, VecU a, VecU b) {
  return reinterpret_cast<VecU>(vdotq_s32(As<int32x4_t>(sum), As<int8x16_t>(a), As<int8x16_t>(b)));
}

NPUFA_INLINE VecI RoundToInteger(VecF v) { return reinterpret_cast<VecI>(vcvtnq_s32_f32(v)); }
NPUFA_INLINE void StoreLowBytes(std::int8_t* p, VecI v) {
  const int16x4_t halves = vmovn_s32(reinterpret_cast<int32x4_t>(v));
  const std::uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(halves, halves))), 0);
  __builtin_memcpy(p, &bytes, sizeof bytes);
}

template <int kBits>
NPUFA_INLINE VecU InterleaveLow(VecU a, VecU b) {
  if constexpr (kBits == 8) return reinterpret_cast<VecU>(vzip1q_u8(As<uint8x16_t>(a), As<uint8x16_t>(b)));
  if constexpr (kBits == 16) return reinterpret_cast<VecU>(vzip1q_u16(As<uint16x8_t>(a), As<uint16x8_t>(b)));
  if constexpr (kBits == 32) return reinterpret_cast<VecU>(vzip1q_u32(As<uint32x4_t>(a), As<uint32x4_t>(b)));
  if constexpr (kBits == 64) return reinterpret_cast<VecU>(vzip1q_u64(As<uint64x2_t>(a), As<uint64x2_t>(b)));
}
template <int kBits>
NPUFA_INLINE VecU InterleaveHigh(VecU a, VecU b) {
  if constexpr (kBits == 8) return reinterpret_cast<VecU>(vzip2q_u8(As<uint8x16_t>(a), As<uint8x16_t>(b)));
  if constexpr (kBits == 16) return reinterpret_cast<VecU>(vzip2q_u16(As<uint16x8_t>(a), As<uint16x8_t>(b)));
  if constexpr (kBits == 32) return reinterpret_cast<VecU>(vzip2q_u32(As<uint32x4_t>(a), As<uint32x4_t>(b)));
  if constexpr (kBits == 64) return reinterpret_cast<VecU>(vzip2q_u64(As<uint64x2_t>(a), As<uint64x2_t>(b)));
}
template <int kLane>
NPUFA_INLINE VecU SpreadLane(VecU v) {
  return SplatU(v[kLane]);
}
NPUFA_INLINE void TransposeQuarters(VecU (&)[4]) {}

#endif

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA

#endif  // byte products
