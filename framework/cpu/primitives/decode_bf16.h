// Decode with bfloat16 products: queries and probabilities in bfloat16, sums in float32.
#pragma once

#include "decode.h"

#if defined(NPUFA_BF16_PRODUCTS)

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr int kPairedChannels = 2 * kWidth;

NPUFA_INLINE VecU LoadPaired(const std::uint16_t* p) { return LoadU(p); }
NPUFA_INLINE VecU LoadPairedFirst(const std::uint16_t* p, std::int64_t count) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<VecU>(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((std::uint64_t{1} << count) - 1), p));
#else
  std::uint16_t lanes[kPairedChannels] = {};
  __builtin_memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(lanes[0]));
  return LoadU(lanes);
#endif
}

struct BFloat16Products {
  using Raw = std::uint16_t;
  using Key = VecU;
  static constexpr int kChunk = kPairedChannels;

  const std::uint16_t* q;
  std::int64_t ldq;

  static NPUFA_INLINE Key LoadKey(const Raw* p) { return LoadPaired(p); }
  static NPUFA_INLINE Key LoadKeyFirst(const Raw* p, std::int64_t count) { return LoadPairedFirst(p, count); }
  NPUFA_INLINE Key LoadQuery(int g, std::int64_t x) const { return LoadPaired(q + g * ldq + x); }
  NPUFA_INLINE Key LoadQueryFirst(int g, std::int64_t x, std::int64_t count) const {
    return LoadPairedFirst(q + g * ldq + x, count);
  }
  static NPUFA_INLINE VecF Add(VecF sum, Key query, Key key) { return AddPairs(sum, query, key); }
};

inline void DotRowsBf16(std::int64_t m, std::int64_t n, std::int64_t d, const std::uint16_t* q, std::int64_t ldq,
                        const void* const* rows, float* s, std::int64_t lds) {
  for (std::int64_t g = 0; g < m; g += kQueryBlock) {
    WithRows<kQueryBlock>(m - g, [=](auto count) {
      DotBlock<decltype(count)::value>(n, d, BFloat16Products{q + g * ldq, ldq}, rows, s + g * lds, lds);
    });
  }
}

// Elements of two rows alternate in the result: those of columns [0, kWidth) in `low`, the rest in `high`.
struct Interleaved {
  VecU low, high;
};
NPUFA_INLINE Interleaved Interleave(VecU even, VecU odd) {
#if defined(__AVX512BF16__)
  constexpr std::uint32_t kOdd = 32u << 16;  // index of the second operand, in the upper half of a lane
  const VecU low = reinterpret_cast<VecU>(Iota()) * 0x10001u + kOdd;
  const auto pick = [&](VecU lanes) {
    return reinterpret_cast<VecU>(_mm512_permutex2var_epi16(
        reinterpret_cast<__m512i>(even), reinterpret_cast<__m512i>(lanes), reinterpret_cast<__m512i>(odd)));
  };
  return {pick(low), pick(low + 0x100010u)};
#else
  const auto a = reinterpret_cast<uint16x8_t>(even), b = reinterpret_cast<uint16x8_t>(odd);
  return {reinterpret_cast<VecU>(vzip1q_u16(a, b)), reinterpret_cast<VecU>(vzip2q_u16(a, b))};
#endif
}

// o[g][x .. x + kBlocks * kPairedChannels) over rows [begin, end), of which only `columns` columns exist.
template <int kRows, int kBlocks, bool kWhole>
NPUFA_INLINE void AccumulatePairs(std::int64_t begin, std::int64_t end, std::int64_t ahead, const std::uint16_t* p,
                                  std::int64_t ldp, const void* const* rows, std::int64_t x, std::int64_t columns,
                                  float* o, std::int64_t ldo) {
  const auto load = [&](std::int64_t j, int b) __attribute__((always_inline)) {
    const std::uint16_t* row = static_cast<const std::uint16_t*>(rows[j]) + x + b * kPairedChannels;
    return kWhole ? LoadPaired(row) : LoadPairedFirst(row, columns);
  };
  VecF sum[kRows][kBlocks * 2] = {};
  const auto add = [&](std::int64_t j, auto load_odd, auto weights) __attribute__((always_inline)) {
    VecU weight[kRows];
#pragma GCC unroll 8
    for (int g = 0; g < kRows; ++g) weight[g] = weights(g);
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      const Interleaved value = Interleave(load(j, b), load_odd(b));
#pragma GCC unroll 8
      for (int g = 0; g < kRows; ++g) {
        sum[g][2 * b] = AddPairs(sum[g][2 * b], weight[g], value.low);
        sum[g][2 * b + 1] = AddPairs(sum[g][2 * b + 1], weight[g], value.high);
      }
    }
  };
  std::int64_t j = begin;
  for (; j + 2 <= end; j += 2) {
    constexpr std::int64_t kBytes = kBlocks * kPairedChannels * static_cast<int>(sizeof(std::uint16_t));
    PrefetchBytes(static_cast<const std::uint16_t*>(rows[j + ahead]) + x, kBytes);
    PrefetchBytes(static_cast<const std::uint16_t*>(rows[j + ahead + 1]) + x, kBytes);
    add(
        j, [&](int b) { return load(j + 1, b); },
        [&](int g) {
          std::uint32_t pair;
          __builtin_memcpy(&pair, p + g * ldp + j, sizeof pair);
          return SplatU(pair);
        });
  }
  if (j < end) {
    add(j, [](int) { return VecU{}; }, [&](int g) { return SplatU(p[g * ldp + j]); });
  }
#pragma GCC unroll 8
  for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 8
    for (int v = 0; v < kBlocks * 2; ++v) {
      float* at = o + g * ldo + x + v * kWidth;
      const std::int64_t left = columns - v * kWidth;
      if (kWhole || left >= kWidth) {
        Store(at, Load(at) + sum[g][v]);
      } else if (left > 0) {
        StoreFirst(at, LoadFirst(at, left) + sum[g][v], left);
      }
    }
  }
}

template <int kRows>
inline void AccumulateBlockBf16(std::int64_t n, std::int64_t d, const std::uint16_t* p, std::int64_t ldp,
                                const void* const* rows, float* o, std::int64_t ldo) {
  constexpr int kFit = kSums / kRows / 2;
  constexpr int kBlocks = kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
  constexpr std::int64_t kColumns = kBlocks * kPairedChannels;
  // Rows that stay in the first-level cache while the columns of the output pass by.
  constexpr std::int64_t kChunk = 32;
  const std::int64_t ahead = RowsAhead(d * static_cast<std::int64_t>(sizeof(std::uint16_t)));
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t end = begin + kChunk < n ? begin + kChunk : n;
    std::int64_t x = 0;
    for (; x + kColumns <= d; x += kColumns) {
      AccumulatePairs<kRows, kBlocks, true>(begin, end, ahead, p, ldp, rows, x, kColumns, o, ldo);
    }
    for (; x + kPairedChannels <= d; x += kPairedChannels) {
      AccumulatePairs<kRows, 1, true>(begin, end, ahead, p, ldp, rows, x, kPairedChannels, o, ldo);
    }
    if (x < d) AccumulatePairs<kRows, 1, false>(begin, end, ahead, p, ldp, rows, x, d - x, o, ldo);
  }
}

inline void AccumulateRowsBf16(std::int64_t m, std::int64_t n, std::int64_t d, const std::uint16_t* p, std::int64_t ldp,
                               const void* const* rows, float* o, std::int64_t ldo) {
  for (std::int64_t g = 0; g < m; g += kQueryBlock) {
    WithRows<kQueryBlock>(m - g, [=](auto count) {
      AccumulateBlockBf16<decltype(count)::value>(n, d, p + g * ldp, ldp, rows, o + g * ldo, ldo);
    });
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA

#endif  // bfloat16 products
