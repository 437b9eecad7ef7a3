// What the host tells the rotary kernels about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

constexpr uint32_t ROTARY_FLOATS = 2048;  // of a tile
constexpr uint32_t ROTARY_COLUMNS = 1024;
constexpr uint32_t ROTARY_AXES = 3;

// Which elements turn together, and in which order they leave.
enum RotaryMode : uint32_t {
  ROTARY_HALF = 0,          // i and i + D/2
  ROTARY_INTERLEAVE = 1,    // 2i and 2i + 1
  ROTARY_DEINTERLEAVE = 2,  // 2i and 2i + 1, which become i and i + D/2
};

struct RotaryTiling {
  uint64_t size[ROTARY_AXES];    // rows along each axis, the last of them lie next to each other
  uint64_t stride[ROTARY_AXES];  // of cos and sin along it, in rows: 0 where they are the same for all
  uint32_t columns;
  uint32_t tileRows;
  uint32_t mode;
  uint32_t transposed;  // 0 or 1: the derivative
};

}  // namespace npufa
