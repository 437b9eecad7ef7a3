// From random words to mask bits in the order of the elements.
#pragma once

#include "vector_words.h"

namespace npufa {

// A comparison gives one bit per lane, so that the bits of word j of all counters lie together, and the mask wants the
// four words of a counter side by side. Two exchanges of bits between the four results bring them there if lane
// 16 l + 4 r + q has counter 4 (q L + l) + r, where L = counters / 16: half word q L + l of the mask then gets bits
// 4 r + j from word j.
class KeepBits {
 public:
  // Bytes of local memory for `counters` lanes; the mask itself comes on top.
  __aicore__ inline static constexpr uint32_t Bytes(uint32_t counters) {
    return static_cast<uint32_t>(sizeof(int32_t)) * counters + MASKS * BLOCK_BYTES + MaskBytes(counters);
  }
  __aicore__ inline static constexpr uint32_t MaskBytes(uint32_t counters) { return counters / 2; }

  // `spare`: as many words as lanes, free again afterwards.
  __aicore__ inline void Init(const Words& memory, const Words& spare, uint32_t counters) {
    counters_ = counters;
    order_ = memory;
    masks_ = HalfWordsOf(memory[counters]);
    scratch_ = masks_[MASKS * BLOCK_BYTES / sizeof(uint16_t)];
    SetOrder(spare);
    const uint16_t patterns[MASKS] = {0x5555, 0xAAAA, 0x3333, 0xCCCC};
    for (uint32_t i = 0; i < MASKS; ++i) {
      AscendC::Duplicate(Mask(i), patterns[i], static_cast<int32_t>(BLOCK_BYTES / sizeof(uint16_t)));
    }
    VectorBarrier();
  }

  // Lane i has counter Order()[i] of the tile.
  __aicore__ inline const Words& Order() const { return order_; }

  // Bits of the generator's words that are at most `last`, counted from -2^31. Overwrites the words.
  template <typename Generator>
  __aicore__ inline void Compare(const HalfWords& mask, const Generator& generator, int32_t last) const {
    const int32_t count = static_cast<int32_t>(counters_);
    for (uint32_t i = 0; i < WORDS; ++i) AscendC::Adds(generator.Word(i), generator.Word(i), SIGN_BIT, count);
    VectorBarrier();
    for (uint32_t i = 0; i < WORDS; ++i) AscendC::Maxs(generator.Word(i), generator.Word(i), last, count);
    VectorBarrier();
    for (uint32_t i = 0; i < WORDS; ++i) {
      AscendC::CompareScalar(mask[i * Quarter()].ReinterpretCast<uint8_t>(), generator.Word(i), last,
                             AscendC::CMPMODE::EQ, counters_);
    }
    VectorBarrier();
  }

  // Puts the bits of the four words into the order of the elements.
  __aicore__ inline void Interleave(const HalfWords& mask) const {
    const uint32_t quarter = Quarter();
    Exchange(mask, mask[2 * quarter], 2 * quarter, 2);
    Exchange(mask, mask[quarter], quarter, 1);
    Exchange(mask[2 * quarter], mask[3 * quarter], quarter, 1);
  }

 private:
  static constexpr uint32_t WORDS = 4;  // of a counter
  static constexpr uint32_t MASKS = 4;
  static constexpr uint32_t BLOCK_BYTES = 32;
  static constexpr uint32_t EXCHANGE_LANES = 64;  // a quarter of the smallest tile
  static constexpr int32_t SIGN_BIT = -2147483647 - 1;

  __aicore__ inline uint32_t Quarter() const { return counters_ / 16; }
  __aicore__ inline HalfWords Mask(uint32_t index) const { return masks_[index * BLOCK_BYTES / sizeof(uint16_t)]; }

  // order[i] = i / 4 + i % 4 * counters / 4.
  __aicore__ inline void SetOrder(const Words& quotient) {
    const int32_t count = static_cast<int32_t>(counters_);
    AscendC::CreateVecIndex(order_, 0, counters_);
    VectorBarrier();
    AscendC::ShiftRight(quotient, order_, 2, count);
    AscendC::Muls(order_, order_, count / 4, count);
    VectorBarrier();
    AscendC::Muls(quotient, quotient, 1 - count, count);
    VectorBarrier();
    AscendC::Add(order_, order_, quotient, count);
  }

  // Swaps the bits of `a` whose index has bit `distance` set with those of `b` whose index has not.
  __aicore__ inline void Exchange(const HalfWords& a, const HalfWords& b, uint32_t halves, uint16_t distance) const {
    const HalfWords clear = Mask(distance == 1 ? 0 : 2), set = Mask(distance == 1 ? 1 : 3);
    const HalfWords fromA = scratch_, fromB = scratch_[halves];
    const int32_t count = static_cast<int32_t>(halves);
    AscendC::ShiftRight(fromA, a, distance, count);
    AscendC::ShiftLeft(fromB, b, distance, count);
    VectorBarrier();
    AndMask(fromA, clear, halves);
    AndMask(fromB, set, halves);
    AndMask(a, clear, halves);
    AndMask(b, set, halves);
    VectorBarrier();
    AscendC::Or(a, a, fromB, count);
    AscendC::Or(b, b, fromA, count);
    VectorBarrier();
  }

  __aicore__ inline void AndMask(const HalfWords& values, const HalfWords& mask, uint32_t halves) const {
    AscendC::And(values, values, mask, EXCHANGE_LANES, static_cast<uint8_t>(halves / EXCHANGE_LANES),
                 AscendC::BinaryRepeatParams(1, 1, 0, 4, 4, 0));
  }

  uint32_t counters_;
  Words order_;
  HalfWords masks_;
  HalfWords scratch_;
};

}  // namespace npufa
