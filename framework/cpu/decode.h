// A few float32 rows against many key/value rows read once, where they lie: bound by memory, not by arithmetic.
#pragma once

#include "convert.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr int kQueryBlock = kWidth == 16 ? 8 : 4;
constexpr int kSums = kRegisters == 32 ? 16 : 8;  // independent accumulators of a block
constexpr std::int64_t kLineBytes = 64;

// Rows may be scattered over pages, where no hardware prefetcher follows.
NPUFA_INLINE void PrefetchBytes(const void* p, std::int64_t bytes) {
  const char* c = static_cast<const char*>(p);
  for (std::int64_t at = 0; at < bytes; at += kLineBytes) __builtin_prefetch(c + at, 0, 3);
}

// s[g][j] for kRows queries.
template <class Format, int kRows>
inline void DotBlock(std::int64_t n, std::int64_t d, const float* q, std::int64_t ldq, const void* const* rows,
                     float* s, std::int64_t lds) {
  using Raw = typename Format::Raw;
  constexpr int kFit = kSums / kRows;
  // More keys at a time would only mean more rows to fetch at the same moment.
  constexpr int kKeys = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  const std::int64_t row_bytes = d * static_cast<std::int64_t>(sizeof(Raw));
  // About 4 KiB ahead.
  const std::int64_t ahead = kKeys + 4096 / (row_bytes + 1);
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
        PrefetchBytes(rows[j + ahead < n ? j + ahead : n - 1], row_bytes);
      }
      VecF sum[kRows][kKeys] = {};
      const auto add = [&](std::int64_t x, auto load_key, auto load_query) __attribute__((always_inline)) {
        VecF k[kKeys];
#pragma GCC unroll 4
        for (int r = 0; r < kKeys; ++r) k[r] = load_key(key[r] + x);
#pragma GCC unroll 8
        for (int g = 0; g < kRows; ++g) {
          const VecF query = load_query(q + g * ldq + x);
#pragma GCC unroll 4
          for (int r = 0; r < kKeys; ++r) sum[g][r] = Fma(query, k[r], sum[g][r]);
        }
      };
      std::int64_t x = 0;
      for (; x + kWidth <= d; x += kWidth) {
        add(x, [](const Raw* p) { return Format::Load(p); }, [](const float* p) { return Load(p); });
      }
      if (x < d) {
        add(x, [=](const Raw* p) { return LoadFirst<Format>(p, d - x); },
            [=](const float* p) { return LoadFirst(p, d - x); });
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

// o[g][x .. x + kVecs * kWidth) over rows [begin, end); prefetches the same columns `ahead` rows further on.
template <class Format, int kRows, int kVecs>
NPUFA_INLINE void AccumulateColumns(std::int64_t begin, std::int64_t end, std::int64_t n, std::int64_t ahead,
                                    const float* p, std::int64_t ldp, const void* const* rows, std::int64_t x, float* o,
                                    std::int64_t ldo) {
  using Raw = typename Format::Raw;
  VecF sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) sum[g][v] = Load(o + g * ldo + x + v * kWidth);
  }
  for (std::int64_t j = begin; j < end; ++j) {
    const Raw* row = static_cast<const Raw*>(rows[j]) + x;
    const std::int64_t next = j + ahead < n ? j + ahead : n - 1;
    PrefetchBytes(static_cast<const Raw*>(rows[next]) + x, kVecs * kWidth * static_cast<int>(sizeof(Raw)));
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
    for (int v = 0; v < kVecs; ++v) Store(o + g * ldo + x + v * kWidth, sum[g][v]);
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
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t end = begin + kChunk < n ? begin + kChunk : n;
    std::int64_t x = 0;
    for (; x + kVecs * kWidth <= d; x += kVecs * kWidth) {
      AccumulateColumns<Format, kRows, kVecs>(begin, end, n, kChunk, p, ldp, rows, x, o, ldo);
    }
    for (; x + kWidth <= d; x += kWidth) {
      AccumulateColumns<Format, kRows, 1>(begin, end, n, kChunk, p, ldp, rows, x, o, ldo);
    }
    if (x == d) continue;
    for (int g = 0; g < kRows; ++g) {
      VecF sum = LoadFirst(o + g * ldo + x, d - x);
      for (std::int64_t j = begin; j < end; ++j) {
        sum = Fma(Splat(p[g * ldp + j]), LoadFirst<Format>(static_cast<const Raw*>(rows[j]) + x, d - x), sum);
      }
      StoreFirst(o + g * ldo + x, sum, d - x);
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
        DotBlock<decltype(format), decltype(count)::value>(n, d, q + g * ldq, ldq, rows, s + g * lds, lds);
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

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
