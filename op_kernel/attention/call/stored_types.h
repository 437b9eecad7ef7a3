// How keys and values are stored where that is not the type of the arithmetic, and what the cube multiplies then.
#pragma once

#include "../tiles/utils.h"

namespace npufa {

// int8 that the cube reads as it is; queries and probabilities come as digits.
struct Int8Digits {};

// float8 bytes, which become halves without their scales.
struct Float8 {};

// What the cube multiplies.
template <typename T, typename Stored>
struct CubeOperand {
  using Type = T;
};
template <typename T>
struct CubeOperand<T, Int8Digits> {
  using Type = int8_t;
};
template <typename T>
struct CubeOperand<T, Float8> {
  using Type = half;
};

// Whether scales and offsets go into queries and output instead of keys and values.
template <typename Stored>
struct ScalesApart {
  static constexpr bool value = SameType<Stored, Int8Digits>::value || SameType<Stored, Float8>::value;
};

}  // namespace npufa
