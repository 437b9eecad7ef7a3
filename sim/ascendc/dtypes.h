// Element types of the chip as host types: storage in the chip's format, arithmetic by way of float with one rounding
// (nearest even) per stored result.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace npufa_sim {

inline std::uint32_t BitsOf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float FloatOf(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float HalfToFloat(std::uint16_t bits) {
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  __fp16 value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

inline std::uint16_t FloatToHalf(float value) {
#if defined(__F16C__)
  return static_cast<std::uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
  const __fp16 rounded = value;
  std::uint16_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  return bits;
#endif
}

inline float Bfloat16ToFloat(std::uint16_t bits) { return FloatOf(static_cast<std::uint32_t>(bits) << 16); }

inline std::uint16_t FloatToBfloat16(float value) {
  const std::uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace npufa_sim

struct half {
  std::uint16_t bits;

  half() = default;
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  half(Number value) : bits(npufa_sim::FloatToHalf(static_cast<float>(value))) {}
  operator float() const { return npufa_sim::HalfToFloat(bits); }
};

struct bfloat16_t {
  std::uint16_t bits;

  bfloat16_t() = default;
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  bfloat16_t(Number value) : bits(npufa_sim::FloatToBfloat16(static_cast<float>(value))) {}
  explicit operator float() const { return npufa_sim::Bfloat16ToFloat(bits); }
};

// Another name that kernels use. A macro, for it is a word of some host compilers.
#define __bf16 bfloat16_t

using float16_t = half;
using float32_t = float;

namespace AscendC {
// Two 4-bit integers to a byte; tensors of it count elements.
struct int4b_t {
  std::uint8_t bits;

  int4b_t() = default;
  int4b_t(int value) : bits(static_cast<std::uint8_t>(value & 15)) {}
};
}  // namespace AscendC

namespace npufa_sim {

enum class Dtype : std::uint8_t {
  kHalf,
  kBfloat16,
  kFloat,
  kInt8,
  kUint8,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kInt4,
  kBool
};

template <class T>
constexpr Dtype DtypeOf() {
  if constexpr (std::is_same_v<T, half>) return Dtype::kHalf;
  else if constexpr (std::is_same_v<T, bfloat16_t>) return Dtype::kBfloat16;
  else if constexpr (std::is_same_v<T, float>) return Dtype::kFloat;
  else if constexpr (std::is_same_v<T, bool>) return Dtype::kBool;
  else if constexpr (std::is_same_v<T, AscendC::int4b_t>) return Dtype::kInt4;
  else {
    static_assert(std::is_integral_v<T> && sizeof(T) <= 8, "no such element type on the chip");
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? Dtype::kInt8 : Dtype::kUint8;
    else if constexpr (sizeof(T) == 2) return is_signed ? Dtype::kInt16 : Dtype::kUint16;
    else if constexpr (sizeof(T) == 4) return is_signed ? Dtype::kInt32 : Dtype::kUint32;
    else return is_signed ? Dtype::kInt64 : Dtype::kUint64;
  }
}

inline constexpr const char* NameOf(Dtype dtype) {
  constexpr const char* names[] = {"half",    "bfloat16_t", "float",   "int8_t",   "uint8_t", "int16_t", "uint16_t",
                                   "int32_t", "uint32_t",   "int64_t", "uint64_t", "int4b_t", "bool"};
  return names[static_cast<int>(dtype)];
}

}  // namespace npufa_sim
