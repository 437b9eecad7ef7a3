// Copies of key/value rows, and of float32 tiles, in the orders the products want.
#pragma once

#include "convert.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

inline void PackF32(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, float* dst, std::int64_t ld) {
  WithFormat(dtype, [=](auto format) {
    using Format = decltype(format);
    for (std::int64_t j = 0; j < n; ++j) {
      const auto* src = static_cast<const typename Format::Raw*>(rows[j]);
      float* out = dst + j * ld;
      std::int64_t x = 0;
      for (; x + kWidth <= d; x += kWidth) Store(out + x, Format::Load(src + x));
      if (x < d) {
        Store(out + x, LoadFirst<Format>(src + x, d - x));
        x += kWidth;
      }
      for (; x < PadLane(d); x += kWidth) Store(out + x, VecF{});
    }
  });
}

// Stores tile(x, v), a function that loads kWidth rows from column x on into v, transposed: dst[x * ld + lane].
template <class LoadTile>
NPUFA_INLINE void StoreTransposed(std::int64_t d, float* dst, std::int64_t ld, LoadTile tile) {
  for (std::int64_t x = 0; x < d; x += kWidth) {
    VecF v[kWidth];
    tile(x, v);
    Transpose(v);
    const std::int64_t count = d - x;
    if (count >= kWidth) {
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) Store(dst + (x + i) * ld, v[i]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        if (i < count) Store(dst + (x + i) * ld, v[i]);
      }
    }
  }
}

// dst[x * ld + j] for rows of d elements.
template <class Format>
inline void PackTransposed(const void* const* rows, std::int64_t n, std::int64_t d, float* dst, std::int64_t ld) {
  using Raw = typename Format::Raw;
  for (std::int64_t j = 0; j < PadLane(n); j += kWidth) {
    const Raw* src[kWidth];
    for (int i = 0; i < kWidth; ++i) src[i] = static_cast<const Raw*>(j + i < n ? rows[j + i] : nullptr);
    if (j + kWidth <= n) {
      StoreTransposed(d, dst + j, ld, [&](std::int64_t x, VecF(&v)[kWidth]) __attribute__((always_inline)) {
        if (x + kWidth <= d) {
#pragma GCC unroll 16
          for (int i = 0; i < kWidth; ++i) v[i] = Format::Load(src[i] + x);
        } else {
          for (int i = 0; i < kWidth; ++i) v[i] = LoadFirst<Format>(src[i] + x, d - x);
        }
      });
    } else {
      StoreTransposed(d, dst + j, ld, [&](std::int64_t x, VecF(&v)[kWidth]) __attribute__((always_inline)) {
        const std::int64_t count = d - x < kWidth ? d - x : kWidth;
        for (int i = 0; i < kWidth; ++i) v[i] = src[i] ? LoadFirst<Format>(src[i] + x, count) : VecF{};
      });
    }
  }
}

inline void PackTransposedF32(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, float* dst,
                              std::int64_t ld) {
  WithFormat(dtype, [=](auto format) { PackTransposed<decltype(format)>(rows, n, d, dst, ld); });
}

// The first `count` <= kWidth elements of a row in 32-bit lanes, zeros behind.
NPUFA_INLINE VecU LoadWide(const std::uint16_t* p, std::int64_t count) {
  if (count >= kWidth) return Widen(LoadU16(p));
  std::uint16_t lanes[kWidth] = {};
  if (count > 0) __builtin_memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(lanes[0]));
  return Widen(LoadU16(lanes));
}

inline void PackBf16(const void* const* rows, std::int64_t n, std::int64_t d, std::uint16_t* dst, std::int64_t ld) {
  for (std::int64_t j = 0; j < n; ++j) {
    const auto* src = static_cast<const std::uint16_t*>(rows[j]);
    std::uint16_t* out = dst + j * ld;
    std::int64_t x = 0;
    for (; x + kWidth <= d; x += kWidth) StoreU16(out + x, LoadU16(src + x));
    for (; x < PadLane(d); x += kWidth) StoreU16(out + x, Narrow(LoadWide(src + x, d - x)));
  }
}

inline void PackVnniBf16(const void* const* rows, std::int64_t n, std::int64_t d, std::uint16_t* dst, std::int64_t ld) {
  for (std::int64_t j = 0; j < n; j += 2) {
    const auto* even = static_cast<const std::uint16_t*>(rows[j]);
    const auto* odd = j + 1 < n ? static_cast<const std::uint16_t*>(rows[j + 1]) : nullptr;
    std::uint16_t* out = dst + j * ld;
    std::int64_t x = 0;
    if (odd != nullptr) {
      for (; x + kWidth <= d; x += kWidth) {
        StoreU(out + 2 * x, Widen(LoadU16(even + x)) | (Widen(LoadU16(odd + x)) << 16));
      }
    }
    for (; x < PadLane(d); x += kWidth) {
      VecU pair = LoadWide(even + x, d - x);
      if (odd != nullptr) pair |= LoadWide(odd + x, d - x) << 16;
      StoreU(out + 2 * x, pair);
    }
  }
}

// A pair of neighbouring bfloat16 is one 32-bit element to transpose.
inline void PackTransposedVnniBf16(const void* const* rows, std::int64_t n, std::int64_t d, std::uint16_t* dst,
                                   std::int64_t ld) {
  float* out = reinterpret_cast<float*>(dst);
  PackTransposed<Float32>(rows, n, d / 2, out, ld);
  if (d % 2 == 0) return;
  std::uint16_t* last = dst + d / 2 * ld * 2;
  for (std::int64_t j = 0; j < PadLane(n); ++j) {
    last[2 * j] = j < n ? static_cast<const std::uint16_t*>(rows[j])[d - 1] : 0;
    last[2 * j + 1] = 0;
  }
}

inline void RoundBf16(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, std::uint16_t* dst,
                      std::int64_t ldd) {
  for (std::int64_t i = 0; i < m; ++i) {
    const float* in = src + i * lds;
    std::uint16_t* out = dst + i * ldd;
    std::int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) StoreU16(out + j, RoundToBFloat16Fast(Load(in + j)));
    if (j < n) {
      StoreU16(out + j, RoundToBFloat16Fast(LoadFirst(in + j, n - j)));
      j += kWidth;
    }
    for (; j < PadLane(n); j += kWidth) StoreU16(out + j, VecU16{});
  }
}

inline void TransposeBf16(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, std::uint16_t* dst,
                          std::int64_t ldd) {
  const std::int64_t padded = m + m % 2;
  for (std::int64_t i = 0; i < m; i += kWidth) {
    const std::int64_t width = padded - i < kWidth ? padded - i : kWidth;
    for (std::int64_t j = 0; j < n; j += kWidth) {
      const std::int64_t count = n - j < kWidth ? n - j : kWidth;
      VecF v[kWidth];
#pragma GCC unroll 16
      for (int r = 0; r < kWidth; ++r) {
        const float* in = src + (i + r) * lds + j;
        v[r] = i + r >= m ? VecF{} : count == kWidth ? Load(in) : LoadFirst(in, count);
      }
      Transpose(v);
#pragma GCC unroll 16
      for (int c = 0; c < kWidth; ++c) {
        if (c >= count) continue;
        const VecU16 rounded = RoundToBFloat16Fast(v[c]);
        std::uint16_t* out = dst + (j + c) * ldd + i;
        if (width == kWidth) {
          StoreU16(out, rounded);
        } else {
          __builtin_memcpy(out, &rounded, static_cast<std::size_t>(width) * sizeof(*out));
        }
      }
    }
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
