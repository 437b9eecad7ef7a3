// The arithmetic of a matrix product in float, on operands unpacked from fractals.
#pragma once

#include <cstdint>

namespace npufa_sim {

inline constexpr std::int64_t kPanelColumns = 16;

// C (+)= A B. A: `m` rows of `k` floats, `a_stride` apart. B: panels of 16 columns, each k rows of 16. C: panels of 16
// columns, `c_panel` floats apart, each m rows of 16. Every sum runs over k in order with fused steps, so that results
// do not depend on the host's vectors. Without `accumulate` it starts at zero.
struct PanelProduct {
  const float* a;
  const float* b;
  float* c;
  std::int64_t m, k, panels, a_stride, b_panel, c_panel;
  bool accumulate;
};
void Multiply(const PanelProduct& product);

// dst[column][row] = src[row][column] for 16 rows of `columns` (a multiple of 8) floats.
void TransposePanel(float* dst, const float* src, std::int64_t columns);

}  // namespace npufa_sim
