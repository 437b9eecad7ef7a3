// Matrix multiply-accumulate behind the Mmad templates.
#pragma once

#include "cube_params.h"
#include "data_copy_moves.h"
#include "mmad_tiles.h"

namespace npufa_sim {

struct MmadOperands {
  TensorRef c, a, b;
  const TensorRef* bias = nullptr;
  Dtype input;
};
void MatrixMultiply(const MmadOperands& operands, const AscendC::MmadParams& params, Site site);

template <class Dst, class Left, class Right>
constexpr bool IsMmadCombination() {
  if constexpr (!std::is_same_v<Left, Right>) return false;
  constexpr bool integers = std::is_same_v<Left, std::int8_t> || std::is_same_v<Left, AscendC::int4b_t>;
  constexpr bool floats = std::is_same_v<Left, half> || std::is_same_v<Left, bfloat16_t> || std::is_same_v<Left, float>;
  return (integers && std::is_same_v<Dst, std::int32_t>) || (floats && std::is_same_v<Dst, float>);
}

}  // namespace npufa_sim
