// Conversions of rows between the chip's formats and float.
#pragma once

#include <cstdint>
#include <cstring>

#include "dtypes.h"

namespace npufa_sim {

// `count` a multiple of 8.
inline void HalfToFloatRow(float* dst, const std::uint8_t* src, std::int64_t count) {
#if defined(__F16C__)
  for (std::int64_t i = 0; i < count; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + 2 * i));
    _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(bits));
  }
#else
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, src + 2 * i, sizeof bits);
    dst[i] = HalfToFloat(bits);
  }
#endif
}

inline void Bfloat16ToFloatRow(float* dst, const std::uint8_t* src, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, src + 2 * i, sizeof bits);
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    std::memcpy(dst + i, &wide, sizeof wide);
  }
}

inline void FloatToHalfRow(std::uint8_t* dst, const float* src, std::int64_t count) {
  std::int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= count; i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + 2 * i), bits);
  }
#endif
  for (; i < count; ++i) {
    const std::uint16_t bits = FloatToHalf(src[i]);
    std::memcpy(dst + 2 * i, &bits, sizeof bits);
  }
}

inline void FloatToBfloat16Row(std::uint8_t* dst, const float* src, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t bits = FloatToBfloat16(src[i]);
    std::memcpy(dst + 2 * i, &bits, sizeof bits);
  }
}

}  // namespace npufa_sim
