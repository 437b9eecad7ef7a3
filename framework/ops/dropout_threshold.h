// Which words of the random stream keep an element.
#pragma once

#include <cmath>
#include <cstdint>

namespace npufa {

// A word is below keep_prob * 2^32 exactly if it is below this, 0..2^32.
inline std::uint64_t DropoutThreshold(double keep_prob) {
  return static_cast<std::uint64_t>(std::ceil(keep_prob * 4294967296.0));
}

}  // namespace npufa
