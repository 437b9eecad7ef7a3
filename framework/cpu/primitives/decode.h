// A few float32 rows against many key/value rows read once, where they lie: bound by memory, not by arithmetic.
#pragma once

#include "convert.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr int kQueryBlock = kWidth == 16 ? 8 : 4;
constexpr int kSums = kRegisters == 32 ? 16 : 8;  // independent accumulators of a block
constexpr std::int64_t kLineBytes = 64;

// Rows may be scattered over pages, where no hardware prefetcher follows. Into the second-level cache: the first has
// too few places for lines on their way to cover the time memory takes.
NPUFA_INLINE void PrefetchBytes(const void* p, std::int64_t bytes) {
  const char* c = static_cast<const char*>(p);
  for (std::int64_t at = 0; at < bytes; at += kLineBytes) __builtin_prefetch(c + at, 0, 2);
}

// How far ahead of the row in use rows are fetched; the pointers behind the last row tell what follows.
NPUFA_INLINE std::int64_t RowsAhead(std::int64_t row_bytes) {
  constexpr std::int64_t kMost = kRowsAhead - 4;  // a step takes up to four rows
  const std::int64_t rows = 8192 / (row_bytes + 1);
  return rows < 4 ? 4 : rows < kMost ? rows : kMost;
}

// Products of float32 queries with rows of any format.
template <class Format>
struct Float32Products {
  using Raw = typename Format::Raw;
  using Key = VecF;
  static constexpr int kChunk = kWidth;  // channels of a step

  const float* q;
  std::int64_t ldq;

  static NPUFA_INLINE Key LoadKey(const Raw* p) { return Format::Load(p); }
  static NPUFA_INLINE Key LoadKeyFirst(const Raw* p, std::int64_t count) { return LoadFirst<Format>(p, count); }
  NPUFA_INLINE Key LoadQuery(int g, std::int64_t x) const { return Load(q + g * ldq + x); }
  NPUFA_INLINE Key LoadQueryFirst(int g, std::int64_t x, std::int64_t count) const {
    return NPUFA_ISA::LoadFirst(q + g * ldq + x, count);
  }
  static NPUFA_INLINE VecF Add(VecF sum, Key query, Key key) { return Fma(query, key, sum); }
};

// s[g][j] for kRows queries.
template <int kRows, class Products>
inline void DotBlock(std::int64_t n, std::int64_t d, const Products& products, const void* const* rows, float* s,
                     std::int64_t lds) {
  using Raw = typename Products::Raw;
  constexpr int kFit = kSums / kRows;
  // More keys at a time would only mean more rows to fetch at the same moment.
  constexpr int kKeys = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  const std::int64_t row_bytes = d * static_cast<std::int64_t>(sizeof(Raw));
  const std::int64_t ahead = RowsAhead(row_bytes);
  constexpr int kGroups = kWidth / kKeys;
  for (std::int64_t j0 = 0; j0 < n; j0 += kWidth) {
    VecF partial[kRows][kGroups];
#pragma GCC unroll 1
    for (int group = 0; group < kGroups; ++group) {
      const Raw* key[kKeys];
#pragma GCC unroll 4
      for (int r = 0; r < kKeys; ++r) {
        const std::int64_t j = j0 + group * kKeys + r;
        key[r] = static_cast<const Raw*>(rows[j < n ? j : n - 1]);
        if (j < n) PrefetchBytes(rows[j + ahead], row_bytes);
      }
      VecF sum[kRows][kKeys] = {};
      std::int64_t x = 0;
      const auto add = [&](auto load_key, auto load_query) __attribute__((always_inline)) {
        typename Products::Key k[kKeys];
#pragma GCC unroll 4
        for (int r = 0; r < kKeys; ++r) k[r] = load_key(key[r] + x);
#pragma GCC unroll 8
        for (int g = 0; g < kRows; ++g) {
          const auto query = load_query(g);
#pragma GCC unroll 4
          for (int r = 0; r < kKeys; ++r) sum[g][r] = Products::Add(sum[g][r], query, k[r]);
        }
      };
      for (; x + Products::kChunk <= d; x += Products::kChunk) {
        add([](const Raw* p) { return Products::LoadKey(p); }, [&](int g) { return products.LoadQuery(g, x); });
      }
      if (x < d) {
        add([=](const Raw* p) { return Products::LoadKeyFirst(p, d - x); },
            [&](int g) { return products.LoadQueryFirst(g, x, d - x); });
      }
#pragma GCC unroll 8
      for (int g = 0; g < kRows; ++g) partial[g][group] = SumLanes<1, kKeys>(sum[g]);
    }
    for (int g = 0; g < kRows; ++g) {
      const VecF scores = SumLanes<kKeys, kGroups>(partial[g]);
      if (j0 + kWidth <= n) {
        Store(s + g * lds + j0, scores);
      } else {
        StoreFirst(s + g * lds + j0, scores, n - j0);
      }
    }
  }
}

// o[g][x .. x + kVecs * kWidth) over rows [begin, end), summed on their own, which keeps long sums accurate; prefetches
// the same columns `ahead` rows further on.
template <class Format, int kRows, int kVecs>
NPUFA_INLINE void AccumulateColumns(std::int64_t begin, std::int64_t end, std::int64_t ahead, const float* p,
                                    std::int64_t ldp, const void* const* rows, std::int64_t x, float* o,
                                    std::int64_t ldo) {
  using Raw = typename Format::Raw;
  VecF sum[kRows][kVecs] = {};
  for (std::int64_t j = begin; j < end; ++j) {
    const Raw* row = static_cast<const Raw*>(rows[j]) + x;
    PrefetchBytes(static_cast<const Raw*>(rows[j + ahead]) + x, kVecs * kWidth * static_cast<int>(sizeof(Raw)));
    VecF weight[kRows];
#pragma GCC unroll 8
    for (int g = 0; g < kRows; ++g) weight[g] = Splat(p[g * ldp + j]);
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const VecF value = Format::Load(row + v * kWidth);
#pragma GCC unroll 8
      for (int g = 0; g < kRows; ++g) sum[g][v] = Fma(weight[g], value, sum[g][v]);
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      float* at = o + g * ldo + x + v * kWidth;
      Store(at, Load(at) + sum[g][v]);
    }
  }
}

template <class Format, int kRows>
inline void AccumulateBlock(std::int64_t n, std::int64_t d, const float* p, std::int64_t ldp, const void* const* rows,
                            float* o, std::int64_t ldo) {
  using Raw = typename Format::Raw;
  constexpr int kFit = kSums / kRows;
  constexpr int kVecs = kFit >= 8 ? 8 : kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  // Rows that stay in the first-level cache while the columns of the output pass by.
  constexpr std::int64_t kChunk = 16;
  const std::int64_t ahead = RowsAhead(d * static_cast<std::int64_t>(sizeof(Raw)));
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t end = begin + kChunk < n ? begin + kChunk : n;
    std::int64_t x = 0;
    for (; x + kVecs * kWidth <= d; x += kVecs * kWidth) {
      AccumulateColumns<Format, kRows, kVecs>(begin, end, ahead, p, ldp, rows, x, o, ldo);
    }
    for (; x + kWidth <= d; x += kWidth) {
      AccumulateColumns<Format, kRows, 1>(begin, end, ahead, p, ldp, rows, x, o, ldo);
    }
    if (x == d) continue;
    for (int g = 0; g < kRows; ++g) {
      VecF sum{};
      for (std::int64_t j = begin; j < end; ++j) {
        sum = Fma(Splat(p[g * ldp + j]), LoadFirst<Format>(static_cast<const Raw*>(rows[j]) + x, d - x), sum);
      }
      StoreFirst(o + g * ldo + x, LoadFirst(o + g * ldo + x, d - x) + sum, d - x);
    }
  }
}

// Calls f(std::integral_constant<int, min(rows, kMax)>).
template <int kMax, class F>
NPUFA_INLINE void WithRows(std::int64_t rows, F&& f) {
  if constexpr (kMax > 1) {
    if (rows < kMax) return WithRows<kMax - 1>(rows, f);
  }
  f(std::integral_constant<int, kMax>{});
}

inline void DotRows(std::int64_t m, std::int64_t n, std::int64_t d, const float* q, std::int64_t ldq,
                    const void* const* rows, DType dtype, float* s, std::int64_t lds) {
  WithFormat(dtype, [=](auto format) {
    for (std::int64_t g = 0; g < m; g += kQueryBlock) {
      WithRows<kQueryBlock>(m - g, [=](auto count) {
        const Float32Products<decltype(format)> products{q + g * ldq, ldq};
        DotBlock<decltype(count)::value>(n, d, products, rows, s + g * lds, lds);
      });
    }
  });
}

inline void AccumulateRows(std::int64_t m, std::int64_t n, std::int64_t d, const float* p, std::int64_t ldp,
                           const void* const* rows, DType dtype, float* o, std::int64_t ldo) {
  WithFormat(dtype, [=](auto format) {
    for (std::int64_t g = 0; g < m; g += kQueryBlock) {
      WithRows<kQueryBlock>(m - g, [=](auto count) {
        AccumulateBlock<decltype(format), decltype(count)::value>(n, d, p + g * ldp, ldp, rows, o + g * ldo, ldo);
      });
    }
  });
}

inline void UnpackInt4(std::int64_t n, std::int64_t d, const void* const* rows, std::int8_t* elements) {
  const std::int64_t ahead = RowsAhead(d / 2);
  for (std::int64_t j = 0; j < n; ++j, elements += d) {
    const auto* bytes = static_cast<const std::uint8_t*>(rows[j]);
    PrefetchBytes(rows[j + ahead], d / 2);
    for (std::int64_t i = 0; i < d / 2; ++i) {
      // Both elements at once: a half to each byte, whose upper half becomes four copies of the sign.
      std::uint16_t pair = static_cast<std::uint16_t>((bytes[i] | bytes[i] << 4) & 0x0f0f);
      pair = static_cast<std::uint16_t>(pair | (pair & 0x0808) * 0x1e);
      __builtin_memcpy(elements + 2 * i, &pair, sizeof pair);
    }
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
