// Mmad on host memory: operands in the fractal formats of L0A (Zz), L0B (Zn) and L0C (Nz).
#pragma once

#include <cstdint>

namespace npufa_sim {

enum class MmadInput { kHalf, kBfloat16, kFloat, kHf32NearestEven, kHf32NearestZero, kInt8, kInt4 };

// What the sums start from: zero, L0C itself, or values beside it.
enum class MmadStart { kZero, kAccumulate, kBiasRow, kOtherTile };

struct MmadTile {
  MmadInput input;
  MmadStart start;
  std::int64_t m, n, k;
  std::int64_t a_fractals;  // of K in a row of L0A; rows of K columns without fractals when m = 1
  const std::uint8_t* a;
  const std::uint8_t* b;
  std::uint8_t* c;
  const std::uint8_t* initial;  // kBiasRow: n values; kOtherTile: a tile like c
};

inline bool IsInteger(MmadInput input) { return input == MmadInput::kInt8 || input == MmadInput::kInt4; }

// Elements of K in 32 bytes.
inline std::int64_t ElementsPerRow(MmadInput input) {
  switch (input) {
    case MmadInput::kInt4: return 64;
    case MmadInput::kInt8: return 32;
    case MmadInput::kHalf:
    case MmadInput::kBfloat16: return 16;
    default: return 8;
  }
}

void MultiplyTile(const MmadTile& tile);

}  // namespace npufa_sim
