#pragma once

#include <cstdint>

struct ListTotalTiling {
  uint32_t tensors;
  uint32_t count;
};
