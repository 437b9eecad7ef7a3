// Dropout of a row of probabilities, from Philox-4x32-10 (Salmon et al. 2011) or from a mask of bits.
#pragma once

#include "simd.h"

namespace npufa::cpu::NPUFA_ISA {
namespace {

template <int... kLanes>
NPUFA_INLINE VecU64 ZipLow(VecU64 a, VecU64 b, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(a, b, (kLanes / 2 + (kLanes % 2) * (kWidth / 2))...);
}
template <int... kLanes>
NPUFA_INLINE VecU64 ZipHigh(VecU64 a, VecU64 b, std::integer_sequence<int, kLanes...>) {
  return __builtin_shufflevector(a, b, (kWidth / 4 + kLanes / 2 + (kLanes % 2) * (kWidth / 2))...);
}

class Philox {
 public:
  // Counters per call of Generate, each giving four words.
  static constexpr int kCounters = kWidth / 2;
  static constexpr int kWords = 4 * kCounters;

  NPUFA_INLINE explicit Philox(std::uint64_t seed) {
    std::uint32_t key0 = static_cast<std::uint32_t>(seed);
    std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < kRounds; ++round) {
      key0_[round] = key0;
      key1_[round] = key1;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
  }

  // The words of counters first, first + 1, ... in order. A counter occupies a 64-bit lane of each of four vectors;
  // what stands in the upper halves never matters, since products take the lower ones.
  NPUFA_INLINE void Generate(std::uint64_t first, VecU (&words)[2]) const {
    using Halves = std::make_integer_sequence<int, kWidth / 2>;
    VecU64 index;
    for (int i = 0; i < kCounters; ++i) index[i] = static_cast<std::uint64_t>(i);
    const VecU64 counter = index + first;
    VecU64 c0 = counter;
    VecU64 c1 = counter >> 32;
    VecU64 c2{};
    VecU64 c3{};
#pragma GCC unroll 10
    for (int round = 0; round < kRounds; ++round) {
      const VecU64 product0 = MultiplyLow32(c0, VecU64{} + 0xD2511F53u);
      const VecU64 product1 = MultiplyLow32(c2, VecU64{} + 0xCD9E8D57u);
      c0 = (product1 >> 32) ^ c1 ^ key0_[round];
      c1 = product1;
      c2 = (product0 >> 32) ^ c3 ^ key1_[round];
      c3 = product0;
    }
    const VecU64 pair01 = (c0 & 0xffffffffu) | (c1 << 32);
    const VecU64 pair23 = (c2 & 0xffffffffu) | (c3 << 32);
    words[0] = reinterpret_cast<VecU>(ZipLow(pair01, pair23, Halves{}));
    words[1] = reinterpret_cast<VecU>(ZipHigh(pair01, pair23, Halves{}));
  }

 private:
  static constexpr int kRounds = 10;
  std::uint64_t key0_[kRounds];
  std::uint64_t key1_[kRounds];
};

inline void DropoutPhiloxRow(std::int64_t n, float* p, std::uint64_t seed, std::uint64_t offset, std::uint64_t first,
                             std::uint64_t threshold, float scale) {
  if (n <= 0) return;
  const Philox philox(seed);
  // word < threshold as word <= last, which fits into 32 bits; a threshold of 0 keeps nothing.
  const std::uint32_t last = threshold > 0xffffffffu ? 0xffffffffu : static_cast<std::uint32_t>(threshold - 1);
  const std::uint32_t kept_bits = threshold == 0 ? 0 : 0xffffffffu;
  std::uint64_t counter = offset + first / 4;
  // Element j of p has word j + skip of the stream that starts at `counter`.
  const std::int64_t skip = static_cast<std::int64_t>(first % 4);
  for (std::int64_t at = -skip; at < n; at += Philox::kWords, counter += Philox::kCounters) {
    VecU words[2];
    philox.Generate(counter, words);
    for (int half = 0; half < 2; ++half) {
      const VecU keep = reinterpret_cast<VecU>(words[half] <= last) & kept_bits;
      const std::int64_t j = at + half * kWidth;
      if (j >= 0 && j + kWidth <= n) {
        Store(p + j, FromBits(Bits(Load(p + j) * scale) & keep));
      } else {
        for (int lane = 0; lane < kWidth; ++lane) {
          if (j + lane >= 0 && j + lane < n) p[j + lane] = keep[lane] ? p[j + lane] * scale : 0.0f;
        }
      }
    }
  }
}

inline void DropoutBitsRow(std::int64_t n, float* p, const std::uint8_t* bits, std::uint64_t first, float scale) {
  const VecU lane_bit = SplatU(1u) << reinterpret_cast<VecU>(Iota());
  std::int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) {
    const std::uint64_t bit = first + static_cast<std::uint64_t>(j);
    const std::uint8_t* bytes = bits + bit / 8;
    std::uint32_t word = 0;  // little endian; holds at least 25 bits from `bit` on
    if (j + 32 <= n) {
      __builtin_memcpy(&word, bytes, sizeof(word));
    } else {
      for (std::uint64_t k = 0; k <= (bit % 8 + kWidth - 1) / 8; ++k) word |= std::uint32_t{bytes[k]} << (8 * k);
    }
    const VecU keep = reinterpret_cast<VecU>((SplatU(word >> (bit % 8)) & lane_bit) != 0);
    Store(p + j, FromBits(Bits(Load(p + j) * scale) & keep));
  }
  for (; j < n; ++j) {
    const std::uint64_t bit = first + static_cast<std::uint64_t>(j);
    p[j] = (bits[bit / 8] >> (bit % 8)) & 1 ? p[j] * scale : 0.0f;
  }
}

}  // namespace
}  // namespace npufa::cpu::NPUFA_ISA
