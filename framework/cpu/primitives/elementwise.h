// Element-wise work on rows: biases, masks, quantisation, scaling and conversion.
#pragma once

#include "convert.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// row[j] = f(j, row[j]) for j < n, where f(j, v) may read further inputs at [j, j + kWidth) and f_tail(j, v, count)
// only at [j, j + count).
template <class F, class Tail>
NPUFA_INLINE void UpdateRow(std::int64_t n, float* row, F f, Tail f_tail) {
  std::int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) Store(row + j, f(j, Load(row + j)));
  if (j < n) StoreFirst(row + j, f_tail(j, LoadFirst(row + j, n - j), n - j), n - j);
}
template <class F>
NPUFA_INLINE void UpdateRow(std::int64_t n, float* row, F f) {
  UpdateRow(n, row, f, [&](std::int64_t j, VecF v, std::int64_t) { return f(j, v); });
}

inline void BiasRow(std::int64_t n, float* s, float scale, const void* bias, DType dtype, float bias_scale) {
  WithFormat(dtype, [=](auto format) {
    using Format = decltype(format);
    const auto* b = static_cast<const typename Format::Raw*>(bias);
    UpdateRow(
        n, s, [=](std::int64_t j, VecF v) { return v * scale + Format::Load(b + j) * bias_scale; },
        [=](std::int64_t j, VecF v, std::int64_t count) {
          return v * scale + LoadFirst<Format>(b + j, count) * bias_scale;
        });
  });
}

inline void AlibiRow(std::int64_t n, float* s, float scale, float slope, std::int64_t distance, bool square_root) {
  // Distances of tokens fit into 32 bits; farther ones (from absurd start positions) lose nothing but speed.
  constexpr std::int64_t kFar = std::int64_t{1} << 30;
  if (distance > -kFar && distance < kFar && n < kFar) {
    const VecI base = Iota() + static_cast<std::int32_t>(distance);
    const auto far = [=](std::int64_t j) {
      return Abs(__builtin_convertvector(base + static_cast<std::int32_t>(j), VecF));
    };
    if (square_root) {
      UpdateRow(n, s, [=](std::int64_t j, VecF v) { return v * scale - Sqrt(far(j)) * slope; });
    } else {
      UpdateRow(n, s, [=](std::int64_t j, VecF v) { return v * scale - far(j) * slope; });
    }
    return;
  }
  for (std::int64_t j = 0; j < n; ++j) {
    const float far = __builtin_fabsf(static_cast<float>(distance + j));
    s[j] = s[j] * scale - (square_root ? __builtin_sqrtf(far) : far) * slope;
  }
}

inline void MaskRow(std::int64_t n, float* s, const std::uint8_t* mask) {
  std::int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) Store(s + j, LoadWidened(mask + j) != 0 ? Splat(-kInf) : Load(s + j));
  for (; j < n; ++j) s[j] = mask[j] != 0 ? -kInf : s[j];
}

inline void QuantizeRow(std::int64_t n, float* p, float scale) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, halves to even
  UpdateRow(n, p, [=](std::int64_t, VecF v) {
    const VecF clamped = Min(Splat(127.0f), Max(Splat(-128.0f), v * scale));
    return (clamped + kShift) - kShift;
  });
}

inline void ScaleRows(std::int64_t m, std::int64_t n, float* x, std::int64_t ld, const float* factor) {
  for (std::int64_t i = 0; i < m; ++i) {
    const float f = factor[i];
    UpdateRow(n, x + i * ld, [=](std::int64_t, VecF v) { return v * f; });
  }
}

inline void ToF32(std::int64_t n, const void* src, DType dtype, float* dst) {
  WithFormat(dtype, [=](auto format) {
    using Format = decltype(format);
    const auto* in = static_cast<const typename Format::Raw*>(src);
    std::int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) Store(dst + j, Format::Load(in + j));
    if (j < n) StoreFirst(dst + j, LoadFirst<Format>(in + j, n - j), n - j);
  });
}

template <class Round>
NPUFA_INLINE void ToHalfWidth(std::int64_t n, const float* src, float factor, void* dst, Round round) {
  auto* out = static_cast<std::uint16_t*>(dst);
  std::int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) StoreU16(out + j, round(Load(src + j) * factor));
  if (j < n) {
    const VecU16 rounded = round(LoadFirst(src + j, n - j) * factor);
    __builtin_memcpy(out + j, &rounded, static_cast<std::size_t>(n - j) * sizeof(*out));
  }
}

inline void FromF32(std::int64_t n, const float* src, float factor, DType dtype, void* dst) {
  if (dtype == DType::kBFloat16) {
    ToHalfWidth(n, src, factor, dst, [](VecF v) { return RoundToBFloat16(v); });
  } else if (dtype == DType::kFloat16) {
    ToHalfWidth(n, src, factor, dst, [](VecF v) { return RoundToFloat16(v); });
  } else if (dtype == DType::kFloat32) {
    auto* out = static_cast<float*>(dst);
    std::int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) Store(out + j, Load(src + j) * factor);
    if (j < n) StoreFirst(out + j, LoadFirst(src + j, n - j) * factor, n - j);
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
