// Decode with an int8 cache as it is stored: queries and probabilities as 16-bit integers times a unit per row, each
// integer in two bytes, products of bytes summed in 32-bit integers (vpdpbusd).
//
// The instruction multiplies unsigned by signed bytes. The cache is made unsigned by flipping its sign bits, which adds
// 128; 128 times the sum of the other factor is subtracted in the end. Sums may wrap on the way, the results do not:
// up to 512 channels, and kFixedRows rows, of 127 * 32767 each.
#pragma once

#include "decode.h"

#if defined(__AVX512VNNI__)

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr int kByteChannels = 4 * kWidth;
constexpr float kFixedMax = 32512.0f;  // 127 * 256: the upper byte of a rounded value stays a signed byte
constexpr std::int64_t kFixedRows = 64;

NPUFA_INLINE __m512i LoadBytes(const void* p) { return _mm512_loadu_si512(p); }
NPUFA_INLINE __m512i LoadBytesFirst(const void* p, std::int64_t count) {
  return _mm512_maskz_loadu_epi8((std::uint64_t{1} << count) - 1, p);
}
NPUFA_INLINE __m512i FlipSigns(__m512i v) { return _mm512_xor_si512(v, _mm512_set1_epi8(-128)); }
// 256 * high + low, the value of two sums of bytes; unsigned, since it may wrap.
NPUFA_INLINE VecU JoinBytes(__m512i high, __m512i low) {
  return (reinterpret_cast<VecU>(high) << 8) + reinterpret_cast<VecU>(low);
}

// x as integers of 16 bits in two bytes, times the unit that is returned; zeros up to a multiple of kByteChannels.
NPUFA_INLINE float ToFixed(std::int64_t n, const float* x, std::int8_t* high, std::int8_t* low) {
  const auto load = [=](std::int64_t j) {
    return j + kWidth <= n ? Load(x + j) : j < n ? LoadFirst(x + j, n - j) : VecF{};
  };
  VecF most{};
  // NaN shows in the sum of what is 0 for every finite number.
  VecF strange{};
  for (std::int64_t j = 0; j < n; j += kWidth) {
    const VecF v = load(j);
    most = Max(Abs(v), most);
    strange += v * 0.0f;
  }
  const float largest = HorizontalMax(most);
  const float unit = largest / kFixedMax;
  const float inverse = largest > 1e-30f ? kFixedMax / largest : 0.0f;
  for (std::int64_t j = 0; j < n; j += kByteChannels) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m512i fixed = _mm512_cvtps_epi32(load(j + v * kWidth) * inverse);
      const __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(fixed, _mm512_set1_epi32(128)), 8);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(high + j + v * kWidth), _mm512_cvtepi32_epi8(upper));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(low + j + v * kWidth), _mm512_cvtepi32_epi8(fixed));
    }
  }
  return unit + HorizontalSum(strange);
}

// 128 times the sum of the integers.
NPUFA_INLINE std::uint32_t FlippedSum(std::int64_t n, const std::int8_t* high, const std::int8_t* low) {
  __m512i sum_high{};
  __m512i sum_low{};
  for (std::int64_t j = 0; j < n; j += kByteChannels) {
    sum_high = _mm512_dpbusd_epi32(sum_high, _mm512_set1_epi8(-128), LoadBytes(high + j));
    sum_low = _mm512_dpbusd_epi32(sum_low, _mm512_set1_epi8(-128), LoadBytes(low + j));
  }
  return HorizontalSum(JoinBytes(sum_high, sum_low));
}

inline void ToFixedRows(std::int64_t m, std::int64_t n, const float* x, std::int64_t ldx, std::int8_t* high,
                        std::int8_t* low, std::int64_t ld, float* unit) {
  for (std::int64_t i = 0; i < m; ++i) unit[i] = ToFixed(n, x + i * ldx, high + i * ld, low + i * ld);
}

struct Int8Products {
  using Raw = std::int8_t;
  using Key = __m512i;
  struct Bytes {
    __m512i high, low;
  };
  using Sum = Bytes;
  static constexpr int kChunk = kByteChannels;
  static constexpr int kSumRegisters = 2;

  const std::int8_t* high;
  const std::int8_t* low;
  std::int64_t ld;
  const float* unit;
  std::uint32_t flipped[kQueryBlock];

  static NPUFA_INLINE Key LoadKey(const Raw* p) { return FlipSigns(LoadBytes(p)); }
  static NPUFA_INLINE Key LoadKeyFirst(const Raw* p, std::int64_t count) { return FlipSigns(LoadBytesFirst(p, count)); }
  NPUFA_INLINE Bytes LoadQuery(int g, std::int64_t x) const {
    return {LoadBytes(high + g * ld + x), LoadBytes(low + g * ld + x)};
  }
  NPUFA_INLINE Bytes LoadQueryFirst(int g, std::int64_t x, std::int64_t) const { return LoadQuery(g, x); }
  static NPUFA_INLINE Sum Add(Sum sum, Bytes query, Key key) {
    return {_mm512_dpbusd_epi32(sum.high, key, query.high), _mm512_dpbusd_epi32(sum.low, key, query.low)};
  }
  static NPUFA_INLINE VecU Lanes(Sum sum) { return JoinBytes(sum.high, sum.low); }
  NPUFA_INLINE VecF Scores(int g, VecU total) const {
    return __builtin_convertvector(reinterpret_cast<VecI>(total - flipped[g]), VecF) * unit[g];
  }
};

inline void DotRowsInt8(std::int64_t m, std::int64_t n, std::int64_t d, const std::int8_t* high,
                        const std::int8_t* low, std::int64_t ld, const float* unit, const void* const* rows, float* s,
                        std::int64_t lds) {
  for (std::int64_t g = 0; g < m; g += kQueryBlock) {
    WithRows<kQueryBlock>(m - g, [=](auto count) {
      Int8Products products{high + g * ld, low + g * ld, ld, unit + g, {}};
      for (int r = 0; r < count; ++r) products.flipped[r] = FlippedSum(d, products.high + r * ld, products.low + r * ld);
      DotBlock<decltype(count)::value>(n, d, products, rows, s + g * lds, lds);
    });
  }
}

// Weights of kFixedRows cache rows for a few queries.
template <int kRows>
struct FixedWeights {
  std::int8_t high[kRows][kFixedRows];
  std::int8_t low[kRows][kFixedRows];
  float unit[kRows];
  std::uint32_t flipped[kRows];
};

// Bytes of four rows, row after row within 32 bits: column x stands in lane x % 16 of vector x / 16.
struct Quads {
  __m512i columns[4];
};
NPUFA_INLINE __m512i SpreadColumns(__m512i row) {
  // Unpacking works within quarters of a register: each gets every fourth group of four columns.
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return _mm512_permutexvar_epi32(order, row);
}
template <int kFirst, int kCount>
NPUFA_INLINE Quads InterleaveQuads(const __m512i (&row)[4]) {
  Quads quads;
  if constexpr (kFirst < 2) {
    const __m512i a = _mm512_unpacklo_epi8(row[0], row[1]);
    const __m512i b = _mm512_unpacklo_epi8(row[2], row[3]);
    if constexpr (kFirst == 0) quads.columns[0] = _mm512_unpacklo_epi16(a, b);
    if constexpr (kFirst + kCount > 1) quads.columns[1] = _mm512_unpackhi_epi16(a, b);
  }
  if constexpr (kFirst + kCount > 2) {
    const __m512i a = _mm512_unpackhi_epi8(row[0], row[1]);
    const __m512i b = _mm512_unpackhi_epi8(row[2], row[3]);
    if constexpr (kFirst <= 2) quads.columns[2] = _mm512_unpacklo_epi16(a, b);
    if constexpr (kFirst + kCount > 3) quads.columns[3] = _mm512_unpackhi_epi16(a, b);
  }
  return quads;
}

// o[g][16 * kFirst .. 16 * (kFirst + kCount)) of `columns` columns over `count` <= kFixedRows rows.
template <int kRows, int kFirst, int kCount, bool kWhole>
NPUFA_INLINE void AccumulateQuads(std::int64_t count, std::int64_t ahead, const FixedWeights<kRows>& weights,
                                  const void* const* rows, std::int64_t x, std::int64_t columns, float* o,
                                  std::int64_t ldo) {
  __m512i high[kRows][kCount] = {};
  __m512i low[kRows][kCount] = {};
  for (std::int64_t j = 0; j < count; j += 4) {
    __m512i row[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      // Weights behind the last row are 0.
      const std::int8_t* at = static_cast<const std::int8_t*>(rows[j + r < count ? j + r : count - 1]) + x;
      row[r] = SpreadColumns(kWhole ? LoadBytes(at) : LoadBytesFirst(at, columns));
      if (kFirst == 0) PrefetchBytes(static_cast<const std::int8_t*>(rows[j + r + ahead]) + x, kByteChannels);
    }
    const Quads quads = InterleaveQuads<kFirst, kCount>(row);
#pragma GCC unroll 4
    for (int c = 0; c < kCount; ++c) {
      const __m512i value = FlipSigns(quads.columns[kFirst + c]);
#pragma GCC unroll 8
      for (int g = 0; g < kRows; ++g) {
        std::int32_t four_high, four_low;
        __builtin_memcpy(&four_high, weights.high[g] + j, sizeof four_high);
        __builtin_memcpy(&four_low, weights.low[g] + j, sizeof four_low);
        high[g][c] = _mm512_dpbusd_epi32(high[g][c], value, _mm512_set1_epi32(four_high));
        low[g][c] = _mm512_dpbusd_epi32(low[g][c], value, _mm512_set1_epi32(four_low));
      }
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 4
    for (int c = 0; c < kCount; ++c) {
      const std::int64_t first = (kFirst + c) * kWidth;
      const VecF sum = __builtin_convertvector(
          reinterpret_cast<VecI>(JoinBytes(high[g][c], low[g][c]) - weights.flipped[g]), VecF);
      float* at = o + g * ldo + x + first;
      if (kWhole || first + kWidth <= columns) {
        Store(at, Fma(Splat(weights.unit[g]), sum, Load(at)));
      } else if (first < columns) {
        StoreFirst(at, Fma(Splat(weights.unit[g]), sum, LoadFirst(at, columns - first)), columns - first);
      }
    }
  }
}

template <int kRows, bool kWhole>
NPUFA_INLINE void AccumulateByteColumns(std::int64_t count, std::int64_t ahead, const FixedWeights<kRows>& weights,
                                        const void* const* rows, std::int64_t x, std::int64_t columns, float* o,
                                        std::int64_t ldo) {
  if constexpr (kRows <= 2) {
    AccumulateQuads<kRows, 0, 4, kWhole>(count, ahead, weights, rows, x, columns, o, ldo);
  } else {
    AccumulateQuads<kRows, 0, 2, kWhole>(count, ahead, weights, rows, x, columns, o, ldo);
    AccumulateQuads<kRows, 2, 2, kWhole>(count, ahead, weights, rows, x, columns, o, ldo);
  }
}

template <int kRows>
inline void AccumulateBlockInt8(std::int64_t count, std::int64_t d, const float* p, std::int64_t ldp,
                                const void* const* rows, float* o, std::int64_t ldo) {
  FixedWeights<kRows> weights;
  for (int g = 0; g < kRows; ++g) {
    weights.unit[g] = ToFixed(count, p + g * ldp, weights.high[g], weights.low[g]);
    weights.flipped[g] = FlippedSum(count, weights.high[g], weights.low[g]);
  }
  const std::int64_t ahead = RowsAhead(d);
  std::int64_t x = 0;
  for (; x + kByteChannels <= d; x += kByteChannels) {
    AccumulateByteColumns<kRows, true>(count, ahead, weights, rows, x, kByteChannels, o, ldo);
  }
  if (x < d) AccumulateByteColumns<kRows, false>(count, ahead, weights, rows, x, d - x, o, ldo);
}

inline void AccumulateRowsInt8(std::int64_t m, std::int64_t n, std::int64_t d, const float* p, std::int64_t ldp,
                               const void* const* rows, float* o, std::int64_t ldo) {
  constexpr int kBlock = 4;
  for (std::int64_t begin = 0; begin < n; begin += kFixedRows) {
    const std::int64_t count = n - begin < kFixedRows ? n - begin : kFixedRows;
    for (std::int64_t g = 0; g < m; g += kBlock) {
      WithRows<kBlock>(m - g, [=](auto block) {
        AccumulateBlockInt8<decltype(block)::value>(count, d, p + g * ldp + begin, ldp, rows + begin, o + g * ldo, ldo);
      });
    }
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA

#endif  // __AVX512VNNI__
