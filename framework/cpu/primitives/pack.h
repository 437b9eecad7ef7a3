// Copies of key/value rows, and of float32 tiles, in the orders the products want.
#pragma once

#include "planes.h"

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

// A row of bfloat16, zeros up to PadLane(d).
NPUFA_INLINE void CopyRow(const std::uint16_t* src, std::int64_t d, std::uint16_t* dst) {
  std::int64_t x = 0;
  for (; x + kWidth <= d; x += kWidth) StoreU16(dst + x, LoadU16(src + x));
  for (; x < PadLane(d); x += kWidth) StoreU16(dst + x, Narrow(LoadWide(src + x, d - x)));
}

// The planes of a row, zeros up to PadLane(d).
template <class Format, int kCount>
NPUFA_INLINE void SplitRow(const typename Format::Raw* src, std::int64_t d, std::uint16_t* dst, std::int64_t stride) {
  std::int64_t x = 0;
  for (; x + kWidth <= d; x += kWidth) StoreSplit<kCount>(dst + x, stride, Format::Load(src + x));
  for (; x < PadLane(d); x += kWidth) {
    StoreSplit<kCount>(dst + x, stride, x < d ? LoadFirst<Format>(src + x, d - x) : VecF{});
  }
}

// Calls f(format, planes) with types for a dtype that planes stand for.
template <class F>
NPUFA_INLINE void WithSplitFormat(DType dtype, std::int64_t count, F&& f) {
  if (dtype == DType::kFloat16) return WithPlanes(count, [&](auto planes) { f(Float16{}, planes); });
  WithPlanes(count, [&](auto planes) { f(Float32{}, planes); });
}

inline void PackBf16(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, const Bf16Planes& dst) {
  if (dtype == DType::kBFloat16) {
    for (std::int64_t j = 0; j < n; ++j) {
      CopyRow(static_cast<const std::uint16_t*>(rows[j]), d, dst.data + j * dst.ld);
    }
    return;
  }
  WithSplitFormat(dtype, dst.count, [&](auto format, auto planes) {
    using Format = decltype(format);
    for (std::int64_t j = 0; j < n; ++j) {
      const auto* src = static_cast<const typename Format::Raw*>(rows[j]);
      SplitRow<Format, decltype(planes)::value>(src, d, dst.data + j * dst.ld, dst.stride);
    }
  });
}

// Packs planes by pack(rows, n, d, dst, ld), which knows bfloat16 rows only: a few rows and columns at a time are split
// into a scratch that stays in the first-level cache. pack is called with the place of row j and column x in the plane.
template <int kRows, class Pack>
NPUFA_INLINE void PackSplit(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, std::int64_t count,
                            Pack pack) {
  constexpr std::int64_t kColumns = 128;
  alignas(64) std::uint16_t scratch[kMaxPlanes][kRows][kColumns];
  WithSplitFormat(dtype, count, [&](auto format, auto planes) {
    using Format = decltype(format);
    for (std::int64_t j = 0; j < n; j += kRows) {
      const std::int64_t height = n - j < kRows ? n - j : kRows;
      for (std::int64_t x = 0; x < d; x += kColumns) {
        const std::int64_t width = d - x < kColumns ? d - x : kColumns;
        for (std::int64_t r = 0; r < height; ++r) {
          const auto* src = static_cast<const typename Format::Raw*>(rows[j + r]) + x;
          SplitRow<Format, decltype(planes)::value>(src, width, scratch[0][r], kRows * kColumns);
        }
        for (std::int64_t plane = 0; plane < count; ++plane) {
          const void* split[kRows];
          for (int r = 0; r < kRows; ++r) split[r] = scratch[plane][r];
          pack(split, height, width, plane, j, x);
        }
      }
    }
  });
}

inline void PackPairsOfRows(const void* const* rows, std::int64_t n, std::int64_t d, std::uint16_t* dst,
                            std::int64_t ld) {
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

inline void PackVnniBf16(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d, const Bf16Planes& dst) {
  if (dtype == DType::kBFloat16) return PackPairsOfRows(rows, n, d, dst.data, dst.ld);
  PackSplit<2>(rows, dtype, n, d, dst.count,
               [&](const void* const* split, std::int64_t height, std::int64_t width, std::int64_t plane,
                   std::int64_t j, std::int64_t x) {
                 PackPairsOfRows(split, height, width, dst.data + plane * dst.stride + j * dst.ld + 2 * x, dst.ld);
               });
}

// A pair of neighbouring bfloat16 is one 32-bit element to transpose.
inline void PackPairsOfColumns(const void* const* rows, std::int64_t n, std::int64_t d, std::uint16_t* dst,
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

inline void PackTransposedVnniBf16(const void* const* rows, DType dtype, std::int64_t n, std::int64_t d,
                                   const Bf16Planes& dst) {
  if (dtype == DType::kBFloat16) return PackPairsOfColumns(rows, n, d, dst.data, dst.ld);
  PackSplit<kLane>(rows, dtype, n, d, dst.count,
                   [&](const void* const* split, std::int64_t height, std::int64_t width, std::int64_t plane,
                       std::int64_t j, std::int64_t x) {
                     PackPairsOfColumns(split, height, width, dst.data + plane * dst.stride + x * dst.ld + 2 * j,
                                        dst.ld);
                   });
}

inline void RoundBf16(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, const Bf16Planes& dst) {
  WithPlanes(dst.count, [&](auto planes) {
    for (std::int64_t i = 0; i < m; ++i) {
      SplitRow<Float32, decltype(planes)::value>(src + i * lds, n, dst.data + i * dst.ld, dst.stride);
    }
  });
}

// Stores kWidth rows i.. and columns j.. of src, transposed.
template <int kCount>
NPUFA_INLINE void TransposeBlock(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, std::int64_t i,
                                 std::int64_t j, const Bf16Planes& dst) {
  const std::int64_t padded = m + m % 2;
  const std::int64_t width = padded - i < kWidth ? padded - i : kWidth;
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
    VecU16 planes[kCount];
    Split(v[c], planes);
#pragma GCC unroll 3
    for (int plane = 0; plane < kCount; ++plane) {
      std::uint16_t* out = dst.data + plane * dst.stride + (j + c) * dst.ld + i;
      if (width == kWidth) {
        StoreU16(out, planes[plane]);
      } else {
        __builtin_memcpy(out, &planes[plane], static_cast<std::size_t>(width) * sizeof(*out));
      }
    }
  }
}

inline void TransposeBf16(std::int64_t m, std::int64_t n, const float* src, std::int64_t lds, const Bf16Planes& dst) {
  WithPlanes(dst.count, [&](auto planes) {
    for (std::int64_t i = 0; i < m; i += kWidth) {
      for (std::int64_t j = 0; j < n; j += kWidth) {
        TransposeBlock<decltype(planes)::value>(m, n, src, lds, i, j, dst);
      }
    }
  });
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
