// Matrix products of tiles that sit in the cache: register blocks of rows x vectors, the whole of k at once.
#pragma once

#include "simd.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

// How a product step reads its operands: one row of b at a time in float32, a pair of rows at a time in bfloat16.
struct Float32Product {
  static constexpr int kElementBytes = 4;  // distance of neighbours in a, and of columns in b
  using Left = VecF;
  using Right = VecF;
  static NPUFA_INLINE Left LoadLeft(const char* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof(x));
    return Splat(x);
  }
  static NPUFA_INLINE Right LoadRight(const char* p) { return Load(p); }
  static NPUFA_INLINE VecF Step(VecF sum, Left a, Right b) { return Fma(a, b, sum); }
};

struct BFloat16Product {
  static constexpr int kElementBytes = 4;
#if defined(NPUFA_BF16_PRODUCTS)
  using Left = VecU;
  using Right = VecU;
  static NPUFA_INLINE Right LoadRight(const char* p) { return LoadU(p); }
  static NPUFA_INLINE VecF Step(VecF sum, Left a, Right b) { return AddPairs(sum, a, b); }
  static NPUFA_INLINE Left LoadLeft(const char* p) {
    std::uint32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return SplatU(pair);
  }
#else
  struct Pair {
    VecF even, odd;
  };
  using Left = Pair;
  using Right = Pair;
  static NPUFA_INLINE Pair Split(VecU pair) { return {FromBits(pair << 16), FromBits(pair & 0xffff0000u)}; }
  static NPUFA_INLINE Right LoadRight(const char* p) { return Split(LoadU(p)); }
  static NPUFA_INLINE Left LoadLeft(const char* p) {
    std::uint32_t pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return Split(SplatU(pair));
  }
  static NPUFA_INLINE VecF Step(VecF sum, Left a, Right b) { return Fma(a.odd, b.odd, Fma(a.even, b.even, sum)); }
#endif
};

// Strides in bytes. Knowing at compile time that one stride of a is an element lets the rows of a block be addressed
// from few registers.
enum class LeftOrder { kRowMajor, kColumnMajor, kAny };

struct Operands {
  const char* a;
  std::int64_t a_row, a_col;
  const char* b;
  std::int64_t b_row;
  float* c;
  std::int64_t ldc;
  std::int64_t steps;
  bool accumulate;
};

template <class Product, LeftOrder kOrder, int kRows, int kVecs>
NPUFA_INLINE void MultiplyBlock(const Operands& t, const char* a, const char* b, float* c) {
  const std::int64_t a_row = kOrder == LeftOrder::kColumnMajor ? Product::kElementBytes : t.a_row;
  const std::int64_t a_col = kOrder == LeftOrder::kRowMajor ? Product::kElementBytes : t.a_col;
  const std::int64_t b_row = t.b_row;
  VecF sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) sum[i][v] = VecF{};
  }
  // Rows are reached from one pointer per group of four as base + {0, 1, 2, 3} strides; the empty asm keeps the
  // compiler from turning them into a pointer per row, which do not fit into the registers.
  constexpr int kGroups = (kRows + 3) / 4;
  const char* group[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) group[g] = a + 4 * g * a_row;
  std::int64_t stride1 = a_row;
  std::int64_t stride3 = 3 * a_row;
  if constexpr (kOrder != LeftOrder::kColumnMajor) asm("" : "+r"(stride1), "+r"(stride3));
  for (std::int64_t p = t.steps; p > 0; --p) {
    typename Product::Right right[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) right[v] = Product::LoadRight(b + v * kWidth * Product::kElementBytes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const char* row;
      if constexpr (kOrder == LeftOrder::kColumnMajor) {
        row = group[0] + i * Product::kElementBytes;
      } else {
        row = group[i / 4] + (i % 4 == 3 ? stride3 : (i % 4) * stride1);
      }
      const typename Product::Left left = Product::LoadLeft(row);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sum[i][v] = Product::Step(sum[i][v], left, right[v]);
    }
    b += b_row;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) group[g] += a_col;
  }
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) sum[i][v] += Load(c + i * t.ldc + v * kWidth);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) Store(c + i * t.ldc + v * kWidth, sum[i][v]);
  }
}

// Block shapes: as many sums as the registers hold beside kVecs of b and one of a (on NEON, one of a per row). A few
// rows alone take more columns, so that there are enough independent sums to hide the latency of a multiply-add.
#if defined(__AVX512F__)
constexpr int kBlockRows = 12, kBlockVecs = 2;
constexpr int kHalfWideRows = 6, kHalfWideVecs = 4;
constexpr int kWideRows = 3, kWideVecs = 8;
#elif defined(__AVX2__)
constexpr int kBlockRows = 6, kBlockVecs = 2;
constexpr int kHalfWideRows = 2, kHalfWideVecs = 4;
constexpr int kWideRows = 0, kWideVecs = 0;
#elif defined(__aarch64__)
constexpr int kBlockRows = 5, kBlockVecs = 4;
constexpr int kHalfWideRows = 2, kHalfWideVecs = 8;
constexpr int kWideRows = 0, kWideVecs = 0;
#else
constexpr int kBlockRows = 2, kBlockVecs = 4;
constexpr int kHalfWideRows = 0, kHalfWideVecs = 0;
constexpr int kWideRows = 0, kWideVecs = 0;
#endif
constexpr int kLaneVecs = kLane / kWidth;

// One block of kRows rows (out of 1 .. kMaxRows, chosen at run time) by kVecs vectors.
template <class Product, LeftOrder kOrder, int kMaxRows, int kVecs>
NPUFA_INLINE void MultiplyRows(std::int64_t rows, const Operands& t, const char* a, const char* b, float* c) {
  if constexpr (kMaxRows > 1) {
    if (rows < kMaxRows) return MultiplyRows<Product, kOrder, kMaxRows - 1, kVecs>(rows, t, a, b, c);
  }
  MultiplyBlock<Product, kOrder, kMaxRows, kVecs>(t, a, b, c);
}

// Columns [begin, end) in blocks of kVecs vectors as far as they go; returns where they end.
template <class Product, LeftOrder kOrder, int kMaxRows, int kVecs>
__attribute__((noinline)) std::int64_t MultiplyColumns(const Operands& t, std::int64_t begin, std::int64_t end,
                                                       std::int64_t m) {
  const std::int64_t blocks = (m + kMaxRows - 1) / kMaxRows;
  const std::int64_t small = m / blocks;
  const std::int64_t larger = m % blocks;  // that many blocks have one row more
  std::int64_t j = begin;
  for (; j + kVecs * kWidth <= end; j += kVecs * kWidth) {
    std::int64_t i = 0;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t rows = small + (block < larger);
      MultiplyRows<Product, kOrder, kMaxRows, kVecs>(rows, t, t.a + i * t.a_row, t.b + j * Product::kElementBytes,
                                                     t.c + i * t.ldc + j);
      i += rows;
    }
  }
  return j;
}

template <class Product, LeftOrder kOrder>
inline void MultiplyTile(const Operands& t, std::int64_t m, std::int64_t n) {
  if (m <= 0) return;
  std::int64_t j = 0;
  if constexpr (kWideRows > 0) {
    if (m <= kWideRows) j = MultiplyColumns<Product, kOrder, kWideRows, kWideVecs>(t, j, n, m);
  }
  if constexpr (kHalfWideRows > 0) {
    if (m <= kHalfWideRows) j = MultiplyColumns<Product, kOrder, kHalfWideRows, kHalfWideVecs>(t, j, n, m);
  }
  j = MultiplyColumns<Product, kOrder, kBlockRows, kBlockVecs>(t, j, n, m);
  if constexpr (kLaneVecs < kBlockVecs) MultiplyColumns<Product, kOrder, kBlockRows, kLaneVecs>(t, j, n, m);
}

// Longer sums are added up from parts, which halves the rounding errors of a sum over a tile of keys.
constexpr std::int64_t kPartialSum = 128;

inline void GemmF32(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_row,
                    std::int64_t a_col, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, bool accumulate) {
  Operands t{reinterpret_cast<const char*>(a),
             a_row * 4,
             a_col * 4,
             reinterpret_cast<const char*>(b),
             ldb * 4,
             c,
             ldc,
             0,
             accumulate};
  do {
    t.steps = k < kPartialSum ? k : kPartialSum;
    if (a_col == 1) {
      MultiplyTile<Float32Product, LeftOrder::kRowMajor>(t, m, n);
    } else if (a_row == 1) {
      MultiplyTile<Float32Product, LeftOrder::kColumnMajor>(t, m, n);
    } else {
      MultiplyTile<Float32Product, LeftOrder::kAny>(t, m, n);
    }
    t.a += t.steps * t.a_col;
    t.b += t.steps * t.b_row;
    t.accumulate = true;
    k -= t.steps;
  } while (k > 0);
}

inline void GemmBf16(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16Planes& a, const Bf16Planes& b, float* c,
                     std::int64_t ldc, bool accumulate) {
  for (std::int64_t i = 0; i < a.count; ++i) {
    for (std::int64_t j = 0; i + j < a.count; ++j) {
      const Operands t{reinterpret_cast<const char*>(a.data + i * a.stride),
                       a.ld * 2,
                       4,
                       reinterpret_cast<const char*>(b.data + j * b.stride),
                       b.ld * 4,
                       c,
                       ldc,
                       k / 2,
                       accumulate};
      MultiplyTile<BFloat16Product, LeftOrder::kRowMajor>(t, m, n);
      accumulate = true;
    }
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
