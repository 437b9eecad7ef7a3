// Philox-4x32-10 (Salmon et al. 2011) on the vector unit, which has neither 64-bit products nor exclusive or.
#pragma once

#include "vector_words.h"

namespace npufa {

// Words of the counters first, first + 1, ...: which counter a lane has follows from the order of the lanes.
class Philox {
 public:
  static constexpr uint32_t ROUNDS = 10;

  // Bytes of local memory for `counters` lanes.
  __aicore__ inline static constexpr uint32_t Bytes(uint32_t counters) {
    return (VECTORS * counters + ROUNDS * PAIR * BLOCK_WORDS) * static_cast<uint32_t>(sizeof(int32_t));
  }

  // `order`: lane i has counter first + order[i].
  __aicore__ inline void Init(const Words& memory, const Words& order, uint32_t counters, uint64_t seed) {
    counters_ = counters;
    repeats_ = static_cast<uint8_t>(counters / REPEAT_WORDS);
    order_ = order;
    for (uint32_t p = 0; p < PAIR; ++p) {
      factor_[p] = memory[(6 * p) * counters];
      other_[p] = memory[(6 * p + 1) * counters];
      high_[p] = memory[(6 * p + 2) * counters];
      low_[p] = memory[(6 * p + 3) * counters];
      carried_[p] = memory[(6 * p + 4) * counters];
      lowPart_[p] = memory[(6 * p + 5) * counters];
    }
    wrapped_ = memory[(VECTORS - 1) * counters];
    keys_ = memory[VECTORS * counters];
    seed_ = seed;
    for (uint32_t block = 0; block < ROUNDS * PAIR; ++block) {
      AscendC::Duplicate(keys_[block * BLOCK_WORDS], static_cast<int32_t>(Key(block / PAIR, block % PAIR)),
                         static_cast<int32_t>(BLOCK_WORDS));
    }
  }

  __aicore__ inline void Generate(uint64_t first) {
    FirstRounds(first);
    for (uint32_t round = 3; round < ROUNDS; ++round) {
      Multiply(0, PAIR);
      ExclusiveOr(0, PAIR);
      ApplyKeys(round, 0, PAIR);
      TakeLowWords();
    }
  }

  // Word 0, 1, 2 or 3 of every counter; may be overwritten until the next Generate.
  __aicore__ inline const Words& Word(uint32_t index) const {
    return index % 2 == 0 ? factor_[index / 2] : other_[index / 2];
  }

 private:
  static constexpr uint32_t PAIR = 2;      // products of a round
  static constexpr uint32_t VECTORS = 13;  // six for each of them, and one
  static constexpr int32_t SIGN_BIT = -2147483647 - 1;
  static constexpr float TWO_TO_16 = 65536.0f;
  static constexpr float TWO_TO_32 = 65536.0f * 65536.0f;

  __aicore__ inline static uint32_t LowWord(uint64_t value) { return static_cast<uint32_t>(value); }
  __aicore__ inline static uint32_t HighWord(uint64_t value) { return static_cast<uint32_t>(value >> 32); }
  __aicore__ inline static uint32_t Multiplier(uint32_t p) { return p == 0 ? 0xD2511F53u : 0xCD9E8D57u; }
  __aicore__ inline uint32_t Key(uint32_t round, uint32_t p) const {
    return (p == 0 ? LowWord(seed_) : HighWord(seed_)) + round * (p == 0 ? 0x9E3779B9u : 0xBB67AE85u);
  }

  // The first three rounds are shorter. Words 2 and 3 of a counter are 0, and its word 1 has at most two values in a
  // tile: `upper`, and one more in lanes where word 0 has wrapped. The scalar unit computes what depends on it alone.
  __aicore__ inline void FirstRounds(uint64_t first) {
    SetCounters(LowWord(first));
    const uint32_t upper = HighWord(first);

    // Round 0: word 0 becomes word 1 ^ key, word 1 becomes 0.
    AscendC::Duplicate(other_[1], static_cast<int32_t>(Key(0, 1)), Count());
    Multiply(0, 1);
    ExclusiveOr(1, PAIR);
    Swap(other_[1], low_[0]);

    // Round 1: the product of word 0 has two values.
    const uint64_t product = static_cast<uint64_t>(upper ^ Key(0, 0)) * Multiplier(0);
    const uint64_t afterWrap = static_cast<uint64_t>((upper + 1) ^ Key(0, 0)) * Multiplier(0);
    AscendC::Duplicate(other_[0], static_cast<int32_t>(Key(1, 0)), Count());
    SetByWrap(high_[0], HighWord(product) ^ Key(1, 1), HighWord(afterWrap) ^ Key(1, 1));
    Multiply(1, PAIR);
    ExclusiveOr(0, PAIR);
    Swap(other_[0], low_[1]);

    // Round 2: word 3, the low word of that product, takes its key at once.
    SetByWrap(other_[1], LowWord(product) ^ Key(2, 1), LowWord(afterWrap) ^ Key(2, 1));
    Multiply(0, PAIR);
    ExclusiveOr(0, PAIR);
    ApplyKeys(2, 0, 1);
    TakeLowWords();
  }

  // Word 0 of the counters, and 1 in the lanes where it has wrapped.
  __aicore__ inline void SetCounters(uint32_t low) {
    const uint64_t wrap = (static_cast<uint64_t>(1) << 32) - low;  // counters until then
    const int32_t lastBefore = static_cast<int32_t>((wrap < counters_ ? wrap : counters_) - 1);
    AscendC::Adds(factor_[0], order_, static_cast<int32_t>(low), Count());
    AscendC::Adds(wrapped_, order_, -lastBefore, Count());
    VectorBarrier();
    AscendC::Maxs(wrapped_, wrapped_, 0, Count());
    VectorBarrier();
    AscendC::Mins(wrapped_, wrapped_, 1, Count());
  }

  __aicore__ inline void SetByWrap(const Words& words, uint32_t before, uint32_t wrapped) {
    AscendC::Muls(words, wrapped_, static_cast<int32_t>(wrapped - before), Count());
    VectorBarrier();
    AscendC::Adds(words, words, static_cast<int32_t>(before), Count());
  }

  // high, low = the two words of factor * multiplier, for products begin to end - 1. Overwrites the factors.
  //
  // With x = 2^16 a + b, m = 2^16 c + d and the exact low word l, the high word is a c + (a d / 2^16 + b m / 2^32 -
  // l / 2^32). The bracket is an integer below 2^17, so that floats, which err by less than 0.1 here, give it exactly.
  // Taking l - 2^31 for l, which a signed conversion reads right, adds the half that turns rounding into truncation.
  __aicore__ inline void Multiply(uint32_t begin, uint32_t end) {
    const int32_t count = Count();
    uint64_t upperHalves[2] = {0xAAAAAAAAAAAAAAAAull, 0xAAAAAAAAAAAAAAAAull};
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::ShiftRight(high_[p].ReinterpretCast<uint32_t>(), factor_[p].ReinterpretCast<uint32_t>(),
                          static_cast<uint32_t>(16), count);
      AscendC::Muls(low_[p], factor_[p], static_cast<int32_t>(Multiplier(p)), count);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Duplicate(HalfWordsOf(factor_[p]), static_cast<uint16_t>(0), upperHalves, repeats_, 1, 8);
      AscendC::Cast(FloatsOf(carried_[p]), high_[p], AscendC::RoundMode::CAST_NONE, counters_);
      AscendC::Adds(lowPart_[p], low_[p], SIGN_BIT, count);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Cast(FloatsOf(factor_[p]), factor_[p], AscendC::RoundMode::CAST_NONE, counters_);
      AscendC::Cast(FloatsOf(lowPart_[p]), lowPart_[p], AscendC::RoundMode::CAST_NONE, counters_);
      AscendC::Muls(FloatsOf(carried_[p]), FloatsOf(carried_[p]),
                    static_cast<float>(Multiplier(p) & 0xFFFFu) / TWO_TO_16, count);
      AscendC::Muls(high_[p], high_[p], static_cast<int32_t>(Multiplier(p) >> 16), count);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Axpy(FloatsOf(carried_[p]), FloatsOf(factor_[p]), static_cast<float>(Multiplier(p)) / TWO_TO_32, count);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Axpy(FloatsOf(carried_[p]), FloatsOf(lowPart_[p]), -1.0f / TWO_TO_32, count);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Cast(carried_[p], FloatsOf(carried_[p]), AscendC::RoundMode::CAST_FLOOR, counters_);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) AscendC::Add(high_[p], high_[p], carried_[p], count);
    VectorBarrier();
  }

  // factor = other ^ high word of the other product: a ^ b = (a | b) - (a & b).
  __aicore__ inline void ExclusiveOr(uint32_t begin, uint32_t end) {
    const int32_t halves = Count() * 2;
    for (uint32_t p = begin; p < end; ++p) {
      AscendC::Or(HalfWordsOf(factor_[p]), HalfWordsOf(high_[1 - p]), HalfWordsOf(other_[p]), halves);
      AscendC::And(HalfWordsOf(carried_[p]), HalfWordsOf(high_[1 - p]), HalfWordsOf(other_[p]), halves);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) AscendC::Sub(factor_[p], factor_[p], carried_[p], Count());
    VectorBarrier();
  }

  // factor ^= key of the round.
  __aicore__ inline void ApplyKeys(uint32_t round, uint32_t begin, uint32_t end) {
    const AscendC::BinaryRepeatParams sameKey(1, 1, 0, 8, 8, 0);
    for (uint32_t p = begin; p < end; ++p) {
      const HalfWords key = HalfWordsOf(keys_[(round * PAIR + p) * BLOCK_WORDS]);
      AscendC::Or(HalfWordsOf(carried_[p]), HalfWordsOf(factor_[p]), key, HALF_WORDS_PER_REPEAT, repeats_, sameKey);
      AscendC::And(HalfWordsOf(high_[p]), HalfWordsOf(factor_[p]), key, HALF_WORDS_PER_REPEAT, repeats_, sameKey);
    }
    VectorBarrier();
    for (uint32_t p = begin; p < end; ++p) AscendC::Sub(factor_[p], carried_[p], high_[p], Count());
    VectorBarrier();
  }

  __aicore__ inline void TakeLowWords() {
    for (uint32_t p = 0; p < PAIR; ++p) Swap(other_[p], low_[1 - p]);
  }

  __aicore__ inline static void Swap(Words& a, Words& b) {
    const Words kept = a;
    a = b;
    b = kept;
  }

  __aicore__ inline int32_t Count() const { return static_cast<int32_t>(counters_); }

  uint64_t seed_;
  uint32_t counters_;
  uint8_t repeats_;
  Words order_;
  Words wrapped_;
  Words keys_;
  // Of product p: its factor (word 2p), the word the other product's upper half is combined with (2p + 1), the product.
  Words factor_[PAIR];
  Words other_[PAIR];
  Words high_[PAIR];
  Words low_[PAIR];
  Words carried_[PAIR];
  Words lowPart_[PAIR];
};

}  // namespace npufa
