// Decode with an int8 cache as it is stored: queries and probabilities as 16-bit integers times a unit per row, each
// integer in two bytes, products of bytes summed in 32-bit integers.
//
// Sums may wrap on the way, the results do not: up to 512 channels, and kFixedRows rows, of 127 * 32767 each.
#pragma once

#include "bytes.h"

#if defined(NPUFA_BYTE_PRODUCTS)

namespace npufa::cpu::NPUFA_ISA {
namespace {

constexpr float kFixedMax = 32512.0f;  // 127 * 256: the upper byte of a rounded value stays a signed byte
constexpr std::int64_t kFixedRows = 64;

// 256 * high + low, the value of two sums of bytes; unsigned, since it may wrap.
NPUFA_INLINE VecU JoinBytes(VecU high, VecU low) { return (high << 8) + low; }

// x as integers of 16 bits in two bytes, times the unit that is returned; zeros up to a multiple of kFixedLane.
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
  for (std::int64_t first = 0; first < n; first += kFixedLane) {
#pragma GCC unroll 4
    for (std::int64_t j = first; j < first + kFixedLane; j += kWidth) {
      const VecI fixed = RoundToInteger(load(j) * inverse);
      StoreLowBytes(high + j, (fixed + 128) >> 8);
      StoreLowBytes(low + j, fixed);
    }
  }
  return unit + HorizontalSum(strange);
}

// What flipping the signs of the other factor adds: 128 times the sum of the integers.
NPUFA_INLINE std::uint32_t FlippedSum(std::int64_t n, const std::int8_t* high, const std::int8_t* low) {
  if (!kFlips) return 0;
  VecU sum_high{};
  VecU sum_low{};
  for (std::int64_t j = 0; j < n; j += kByteChannels) {
    sum_high = AddProducts(sum_high, SplatU(0x80808080u), LoadBytes(high + j));
    sum_low = AddProducts(sum_low, SplatU(0x80808080u), LoadBytes(low + j));
  }
  return HorizontalSum(JoinBytes(sum_high, sum_low));
}

inline void ToFixedRows(std::int64_t m, std::int64_t n, const float* x, std::int64_t ldx, std::int8_t* high,
                        std::int8_t* low, std::int64_t ld, float* unit) {
  for (std::int64_t i = 0; i < m; ++i) unit[i] = ToFixed(n, x + i * ldx, high + i * ld, low + i * ld);
}

// Four keys, a quad of channels in each lane: lane (l, r), r of quarter l, of of[c] holds channels
// [16 * l + 4 * c, 16 * l + 4 * c + 4) of key r.
struct KeyQuads {
  VecU of[4];
};
NPUFA_INLINE KeyQuads GatherKeyQuads(const VecU (&key)[4]) {
  const VecU a = InterleaveLow<32>(key[0], key[1]);
  const VecU b = InterleaveLow<32>(key[2], key[3]);
  const VecU c = InterleaveHigh<32>(key[0], key[1]);
  const VecU d = InterleaveHigh<32>(key[2], key[3]);
  return {{InterleaveLow<64>(a, b), InterleaveHigh<64>(a, b), InterleaveLow<64>(c, d), InterleaveHigh<64>(c, d)}};
}

// A query to be multiplied with KeyQuads: vector x / kWidth + c belongs to of[c] of the channels from x on.
constexpr int kMaxQuads = 512 / kWidth;
struct FixedQuery {
  VecU high[kMaxQuads], low[kMaxQuads];
  float unit;
  std::uint32_t flipped;
};
NPUFA_INLINE void SpreadQuads(std::int64_t d, const std::int8_t* bytes, VecU* quads) {
  for (std::int64_t x = 0; x < d; x += kByteChannels, quads += 4) {
    const VecU v = LoadBytes(bytes + x);
    quads[0] = SpreadLane<0>(v);
    quads[1] = SpreadLane<1>(v);
    quads[2] = SpreadLane<2>(v);
    quads[3] = SpreadLane<3>(v);
  }
}

// Scores of kWidth keys, of which n exist.
template <int kRows>
inline void DotKeys(std::int64_t n, std::int64_t d, std::int64_t ahead, const FixedQuery* query,
                    const void* const* rows, VecF (&scores)[kRows]) {
  constexpr int kGroups = kQuarters < 2 ? 1 : 2;  // of four keys at a time
  VecU total[kRows][kQuarters];
  // Not unrolled: sums would not fit into the registers.
#pragma GCC unroll 1
  for (int first = 0; first < kQuarters; first += kGroups) {
    const std::int8_t* key[4 * kGroups];
    const void* next[4 * kGroups];
#pragma GCC unroll 8
    for (int r = 0; r < 4 * kGroups; ++r) {
      const std::int64_t j = 4 * first + r < n ? 4 * first + r : n - 1;
      key[r] = static_cast<const std::int8_t*>(rows[j]);
      next[r] = rows[j + ahead];
    }
    VecU high[kRows][kGroups] = {};
    VecU low[kRows][kGroups] = {};
    for (std::int64_t x = 0; x < d; x += kByteChannels) {
      KeyQuads quads[kGroups];
#pragma GCC unroll 2
      for (int i = 0; i < kGroups; ++i) {
        VecU bytes[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          const std::int8_t* at = key[4 * i + r] + x;
          bytes[r] = FlipSigns(x + kByteChannels <= d ? LoadBytes(at) : LoadBytesFirst(at, d - x));
          __builtin_prefetch(static_cast<const std::int8_t*>(next[4 * i + r]) + x, 0, 2);
        }
        quads[i] = GatherKeyQuads(bytes);
      }
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
#pragma GCC unroll 4
        for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 2
          for (int i = 0; i < kGroups; ++i) {
            high[g][i] = AddProducts(high[g][i], quads[i].of[c], query[g].high[x / kWidth + c]);
            low[g][i] = AddProducts(low[g][i], quads[i].of[c], query[g].low[x / kWidth + c]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 2
      for (int i = 0; i < kGroups; ++i) total[g][first + i] = JoinBytes(high[g][i], low[g][i]);
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < kRows; ++g) {
    const VecU sum = SumLanes<4, kQuarters>(total[g]) - query[g].flipped;
    scores[g] = __builtin_convertvector(reinterpret_cast<VecI>(sum), VecF) * query[g].unit;
  }
}

constexpr int kFixedBlock = 4;  // rows at a time

inline void DotRowsInt8(std::int64_t m, std::int64_t n, std::int64_t d, const std::int8_t* high, const std::int8_t* low,
                        std::int64_t ld, const float* unit, const void* const* rows, float* s, std::int64_t lds) {
  const std::int64_t ahead = RowsAhead(d);
  for (std::int64_t first = 0; first < m; first += kFixedBlock) {
    WithRows<kFixedBlock>(m - first, [=](auto count) {
      FixedQuery query[count];
      for (int g = 0; g < count; ++g) {
        const std::int64_t at = (first + g) * ld;
        SpreadQuads(d, high + at, query[g].high);
        SpreadQuads(d, low + at, query[g].low);
        query[g].unit = unit[first + g];
        query[g].flipped = FlippedSum(d, high + at, low + at);
      }
      for (std::int64_t j = 0; j < n; j += kWidth) {
        VecF scores[count];
        DotKeys(n - j, d, ahead, query, rows + j, scores);
        for (int g = 0; g < count; ++g) {
          float* at = s + (first + g) * lds + j;
          if (j + kWidth <= n) {
            Store(at, scores[g]);
          } else {
            StoreFirst(at, scores[g], n - j);
          }
        }
      }
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

// Bytes of four rows, row after row within 32 bits: lane (l, x), x of quarter l, of columns[c] holds column
// 16 * l + 4 * c + x.
struct Quads {
  VecU columns[4];
};
template <int kFirst, int kCount>
NPUFA_INLINE Quads InterleaveQuads(const VecU (&row)[4]) {
  Quads quads;
  if constexpr (kFirst < 2) {
    const VecU a = InterleaveLow<8>(row[0], row[1]);
    const VecU b = InterleaveLow<8>(row[2], row[3]);
    if constexpr (kFirst == 0) quads.columns[0] = InterleaveLow<16>(a, b);
    if constexpr (kFirst + kCount > 1) quads.columns[1] = InterleaveHigh<16>(a, b);
  }
  if constexpr (kFirst + kCount > 2) {
    const VecU a = InterleaveHigh<8>(row[0], row[1]);
    const VecU b = InterleaveHigh<8>(row[2], row[3]);
    if constexpr (kFirst <= 2) quads.columns[2] = InterleaveLow<16>(a, b);
    if constexpr (kFirst + kCount > 3) quads.columns[3] = InterleaveHigh<16>(a, b);
  }
  return quads;
}

// Sums over `count` <= kFixedRows rows in the columns of Quads [kFirst, kFirst + kCount); `columns` of the 64 exist.
template <int kRows, int kFirst, int kCount, bool kWhole>
NPUFA_INLINE void AccumulateQuads(std::int64_t count, std::int64_t ahead, const FixedWeights<kRows>& weights,
                                  const void* const* rows, std::int64_t x, std::int64_t columns,
                                  VecU (&sum)[kRows][4]) {
  VecU high[kRows][kCount] = {};
  VecU low[kRows][kCount] = {};
  for (std::int64_t j = 0; j < count; j += 4) {
    VecU row[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      // Weights behind the last row are 0.
      const std::int8_t* at = static_cast<const std::int8_t*>(rows[j + r < count ? j + r : count - 1]) + x;
      row[r] = kWhole ? LoadBytes(at) : LoadBytesFirst(at, columns);
      if (kFirst == 0) PrefetchBytes(static_cast<const std::int8_t*>(rows[j + r + ahead]) + x, kByteChannels);
    }
    const Quads quads = InterleaveQuads<kFirst, kCount>(row);
#pragma GCC unroll 4
    for (int c = 0; c < kCount; ++c) {
      const VecU value = FlipSigns(quads.columns[kFirst + c]);
#pragma GCC unroll 8
      for (int g = 0; g < kRows; ++g) {
        std::uint32_t four_high, four_low;
        __builtin_memcpy(&four_high, weights.high[g] + j, sizeof four_high);
        __builtin_memcpy(&four_low, weights.low[g] + j, sizeof four_low);
        high[g][c] = AddProducts(high[g][c], value, SplatU(four_high));
        low[g][c] = AddProducts(low[g][c], value, SplatU(four_low));
      }
    }
  }
#pragma GCC unroll 8
  for (int g = 0; g < kRows; ++g) {
#pragma GCC unroll 4
    for (int c = 0; c < kCount; ++c) sum[g][kFirst + c] = JoinBytes(high[g][c], low[g][c]) - weights.flipped[g];
  }
}

template <int kRows, bool kWhole>
NPUFA_INLINE void AccumulateByteColumns(std::int64_t count, std::int64_t ahead, const FixedWeights<kRows>& weights,
                                        const void* const* rows, std::int64_t x, std::int64_t columns, float* o,
                                        std::int64_t ldo) {
  VecU sum[kRows][4];
  if constexpr (kRows <= 2) {
    AccumulateQuads<kRows, 0, 4, kWhole>(count, ahead, weights, rows, x, columns, sum);
  } else {
    AccumulateQuads<kRows, 0, 2, kWhole>(count, ahead, weights, rows, x, columns, sum);
    AccumulateQuads<kRows, 2, 2, kWhole>(count, ahead, weights, rows, x, columns, sum);
  }
  for (int g = 0; g < kRows; ++g) {
    TransposeQuarters(sum[g]);  // from the columns of Quads to columns in order
    for (std::int64_t c = 0; c < 4; ++c) {
      const VecF add = __builtin_convertvector(reinterpret_cast<VecI>(sum[g][c]), VecF);
      const std::int64_t left = columns - c * kWidth;
      float* at = o + g * ldo + x + c * kWidth;
      if (kWhole || left >= kWidth) {
        Store(at, Fma(Splat(weights.unit[g]), add, Load(at)));
      } else if (left > 0) {
        StoreFirst(at, Fma(Splat(weights.unit[g]), add, LoadFirst(at, left)), left);
      }
    }
  }
}

template <int kRows>
inline void AccumulateBlockInt8(std::int64_t count, std::int64_t d, const float* p, std::int64_t ldp,
                                const void* const* rows, float* o, std::int64_t ldo) {
  FixedWeights<kRows> weights;
  for (int g = 0; g < kRows; ++g) {
    weights.unit[g] = ToFixed(count, p + g * ldp, weights.high[g], weights.low[g]);
  }
  // Behind all of them: bytes that have just been stored one quarter at a time are slow to load together.
  for (int g = 0; g < kRows; ++g) {
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
  for (std::int64_t begin = 0; begin < n; begin += kFixedRows) {
    const std::int64_t count = n - begin < kFixedRows ? n - begin : kFixedRows;
    for (std::int64_t g = 0; g < m; g += kFixedBlock) {
      WithRows<kFixedBlock>(m - g, [=](auto block) {
        AccumulateBlockInt8<decltype(block)::value>(count, d, p + g * ldp + begin, ldp, rows + begin, o + g * ldo, ldo);
      });
    }
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA

#endif  // byte products
