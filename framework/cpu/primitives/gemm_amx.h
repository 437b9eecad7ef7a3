// bfloat16 products on AMX (Intel SDM volume 1, chapter 18): four sums of 16 x 16 stay in the tile registers over the
// whole of k and all products of planes. Its instructions run in tests on any CPU, see tests/cpp/amx_emulator.h.
#pragma once

#if defined(__AMX_BF16__)

#include "simd.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr std::int64_t kSide = 16;       // rows of a tile, and its columns of float32
constexpr std::int64_t kSidePairs = 16;  // pairs of k in a tile
constexpr std::int64_t kRowBytes = 64;

// How the registers are used. With lower rows: 0, 1 sums of the upper rows, 2, 3 of the lower ones, 4, 5 rows of a, 6
// and 7 columns of b. Without: 0 .. 3 sums of four columns, 4 rows of a, 5 .. 7 columns of b.
struct TileShape {
  std::uint8_t upper, lower, pairs;

  bool operator==(const TileShape& o) const { return upper == o.upper && lower == o.lower && pairs == o.pairs; }
};

struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  void Set(int tile, std::int64_t height, std::int64_t width) {
    rows[tile] = static_cast<std::uint8_t>(height);
    row_bytes[tile] = static_cast<std::uint16_t>(width);
  }
};
static_assert(sizeof(TileConfiguration) == 64);

thread_local TileShape configured = {};

inline void Configure(const TileShape& shape) {
  if (configured == shape) return;
  TileConfiguration tiles;
  for (int t = 0; t < 4; ++t) tiles.Set(t, t >= 2 && shape.lower ? shape.lower : shape.upper, kRowBytes);
  tiles.Set(4, shape.upper, shape.pairs * 4);
  for (int t = 5; t < 8; ++t) tiles.Set(t, shape.pairs, kRowBytes);
  if (shape.lower) tiles.Set(5, shape.lower, shape.pairs * 4);
  // GCC 12's intrinsic names only eight bytes as its input.
  asm volatile("ldtilecfg %0" ::"m"(tiles));
  configured = shape;
}

inline void ReleaseTiles() {
  _tile_release();
  configured = {};
}

inline void ZeroSums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// Strides in bytes; ldc in floats.
struct TileOperands {
  std::int64_t planes;
  std::int64_t a_row, a_plane, b_row, b_plane, ldc;
  std::int64_t steps, pairs;
  bool accumulate;

  // Calls step(a, b) for every step of k in every product of planes that counts.
  template <class Step>
  NPUFA_INLINE void ForEachStep(const char* a, const char* b, Step step) const {
    for (std::int64_t i = 0; i < planes; ++i) {
      for (std::int64_t j = 0; i + j < planes; ++j) {
        const char* from_a = a + i * a_plane;
        const char* from_b = b + j * b_plane;
        for (std::int64_t p = 0; p < steps; ++p) {
          step(from_a, from_b);
          from_a += kRowBytes;
          from_b += kSidePairs * b_row;
        }
      }
    }
  }
};

// Upper and lower rows by one or two tiles of columns.
template <bool kRight>
inline void MultiplyTwoRows(const TileOperands& t, const char* a, const char* b, float* c) {
  const std::int64_t c_row = t.ldc * 4;
  float* lower = c + kSide * t.ldc;
  if (t.accumulate) {
    _tile_loadd(0, c, c_row);
    _tile_loadd(2, lower, c_row);
    if constexpr (kRight) {
      _tile_loadd(1, c + kSide, c_row);
      _tile_loadd(3, lower + kSide, c_row);
    }
  } else {
    ZeroSums();
  }
  t.ForEachStep(a, b, [&](const char* from_a, const char* from_b) __attribute__((always_inline)) {
    _tile_loadd(6, from_b, t.b_row);
    _tile_loadd(4, from_a, t.a_row);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, from_a + kSide * t.a_row, t.a_row);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (kRight) {
      _tile_loadd(7, from_b + kRowBytes, t.b_row);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  });
  _tile_stored(0, c, c_row);
  _tile_stored(2, lower, c_row);
  if constexpr (kRight) {
    _tile_stored(1, c + kSide, c_row);
    _tile_stored(3, lower + kSide, c_row);
  }
}

// Up to 16 rows by one to four tiles of columns.
template <int kColumns>
inline void MultiplyOneRow(const TileOperands& t, const char* a, const char* b, float* c) {
  const std::int64_t c_row = t.ldc * 4;
  if (t.accumulate) {
    _tile_loadd(0, c, c_row);
    if constexpr (kColumns > 1) _tile_loadd(1, c + kSide, c_row);
    if constexpr (kColumns > 2) _tile_loadd(2, c + 2 * kSide, c_row);
    if constexpr (kColumns > 3) _tile_loadd(3, c + 3 * kSide, c_row);
  } else {
    ZeroSums();
  }
  t.ForEachStep(a, b, [&](const char* from_a, const char* from_b) __attribute__((always_inline)) {
    _tile_loadd(4, from_a, t.a_row);
    _tile_loadd(5, from_b, t.b_row);
    _tile_dpbf16ps(0, 4, 5);
    if constexpr (kColumns > 1) {
      _tile_loadd(6, from_b + kRowBytes, t.b_row);
      _tile_dpbf16ps(1, 4, 6);
    }
    if constexpr (kColumns > 2) {
      _tile_loadd(7, from_b + 2 * kRowBytes, t.b_row);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (kColumns > 3) {
      _tile_loadd(5, from_b + 3 * kRowBytes, t.b_row);
      _tile_dpbf16ps(3, 4, 5);
    }
  });
  _tile_stored(0, c, c_row);
  if constexpr (kColumns > 1) _tile_stored(1, c + kSide, c_row);
  if constexpr (kColumns > 2) _tile_stored(2, c + 2 * kSide, c_row);
  if constexpr (kColumns > 3) _tile_stored(3, c + 3 * kSide, c_row);
}

// Rows [0, m), m a multiple of upper + lower; the rows of a column of b follow each other, while it is in the cache.
inline void MultiplyRowPairs(const TileOperands& t, std::int64_t upper, std::int64_t lower, std::int64_t m,
                             std::int64_t n, const char* a, const char* b, float* c) {
  Configure({static_cast<std::uint8_t>(upper), static_cast<std::uint8_t>(lower), static_cast<std::uint8_t>(t.pairs)});
  for (std::int64_t j = 0; j < n; j += 2 * kSide) {
    for (std::int64_t i = 0; i < m; i += upper + lower) {
      const auto multiply = n - j > kSide ? MultiplyTwoRows<true> : MultiplyTwoRows<false>;
      multiply(t, a + i * t.a_row, b + j * 4, c + i * t.ldc + j);
    }
  }
}

inline void MultiplyLastRows(const TileOperands& t, std::int64_t m, std::int64_t n, const char* a, const char* b,
                             float* c) {
  using Multiply = void (*)(const TileOperands&, const char*, const char*, float*);
  constexpr Multiply kMultiply[] = {MultiplyOneRow<1>, MultiplyOneRow<2>, MultiplyOneRow<3>, MultiplyOneRow<4>};
  Configure({static_cast<std::uint8_t>(m), 0, static_cast<std::uint8_t>(t.pairs)});
  for (std::int64_t j = 0; j < n; j += 4 * kSide) {
    const std::int64_t columns = n - j >= 4 * kSide ? 4 : (n - j) / kSide;
    kMultiply[columns - 1](t, a, b + j * 4, c + j);
  }
}

inline void MultiplyAllRows(const TileOperands& t, std::int64_t m, std::int64_t n, const char* a, const char* b,
                            float* c) {
  const std::int64_t whole = m / (2 * kSide) * (2 * kSide);
  const std::int64_t rest = m - whole;
  if (whole > 0) MultiplyRowPairs(t, kSide, kSide, whole, n, a, b, c);
  a += whole * t.a_row;
  c += whole * t.ldc;
  if (rest > kSide) {
    MultiplyRowPairs(t, kSide, rest - kSide, rest, n, a, b, c);
  } else if (rest > 0) {
    MultiplyLastRows(t, rest, n, a, b, c);
  }
}

inline void GemmBf16Tiles(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16Planes& a, const Bf16Planes& b,
                          float* c, std::int64_t ldc, bool accumulate) {
  const std::int64_t steps = k / (2 * kSidePairs), rest = k % (2 * kSidePairs) / 2;
  TileOperands t{a.count, a.ld * 2, a.stride * 2, b.ld * 4, b.stride * 2, ldc, steps, kSidePairs, accumulate};
  const char* from_a = reinterpret_cast<const char*>(a.data);
  const char* from_b = reinterpret_cast<const char*>(b.data);
  if (steps > 0 || rest == 0) {
    MultiplyAllRows(t, m, n, from_a, from_b, c);
    t.accumulate = true;
  }
  if (rest == 0) return;
  t.steps = 1;
  t.pairs = rest;
  MultiplyAllRows(t, m, n, from_a + steps * kRowBytes, from_b + steps * kSidePairs * t.b_row, c);
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA

#endif
