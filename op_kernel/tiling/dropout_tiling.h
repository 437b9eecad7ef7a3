// What the host tells the dropout mask kernel about one call. Plain data, shared by op_host and op_kernel.
#pragma once

#include <cstdint>

namespace npufa {

// Counters of Philox per tile: whole 512-byte lines of mask, as many as the local memory holds.
constexpr uint32_t DROPOUT_TILE_UNIT = 1024;
constexpr uint32_t DROPOUT_TILE_LIMIT = 3 * DROPOUT_TILE_UNIT;

struct DropoutTiling {
  uint64_t seed;
  uint64_t firstCounter;
  uint64_t elements;
  uint64_t tiles;
  uint32_t tileCounters;  // a multiple of DROPOUT_TILE_UNIT, four elements each
  int32_t lastKept;       // the largest word that keeps an element, less 2^31
  uint32_t seedOnDevice;  // seed and firstCounter are inputs of the kernel
};

}  // namespace npufa
