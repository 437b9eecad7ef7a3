#pragma once

#include <cstdint>

struct ScaledAddTiling {
  uint32_t count;
  uint32_t perBlock;  // elements of one core
  uint32_t hasY;
  float scale;
  float offset;
};
