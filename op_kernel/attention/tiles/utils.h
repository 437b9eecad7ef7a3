// Small arithmetic every part of the kernels uses.
#pragma once

#include "kernel_operator.h"

namespace npufa {

template <typename T>
__aicore__ inline T Min(T a, T b) {
  return a < b ? a : b;
}

template <typename T>
__aicore__ inline T Max(T a, T b) {
  return a > b ? a : b;
}

__aicore__ inline uint32_t CeilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
__aicore__ inline uint32_t AlignUp(uint32_t a, uint32_t b) { return CeilDiv(a, b) * b; }

template <typename A, typename B>
struct SameType {
  static constexpr bool value = false;
};
template <typename A>
struct SameType<A, A> {
  static constexpr bool value = true;
};

constexpr uint32_t VECTORS_PER_CUBE = 2;
constexpr uint32_t BLOCK_BYTES = 32;
constexpr uint32_t FRACTAL = 16;  // rows and columns of a 16-bit fractal
constexpr uint32_t FLOATS_PER_REPEAT = 64;
constexpr uint32_t FLOATS_PER_BLOCK = 8;

// Cross-core flags of the forward pipeline.
constexpr uint16_t FLAG_SCORES = 0;         // cube to vectors: scores of a step are in memory
constexpr uint16_t FLAG_PROBABILITIES = 1;  // vectors to cube: probabilities of a step are in memory
constexpr uint16_t FLAG_PRODUCTS = 2;       // cube to vectors: products of a step are in memory
constexpr uint16_t FLAG_KEYS = 3;           // vectors to cube: converted keys and values of a step are in memory

}  // namespace npufa
