// What a definition supports as CANN's op_build writes it out: one row per combination of types and formats.
#pragma once

#include <string>
#include <vector>

#include "register/op_def.h"

namespace npufa_sim {

inline constexpr std::size_t kMaxCombinations = 1000;

struct TypeAndFormat {
  ge::DataType type;
  ge::Format format;
};
using Combination = std::vector<TypeAndFormat>;  // of every parameter, in their order

// Every column of the lists that are read together, with every entry of each list that goes with all. Throws
// std::invalid_argument when lists that are read together differ in length, and when the generator would not end: it
// needs seconds for a thousand combinations, and days for millions.
std::vector<Combination> Combinations(const std::string& op_type, const std::vector<const ops::OpParamDef*>& params);

}  // namespace npufa_sim
