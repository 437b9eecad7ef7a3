// Vectors of 32-bit words in the local memory of a vector core.
#pragma once

#include "kernel_operator.h"

namespace npufa {

using Words = AscendC::LocalTensor<int32_t>;
using Floats = AscendC::LocalTensor<float>;
using HalfWords = AscendC::LocalTensor<uint16_t>;

constexpr uint32_t BLOCK_WORDS = 8;  // of 32 bytes
constexpr uint32_t REPEAT_WORDS = 64;
constexpr uint32_t HALF_WORDS_PER_REPEAT = 128;

__aicore__ inline HalfWords HalfWordsOf(const Words& words) { return words.ReinterpretCast<uint16_t>(); }
__aicore__ inline Floats FloatsOf(const Words& words) { return words.ReinterpretCast<float>(); }

__aicore__ inline void VectorBarrier() { AscendC::PipeBarrier<PIPE_V>(); }

}  // namespace npufa
